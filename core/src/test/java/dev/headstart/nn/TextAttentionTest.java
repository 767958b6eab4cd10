package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Arrays;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Attention of several texts by code made at run time, beside torch in double precision. */
class TextAttentionTest {
    @BeforeAll
    static void natives() {
        Natives.load();
        assumeTrue(MachineCode.available() != null, "this processor or system lets no code be made");
    }

    /** Texts shorter and longer than a vector, sizes of heads from one vector to eight. */
    @ParameterizedTest
    @CsvSource({
        "12, 64, 1 2 3",
        "12, 64, 40 33 32 31 17 16 15 8 7",
        "3, 16, 25 1",
        "12, 32, 31 30 5",
        "2, 96, 20 19",
        "2, 128, 130 3",
        "1, 64, 513"
    })
    void equalsTheDefinition(int heads, int d, String texts) {
        int[] lengths =
                Arrays.stream(texts.split(" ")).mapToInt(Integer::parseInt).toArray();
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(1);
            Tensor qkv =
                    torch.randn(Arrays.stream(lengths).sum(), 3L * heads * d).mul(new Scalar(2.0));
            check(qkv, lengths, heads, 2e-6);
            check(qkv.to(ScalarType.BFloat16), lengths, heads, 0x1p-8);
        }
    }

    private static Tensor attend(Tensor qkv, int[] lengths, int heads) {
        long d = qkv.size(1) / 3 / heads;
        int longest = Arrays.stream(lengths).max().orElseThrow();
        assertThat(TextAttention.fits(d, Ops.type(qkv), longest)).isTrue();
        return TextAttention.attend(qkv, TextAttention.bounds(lengths), longest, heads, 1 / Math.sqrt(d));
    }

    private static void check(Tensor qkv, int[] lengths, int heads, double most) {
        long d = qkv.size(1) / 3 / heads;
        Tensor y = attend(qkv, lengths, heads);
        assertThat(Ops.type(y)).isEqualTo(Ops.type(qkv));
        long start = 0;
        for (int length : lengths) {
            Tensor own = qkv.narrow(0, start, length)
                    .to(ScalarType.Double)
                    .view(length, 3, heads, d)
                    .permute(1, 2, 0, 3); // [3, h, length, d]
            Tensor scores = own.select(0, 0).matmul(own.select(0, 1).transpose(1, 2));
            Tensor weights = torch.softmax(scores.mul(new Scalar(1 / Math.sqrt(d))), -1);
            Tensor expected = weights.matmul(own.select(0, 2)).transpose(0, 1).reshape(length, heads * d);
            Tensor difference = y.narrow(0, start, length).to(ScalarType.Double).sub(expected);
            assertThat(difference.norm().item_double() / expected.norm().item_double())
                    .isLessThan(most);
            start += length;
        }
    }

    /** No position sees a later one. */
    @ParameterizedTest
    @CsvSource({"1, 12, 64, 1", "3, 12, 64, 16", "2, 3, 16, 17", "2, 2, 32, 47", "1, 2, 128, 130"})
    void hidesWhatComesLater(long texts, long heads, long d, long length) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(1);
            Tensor qkv = torch.randn(texts, length, 3 * heads * d).mul(new Scalar(2.0));
            Tensor own = qkv.to(ScalarType.Double)
                    .view(texts, length, 3, heads, d)
                    .permute(2, 0, 3, 1, 4); // [3, B, h, S, d]
            Tensor later = torch.ones(length, length).triu(1).to(ScalarType.Bool);
            Tensor scores = own.select(0, 0)
                    .matmul(own.select(0, 1).transpose(2, 3))
                    .mul(new Scalar(0.2))
                    .masked_fill(later, new Scalar(Double.NEGATIVE_INFINITY));
            Tensor expected = Attention.mergeHeads(torch.softmax(scores, -1).matmul(own.select(0, 2)));
            Tensor y = TextAttention.causal(qkv, heads, 0.2);
            assertThat(y.shape()).isEqualTo(expected.shape());
            Tensor difference = y.to(ScalarType.Double).sub(expected);
            assertThat(difference.norm().item_double() / expected.norm().item_double())
                    .isLessThan(2e-6);
        }
    }

    /** Scores of thousands, of which only the largest counts, and what is no number stays in its text. */
    @Test
    void largeScoresAndWhatIsNoNumber() {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            int[] lengths = {20, 20};
            Tensor qkv = torch.randn(40, 3 * 32).mul(new Scalar(100.0));
            check(qkv, lengths, 2, 1e-4); // scores of 10,000 have an error of 1e-3
            qkv.get(3).fill_(new Scalar(Double.NaN));
            Tensor finite = attend(qkv, lengths, 2).isfinite();
            assertThat(finite.narrow(0, 0, 20).any().item_bool()).isFalse();
            assertThat(finite.narrow(0, 20, 20).all().item_bool()).isTrue();
        }
    }

    @Test
    void threadsDoNotDisturbEachOther() {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            int[] lengths = {33, 20, 5};
            Tensor qkv = torch.randn(58, 3 * 64);
            Tensor alone = attend(qkv, lengths, 4);
            boolean same = IntStream.range(0, 200).parallel().allMatch(i -> {
                try (PointerScope own = new PointerScope();
                        NoGradGuard none = new NoGradGuard()) {
                    return attend(qkv, lengths, 4).equal(alone);
                }
            });
            assertThat(same).isTrue();
        }
    }
}
