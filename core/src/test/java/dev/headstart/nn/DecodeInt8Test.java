package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.io.Safetensors;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** One table of 8 bits for the embedding and the output layer. */
class DecodeInt8Test {
    private static final long IN = 512;

    @BeforeAll
    static void natives() {
        Natives.load();
    }

    private static double error(Tensor expected, Tensor found) {
        return found.sub(expected).norm().item_double() / expected.norm().item_double();
    }

    /** Sizes with and without padding in the last block. */
    @ParameterizedTest
    @ValueSource(longs = {768, 1000, 3700})
    void oneTableServesBoth(long out) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(1);
            QuantizedWeight q = QuantizedWeight.int8(torch.randn(out, IN));
            Tensor w = q.dequantized(torch.ScalarType.Float);
            Tensor b = torch.randn(out);
            assertThat(DecodeInt8.pays(q)).isEqualTo(Natives.platform().endsWith("x86_64"));
            DecodeInt8 kernel = new DecodeInt8(q, new TensorOptional(b));
            Tensor ids = Tensor.create(new long[] {0, 255, 256, out - 1, 5, 5}).view(2, 3);
            assertThat(kernel.table().rows(ids).equal(torch.embedding(w, ids))).isTrue();
            Tensor last = Tensor.create(new long[] {out - 1}).view(1, 1);
            assertThat(kernel.table().rows(last).equal(torch.embedding(w, last)))
                    .isTrue();
            assertThat(kernel.weight().equal(w)).isTrue();
            for (long[] shape : new long[][] {{1, IN}, {1, 1, IN}, {IN}, {2, 3, IN}}) {
                Tensor x = torch.randn(shape);
                Tensor expected = torch.linear(x, w, new TensorOptional(b));
                Tensor y = kernel.apply(x, Activation.LINEAR);
                assertThat(y.shape()).isEqualTo(expected.shape());
                // one row is not rounded: 512 products of up to 255 steps are added in fp32; several rows are, to 8
                // bits
                assertThat(error(expected, y)).isLessThan(x.numel() == IN ? 2e-6 : 0.02);
            }
            Tensor half = torch.randn(1, IN).to(torch.ScalarType.BFloat16);
            assertThat(Ops.type(kernel.apply(half, Activation.LINEAR))).isEqualTo(torch.ScalarType.BFloat16);
            kernel.close();
        }
    }

    /** Bytes that a kernel has packed are no longer needed: a whole model of them would stay until a garbage collection. */
    @Test
    void whatIsReadFromAQuantizedFileIsFreedWithTheScope(@TempDir Path folder) {
        Path file = folder.resolve("model.safetensors");
        try (PointerScope scope = new PointerScope()) {
            for (boolean four : new boolean[] {false, true}) {
                Tensor w = torch.randn(64, 64).mul(new Scalar(0.1));
                QuantizedWeight q = four
                        ? Objects.requireNonNull(QuantizedWeight.int4(w, QuantizedWeight.GROUP))
                        : QuantizedWeight.int8(w);
                Safetensors.write(file, QuantizedSource.tensors("w", q, false), Map.of());
                try (QuantizedSource source = new QuantizedSource(Safetensors.open(file, false))) {
                    QuantizedWeight read;
                    try (PointerScope inner = new PointerScope()) {
                        read = Objects.requireNonNull(source.quantized("w"));
                        assertThat(read.values().equal(q.values())).isTrue();
                    }
                    assertThat(read.values().isNull()).isTrue();
                    assertThat(read.scales().isNull()).isTrue();
                    assertThat(read.zeros() == null || read.zeros().isNull()).isTrue();
                }
            }
        }
    }
}
