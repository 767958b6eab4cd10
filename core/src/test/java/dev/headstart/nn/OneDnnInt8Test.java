package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The 8-bit kernel for many rows beside the plain product. */
class OneDnnInt8Test {
    @BeforeEach
    void supported() {
        Natives.load();
        assumeTrue(OneDnnInt8.SUPPORTED);
    }

    private static double error(Tensor expected, Tensor found) {
        return found.sub(expected).norm().item_double() / expected.norm().item_double();
    }

    @ParameterizedTest
    @EnumSource(
            value = Activation.class,
            names = {"LINEAR", "GELU", "GELU_NEW", "RELU", "TANH", "SILU"})
    void isNearThePlainProduct(Activation act) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(1);
            Tensor x = torch.randn(2, 5, 64);
            Tensor w = torch.randn(48, 64).mul(new Scalar(0.1));
            Tensor b = torch.randn(48);
            Tensor expected = act.apply(torch.linear(x, w, new TensorOptional(b)));
            for (boolean even : new boolean[] {true, false}) {
                OneDnnInt8 kernel = new OneDnnInt8(QuantizedWeight.int8(w), new TensorOptional(b), even);
                Tensor y = kernel.apply(x, act);
                assertThat(y.shape()).isEqualTo(expected.shape());
                assertThat(error(expected, y)).as("even %s", even).isLessThan(0.02);
                Tensor half = kernel.apply(x.to(ScalarType.BFloat16), act);
                assertThat(Ops.type(half)).isEqualTo(ScalarType.BFloat16);
                assertThat(error(expected, half.to(ScalarType.Float))).isLessThan(0.03);
                kernel.close();
            }
        }
    }

    @Test
    void aLargeRowTakesNothingFromTheOthers() {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(2);
            Tensor x = torch.randn(6, 64);
            x.select(0, 0).mul_(new Scalar(1000));
            Tensor w = torch.randn(32, 64);
            Tensor other = torch.randn(6, 32);
            for (boolean withBias : new boolean[] {true, false}) {
                TensorOptional b = withBias ? new TensorOptional(torch.randn(32)) : null;
                OneDnnInt8 kernel = new OneDnnInt8(QuantizedWeight.int8(w), b, false);
                Tensor expected = (b == null ? torch.linear(x, w) : torch.linear(x, w, b)).add(other);
                Tensor before = other.clone();
                Tensor y = kernel.applyAndAdd(x, other);
                assertThat(error(expected.narrow(0, 1, 5), y.narrow(0, 1, 5))).isLessThan(0.02);
                assertThat(error(kernel.apply(x, Activation.LINEAR).add(other), y))
                        .isLessThan(1e-6);
                assertThat(error(before, other)).isZero();
                kernel.close();
            }
        }
    }

    @Test
    void givesItsWeightBack() {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(3);
            QuantizedWeight w = QuantizedWeight.int8(torch.randn(40, 72));
            OneDnnInt8 kernel = new OneDnnInt8(w, null, true);
            assertThat(error(w.dequantized(ScalarType.Float), kernel.weight())).isLessThan(1e-6);
            kernel.close();
        }
    }
}
