package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Code made at run time beside torch in double precision. */
class RowProductTest {
    /** A row in 16 bits, each 32 values by themselves: steps of 1 / 32639 of the largest, about 2.5 standard deviations. */
    private static final double ROUNDED = 6e-5;

    @BeforeAll
    static void natives() {
        Natives.load();
        assumeTrue(MachineCode.available() != null, "this processor or system lets no code be made");
    }

    @ParameterizedTest
    @CsvSource({"768, 768", "64, 1000", "3072, 16", "64, 5"})
    void equalsTheProduct(long in, long out) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(1);
            Tensor w = torch.randn(out, in);
            Tensor b = torch.randn(out);
            for (int group : new int[] {32, 64}) {
                QuantizedWeight four = Objects.requireNonNull(QuantizedWeight.int4(w, group));
                RowProduct int4 = new RowProduct(four, b);
                check(int4, four.dequantized(ScalarType.Float), b);
                Tensor[] parts = int4.groups();
                Tensor again = QuantizedWeight.dequantized(parts[0], parts[1], parts[2], ScalarType.Float);
                assertThat(again.equal(four.dequantized(ScalarType.Float))).isTrue();
                TileProduct unpacked = int4.unpacked();
                if (unpacked != null) { // rounded once
                    assertThat(unpacked.plain().equal(again.to(ScalarType.BFloat16)))
                            .isTrue();
                    unpacked.close();
                }
                int4.close();
            }
        }
    }

    /** Rows of any strides, one and several, of many sizes and of nothing but zeros; with and without what is added. */
    private static void check(RowProduct product, Tensor w, Tensor b) {
        long in = w.size(1);
        for (Tensor x : new Tensor[] {
            torch.randn(1, 1, in),
            torch.randn(3, 1, in).mul(torch.tensor(new float[] {1, 1000, 1e-3f}).view(3, 1, 1)),
            torch.randn(in, 2).t(),
            torch.zeros(1, in)
        }) {
            Tensor expected = torch.linear(x.to(ScalarType.Double), w.to(ScalarType.Double))
                    .add(b.to(ScalarType.Double));
            assertThat(product.apply(x, Activation.LINEAR, null).shape()).isEqualTo(expected.shape());
            near(product.apply(x, Activation.LINEAR, null), expected);
            for (Activation act : new Activation[] {Activation.GELU_NEW, Activation.RELU, Activation.SILU}) {
                near(
                        product.apply(x, act, null),
                        act.apply(expected),
                        expected); // an activation enlarges no difference by more than a tenth
            }
            Tensor other = torch.randn(expected.shape());
            near(product.apply(x, Activation.LINEAR, other), expected.add(other));
        }
    }

    private static void near(Tensor y, Tensor expected) {
        near(y, expected, expected);
    }

    /** @param size what differences are measured by */
    private static void near(Tensor y, Tensor expected, Tensor size) {
        Tensor difference = y.to(ScalarType.Double).sub(expected);
        assertThat(difference.norm().item_double() / size.norm().item_double()).isLessThan(1.1 * ROUNDED);
    }

    @Test
    void threadsDoNotDisturbEachOther() {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            QuantizedWeight w = Objects.requireNonNull(QuantizedWeight.int4(torch.randn(512, 256), 32));
            RowProduct product = new RowProduct(w, null);
            List<Tensor> inputs = new ArrayList<>();
            List<Tensor> alone = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                inputs.add(torch.randn(1, 256));
                alone.add(product.apply(inputs.get(i), Activation.LINEAR, null));
            }
            boolean same = IntStream.range(0, 400).parallel().allMatch(i -> {
                try (PointerScope own = new PointerScope()) {
                    return product.apply(inputs.get(i % 8), Activation.LINEAR, null)
                            .equal(alone.get(i % 8));
                }
            });
            assertThat(same).isTrue();
        }
    }
}
