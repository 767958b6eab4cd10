package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Steps that are recorded once and run in one call, beside torch in double precision. */
class RowProgramTest {
    @BeforeAll
    static void natives() {
        Natives.load();
        assumeTrue(MachineCode.available() != null, "this processor or system lets no code be made");
    }

    @ParameterizedTest
    @ValueSource(longs = {16, 48, 768, 4096})
    void normalizes(long size) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(3);
            Tensor w = torch.randn(size);
            Tensor b = torch.randn(size);
            LayerNorm norm = norm(w, b, 1e-5);
            try (RowProgram program = Objects.requireNonNull(RowProgram.of(size, p -> p.norm(norm, p.x(), p.x())))) {
                for (double[] scaleAndMean : new double[][] {{1, 0}, {1e-3, 0}, {1, 30}, {1000, -5}, {0, 0}}) {
                    Tensor x = torch.randn(1, 1, size)
                            .mul(new Scalar(scaleAndMean[0]))
                            .add(new Scalar(scaleAndMean[1]));
                    Tensor expected = normalized(x, w, b, 1e-5);
                    Tensor y = Objects.requireNonNull(program.run(x, 1));
                    assertThat(y.shape()).isEqualTo(x.shape());
                    // the mean is rounded to a part of 2^24 of itself
                    double most = 1e-5 * (1 + Math.abs(scaleAndMean[1]));
                    assertThat(wide(y).sub(expected).abs().max().item_double()).isLessThan(most);
                }
            }
        }
    }

    /** Rows by themselves, in both types; threads share many. */
    @ParameterizedTest
    @CsvSource({"Float,1,64", "Float,7,768", "Float,1000,384", "BFloat16,3,768", "BFloat16,500,128"})
    void normalizesManyRows(ScalarType type, long rows, long size) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(4);
            Tensor w = torch.randn(size);
            Tensor b = torch.randn(size);
            LayerNorm norm = norm(w, b, 1e-12);
            Tensor x = torch.randn(rows, 1, size).mul(new Scalar(3)).to(type);
            Tensor y = norm.forward(x);
            assertThat(y.shape()).isEqualTo(x.shape());
            assertThat(Ops.type(y)).isEqualTo(type);
            Tensor expected = normalized(x, w, b, 1e-12);
            Tensor away = wide(y).sub(expected).abs();
            double most = type == ScalarType.Float ? 1e-5 : 1.0 / 256; // of a number, where it is rounded to 8 bits
            assertThat(away.sub(expected.abs().mul(new Scalar(most))).max().item_double())
                    .isLessThan(1e-5);
        }
    }

    @Test
    void refusesWhatItCannotRun() {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            LayerNorm odd = norm(torch.ones(20), torch.zeros(20), 1e-5);
            assertThat(RowProgram.of(20, p -> p.norm(odd, p.x(), p.x()))).isNull();
            LayerNorm norm = norm(torch.ones(32), torch.zeros(32), 1e-5);
            try (RowProgram program = Objects.requireNonNull(RowProgram.of(32, p -> p.norm(norm, p.x(), p.x())))) {
                assertThat(program.run(torch.randn(1, 1, 16), 1)).isNull();
                assertThat(program.run(torch.randn(1, 1, 32).to(ScalarType.Double), 1))
                        .isNull();
            }
        }
    }

    private static LayerNorm norm(Tensor w, Tensor b, double eps) {
        return new LayerNorm(parameter("w", w), parameter("b", b), eps);
    }

    /** By torch, in double precision. */
    private static Tensor normalized(Tensor x, Tensor w, Tensor b, double eps) {
        return torch.layer_norm(
                wide(x), w.shape(), new TensorOptional(wide(w)), new TensorOptional(wide(b)), eps, false);
    }

    private static Parameter parameter(String name, Tensor value) {
        return new Parameter(name, value, false, false, false);
    }

    private static Tensor wide(Tensor x) {
        return x.to(ScalarType.Double);
    }
}
