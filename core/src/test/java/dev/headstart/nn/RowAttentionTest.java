package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Objects;
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

/** One query's attention by code of our own beside torch in double precision. */
class RowAttentionTest {
    @BeforeAll
    static void natives() {
        Natives.load();
        assumeTrue(MachineCode.available() != null, "this processor or system lets no code be made");
    }

    /** Keys in a buffer that is longer than they are, scores small and large. */
    @ParameterizedTest
    @CsvSource({"12, 160, 64, 1", "12, 1, 64, 1", "3, 17, 16, 8", "5, 1000, 128, 30", "1, 16, 80, 0.01"})
    void equalsTheFormula(long heads, long keys, long d, double size) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(1);
            Tensor q = torch.randn(1, heads, 1, d).mul(new Scalar(size));
            Tensor k = torch.randn(1, heads, keys + 9, d).narrow(2, 0, keys);
            Tensor v = torch.randn(1, heads, keys + 9, d).narrow(2, 0, keys);
            double scale = 1 / Math.sqrt(d);
            Tensor y = Objects.requireNonNull(RowAttention.attend(q, k, v, scale));
            Tensor weights = torch.softmax(
                    q.to(ScalarType.Double)
                            .matmul(k.to(ScalarType.Double).transpose(2, 3))
                            .mul(new Scalar(scale)),
                    -1);
            Tensor expected = weights.matmul(v.to(ScalarType.Double));
            assertThat(y.shape()).isEqualTo(expected.shape());
            // scores of up to 30 standard deviations have errors of 30 x 2^-24 sqrt(128), which the exponential passes
            // on
            assertThat(y.to(ScalarType.Double).sub(expected).abs().max().item_double())
                    .isLessThan(Math.max(1, size) * 2e-6);
        }
    }

    /** The new key and value come with the query, into buffers of several rows that are longer than needed. */
    @ParameterizedTest
    @CsvSource({"12, 160, 64", "12, 1, 64", "3, 17, 16", "5, 100, 128"})
    void putsTheNewOnesBehindTheOthers(long heads, long keys, long d) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(1);
            Tensor qkv = torch.randn(1, 1, 3 * heads * d);
            Tensor k = torch.randn(2, heads, keys + 9, d);
            Tensor v = torch.randn(2, heads, keys + 9, d);
            Tensor parts = qkv.view(3, 1, heads, 1, d);
            Tensor allKeys = k.clone();
            Tensor allValues = v.clone();
            allKeys.narrow(0, 0, 1).narrow(2, keys - 1, 1).copy_(parts.select(0, 1));
            allValues.narrow(0, 0, 1).narrow(2, keys - 1, 1).copy_(parts.select(0, 2));
            Tensor expected = Objects.requireNonNull(RowAttention.attend(
                    parts.select(0, 0),
                    allKeys.narrow(0, 0, 1).narrow(2, 0, keys),
                    allValues.narrow(0, 0, 1).narrow(2, 0, keys),
                    0.3));
            Tensor y = Objects.requireNonNull(RowAttention.step(qkv, k, v, keys, 0.3));
            assertThat(y.shape()).containsExactly(1, 1, heads * d);
            assertThat(y.equal(expected.view(1, 1, heads * d))).isTrue();
            assertThat(k.equal(allKeys)).isTrue();
            assertThat(v.equal(allValues)).isTrue();
            assertThat(RowAttention.step(qkv.to(ScalarType.BFloat16), k, v, keys, 0.3))
                    .isNull();
            assertThat(RowAttention.step(torch.randn(1, 2, 3 * heads * d), k, v, keys, 0.3))
                    .isNull();
        }
    }

    @Test
    void leavesOtherCasesAlone() {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Tensor q = torch.randn(1, 2, 1, 64);
            Tensor k = torch.randn(1, 2, 5, 64);
            assertThat(RowAttention.attend(torch.randn(1, 2, 2, 64), k, k, 1)).isNull();
            assertThat(RowAttention.attend(torch.randn(2, 2, 1, 64), k.repeat(2, 1, 1, 1), k.repeat(2, 1, 1, 1), 1))
                    .isNull();
            assertThat(RowAttention.attend(torch.randn(1, 4, 1, 64), k, k, 1)).isNull();
            assertThat(RowAttention.attend(torch.randn(1, 2, 1, 40), torch.randn(1, 2, 5, 40), k, 1))
                    .isNull();
            assertThat(RowAttention.attend(q, torch.randn(1, 5, 2, 64).transpose(1, 2), k, 1))
                    .isNull();
            assertThat(RowAttention.attend(q.to(ScalarType.BFloat16), k.to(ScalarType.BFloat16), k, 1))
                    .isNull();
        }
    }
}
