package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The 8-bit convolution beside the plain one where inputs and weights are as large as they can be: sums of two products in 16 bits would saturate. */
class Int8Conv2dTest {
    private static final Conv2d.Shape SHAPE = Conv2d.Shape.of(1, 1);

    /** Prints whether there is VNNI for oneDNN, and the largest relative error. */
    public static final class Child {
        /** No arguments. */
        public static void main(String[] args) {
            Natives.load();
            System.out.println("vnni " + OneDnnInt8.SUPPORTED + " error " + Math.max(error(0), error(-1)));
        }
    }

    /** @param low of the range; below 0, zero lies in the middle of the 256 values */
    private static double error(float low) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(1);
            Tensor x = large(1, 32, 8, 8);
            Tensor w = large(32, 32, 3, 3);
            Tensor expected = torch.conv2d(
                    x, w, new TensorOptional(), new long[] {1, 1}, new long[] {1, 1}, new long[] {1, 1}, 1);
            Int8Conv2d kernel = new Int8Conv2d(
                    w, torch.zeros(32), SHAPE, new ActivationRange(low, 1), null, ActivationRange.UNKNOWN);
            Tensor y = kernel.apply(x, Activation.LINEAR, null, false);
            kernel.close();
            return y.sub(expected).abs().max().item_double() / expected.max().item_double();
        }
    }

    /** Between 0.75 and 1. */
    private static Tensor large(long... shape) {
        return torch.rand(shape).mul(new Scalar(0.25)).add(new Scalar(0.75));
    }

    @Test
    void isNearThePlainConvolution() {
        Natives.load();
        assertThat(Math.max(error(0), error(-1))).isBetween(1e-6, 0.005);
    }

    /** What older processors have: in each of these, products of two neighbours are added in 16 bits. */
    @ParameterizedTest
    @ValueSource(strings = {"AVX2", "avx512_core"})
    void nothingSaturatesWithoutVnni(String instructions) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx128m",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                Child.class.getName());
        builder.environment().put("ONEDNN_MAX_CPU_ISA", instructions);
        Process process = builder.redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(said).contains("vnni false");
        assertThat(Double.parseDouble(said.replaceAll("(?s).*error ", "").strip()))
                .as(said)
                .isBetween(1e-6, 0.01);
    }
}
