package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The product of one row as a sum of columns. */
class DecodeFp32Test {
    private static final long IN = 512;

    @BeforeAll
    static void natives() {
        Natives.load();
    }

    /** Sizes with and without padding in the last block; rows that lie side by side and rows that do not. */
    @ParameterizedTest
    @ValueSource(longs = {768, 1000, 3700})
    void equalsThePlainProduct(long out) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(1);
            Tensor w = torch.randn(out, IN);
            Tensor b = torch.randn(out);
            DecodeFp32 kernel = new DecodeFp32(w, new TensorOptional(b));
            for (Tensor x : new Tensor[] {
                torch.randn(IN),
                torch.randn(1, IN),
                torch.randn(1, 1, IN),
                torch.randn(IN, 1).t(),
                torch.randn(2, 3, IN)
            }) {
                Tensor expected = torch.linear(x, w, new TensorOptional(b));
                Tensor y = kernel.apply(x, Activation.LINEAR);
                assertThat(y.shape()).isEqualTo(expected.shape());
                assertThat(y.is_contiguous()).isTrue();
                // 512 products are added in another order
                assertThat(y.sub(expected).norm().item_double()
                                / expected.norm().item_double())
                        .isLessThan(2e-6);
            }
            RowSource table = Objects.requireNonNull(kernel.table());
            for (long id : new long[] {0, 383, 384, out - 1}) {
                Tensor one = Tensor.create(new long[] {id}).view(1, 1);
                assertThat(table.rows(one).shape()).containsExactly(1, 1, IN);
                assertThat(table.rows(one).equal(torch.embedding(w, one))).isTrue();
            }
            assertThat(kernel.weight().equal(w)).isTrue();
            kernel.close();
        }
    }
}
