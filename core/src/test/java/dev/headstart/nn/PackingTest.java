package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PackingTest {
    private static final int[] LENGTHS = {17, 17, 16, 15, 15, 9, 9, 9, 4, 1
    }; // groups with padding, without, of one text
    private static final int HEADS = 3;

    /** Each text's attention by itself. */
    @ParameterizedTest
    @CsvSource({
        "8, Float, false, 1e-6",
        "8, Float, true, 1e-6",
        "8, BFloat16, false, 0.02",
        "8, BFloat16, true, 0.02",
        "16, Float, false, 1e-6", // by code of our own where there is any
        "16, BFloat16, false, 0.02"
    })
    void attendsAsTextByText(int d, String type, boolean biased, double tolerance) {
        try (PointerScope scope = new PointerScope();
                InferenceMode guard = new InferenceMode(true)) {
            torch.manual_seed(0);
            ScalarType t = ScalarType.valueOf(type).intern();
            Packing rows = Objects.requireNonNull(Packing.of(LENGTHS, 17, HEADS));
            long all = Arrays.stream(LENGTHS).sum();
            long width = (long) HEADS * d;
            Tensor qkv = torch.randn(new long[] {all, 3 * width}).to(t);
            Tensor bias = biased ? torch.randn(new long[] {1, HEADS, 17, 17}).to(t) : null;
            Dropout none = new Dropout(0, new ModelState());
            Packing.View view = rows.view(bias, qkv.narrow(1, 0, width));
            Tensor got = rows.attend(
                    qkv, view, 0.3, (q, k, v, mask) -> Attention.attend(q, k, v, mask, 0.3, none, Trace.none()));
            assertThat(got.shape()).containsExactly(all, width);
            long start = 0;
            for (int length : LENGTHS) {
                Tensor own = qkv.narrow(0, start, length).to(ScalarType.Float).view(1, length, 3 * width);
                Tensor expected = Attention.mergeHeads(Attention.attend(
                                Attention.splitHeads(own.narrow(2, 0, width), HEADS),
                                Attention.splitHeads(own.narrow(2, width, width), HEADS),
                                Attention.splitHeads(own.narrow(2, 2 * width, width), HEADS),
                                bias == null
                                        ? null
                                        : bias.to(ScalarType.Float)
                                                .narrow(2, 0, length)
                                                .narrow(3, 0, length),
                                0.3,
                                none,
                                Trace.none()))
                        .squeeze(0);
                double off = expected.sub(got.narrow(0, start, length).to(ScalarType.Float))
                        .abs()
                        .max()
                        .item_double();
                assertThat(off).isLessThan(tolerance);
                start += length;
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"Float", "BFloat16"})
    void packsAndUnpacks(String type) {
        try (PointerScope scope = new PointerScope();
                InferenceMode guard = new InferenceMode(true)) {
            Packing rows = Objects.requireNonNull(Packing.of(LENGTHS, 17, HEADS));
            Tensor x = torch.rand(new long[] {LENGTHS.length, 17, 5})
                    .to(ScalarType.valueOf(type).intern());
            Tensor back = rows.unpack(rows.pack(x));
            for (int b = 0; b < LENGTHS.length; b++) {
                Tensor real = back.select(0, b).narrow(0, 0, LENGTHS[b]);
                assertThat(real.equal(x.select(0, b).narrow(0, 0, LENGTHS[b]))).isTrue();
                assertThat(back.select(0, b)
                                .narrow(0, LENGTHS[b], 17 - LENGTHS[b])
                                .abs()
                                .sum()
                                .item_double())
                        .isZero();
            }
        }
    }

    @Test
    void isNothingWhereNothingIsPadded() {
        assertThat(Packing.of(new int[] {5, 5}, 5, HEADS)).isNull();
    }
}
