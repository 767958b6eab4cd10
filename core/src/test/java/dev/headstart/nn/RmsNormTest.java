package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;

import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A few rows are normalized in Java, many by libtorch's operators. */
class RmsNormTest {
    private static final double EPS = 1e-6;

    @BeforeAll
    static void natives() {
        Natives.load();
    }

    private static double largest(Tensor a, Tensor b) {
        return a.sub(b).abs().max().item_double();
    }

    /** Widths that are and are not a multiple of what is added at a time; weights as stored and counted from 1. */
    @ParameterizedTest
    @CsvSource({"512,false", "512,true", "7,false", "1,true", "2050,false"})
    void fewRowsAreNormalizedAsMany(long d, boolean offset) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(3);
            Tensor w = torch.randn(d);
            RmsNorm norm = new RmsNorm(new Parameter("norm.weight", w, false, false, false), EPS, offset);
            long rows = 8192 / d + 1; // more elements than are read by Java
            Tensor many = torch.randn(rows, d).mul(new Scalar(3));
            Tensor all = norm.forward(many);
            Tensor one = norm.forward(many.narrow(0, 0, 1));
            Tensor strided = norm.forward(many.narrow(0, 0, 1).expand(2, d)); // which Java does not read
            assertThat(Few.readable(many)).isFalse();
            assertThat(Few.readable(many.narrow(0, 0, 1))).isTrue();
            assertThat(one.shape()).containsExactly(1, d);
            // up to 2,050 squares in another order, and results of up to some ten
            assertThat(largest(all.narrow(0, 0, 1), one)).isLessThan(1e-5);
            assertThat(largest(all.narrow(0, 0, 1).expand(2, d), strided)).isLessThan(1e-5);
        }
    }
}
