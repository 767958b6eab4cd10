package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.headstart.nn.TileCode.Type;
import java.util.ArrayList;
import java.util.List;
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

/** Products of many rows by code made at run time, beside torch in double precision. */
class TileProductTest {
    /** fp32: up to 3,072 products are added in another order, and activations are rational functions to 2e-7. */
    private static final double EXACT = 2e-6;

    /** A result in bfloat16 is rounded by up to 2^-8 of itself. */
    private static final double HALF = 0x1p-8;

    /** Rows in 8 bits: steps of 1 / 127 of the largest of some thousand values, about 4 standard deviations; up to 9 where a few are a hundred times as large. */
    private static final double BYTES = 0.02;

    @BeforeAll
    static void natives() {
        Natives.load();
        assumeTrue(MachineCode.available() != null, "this processor or system lets no code be made");
    }

    private static boolean runs(Type type) {
        return TileProduct.fits(type, 64);
    }

    @ParameterizedTest
    @CsvSource({"768, 768", "64, 1000", "3072, 64", "32, 5", "96, 192"})
    void equalsTheProduct(long in, long out) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(1);
            Tensor w = torch.randn(out, in);
            Tensor b = torch.randn(out);
            TileProduct full = TileProduct.of(Type.FP32, w.t().contiguous().t(), b);
            check(full, w, b, EXACT);
            assertThat(full.plain().equal(w)).isTrue();
            rows(full, w);
            full.close();
            if (runs(Type.BF16)) {
                Tensor half = w.to(ScalarType.BFloat16);
                TileProduct bf16 = TileProduct.of(Type.BF16, w, b);
                check(bf16, half, b, 2 * HALF);
                assertThat(bf16.plain().equal(half)).isTrue();
                rows(bf16, half);
                bf16.close();
            }
            if (runs(Type.INT8)) {
                QuantizedWeight eight = QuantizedWeight.int8(w);
                TileProduct int8 = TileProduct.int8(eight, b);
                check(int8, eight.dequantized(ScalarType.Float), b, BYTES);
                assertThat(int8.plain().equal(eight.values())).isTrue();
                rows(int8, eight.dequantized(ScalarType.Float));
                int8.close();
            }
        }
    }

    /** All numbers of rows that a tile may have left, rows of any strides and sizes; each activation; with and without what is added. */
    private static void check(TileProduct product, Tensor w, Tensor b, double most) {
        long in = w.size(1);
        List<Tensor> inputs = new ArrayList<>();
        for (long rows = 1; rows <= 7; rows++) {
            inputs.add(torch.randn(rows, 1, in));
        }
        inputs.add(torch.randn(100, in)
                .mul(torch.logspace(new Scalar(-3.0), new Scalar(3.0), 100).view(100, 1)));
        inputs.add(torch.randn(in, 13).t());
        inputs.add(torch.zeros(2, in));
        for (Tensor x : inputs) {
            for (ScalarType given : new ScalarType[] {ScalarType.Float, ScalarType.BFloat16}) {
                Tensor read = x.to(given);
                Tensor sum = torch.linear(read.to(ScalarType.Double), w.to(ScalarType.Double))
                        .add(b.to(ScalarType.Double));
                for (Activation act : new Activation[] {
                    Activation.LINEAR, Activation.RELU, Activation.GELU, Activation.GELU_NEW, Activation.SILU
                }) {
                    near(product.apply(read, act, null, ScalarType.Float), act.apply(sum), sum, most);
                }
                near(product.apply(read, Activation.LINEAR, null, ScalarType.BFloat16), sum, most + HALF);
                Tensor other = torch.randn(sum.shape());
                near(product.apply(read, Activation.LINEAR, other, ScalarType.Float), sum.add(other), most);
                Tensor half = other.to(ScalarType.BFloat16);
                near(product.apply(read, Activation.LINEAR, half, ScalarType.BFloat16), sum.add(half), most + 2 * HALF);
            }
        }
    }

    private static void near(Tensor y, Tensor expected, double most) {
        near(y, expected, expected, most);
    }

    /** @param measure of whose rows the errors are parts */
    private static void near(Tensor y, Tensor expected, Tensor measure, double most) {
        assertThat(y.shape()).isEqualTo(expected.shape());
        Tensor last = expected.flatten(0, -2);
        Tensor difference = y.to(ScalarType.Double).flatten(0, -2).sub(last);
        // row by row, so that large ones do not hide what is wrong with others
        Tensor size = sizes(measure.flatten(0, -2)).clamp_min(new Scalar(1e-9));
        Tensor error = sizes(difference).div(size);
        assertThat(error.max().item_double()).isLessThan(most);
    }

    private static Tensor sizes(Tensor rows) {
        return torch.square(rows).sum(-1).sqrt();
    }

    private static void rows(TileProduct product, Tensor w) {
        Tensor table = w.to(ScalarType.Float);
        for (long[] ids : new long[][] {{0}, {w.size(0) - 1}, {3, 0, 4, 4}}) {
            Tensor asked = Tensor.create(ids).view(1, ids.length);
            assertThat(product.rows(asked).equal(torch.embedding(table, asked))).isTrue();
        }
    }

    /** What the largest element of a row in 8 bits may be: not a number, infinite. */
    @Test
    void saysWhatIsNoNumber() {
        assumeTrue(runs(Type.INT8));
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Tensor x = torch.randn(8, 64);
            x.get(2).narrow(0, 5, 1).fill_(new Scalar(Double.NaN));
            x.get(4).narrow(0, 6, 1).fill_(new Scalar(Double.POSITIVE_INFINITY));
            TileProduct product = TileProduct.int8(QuantizedWeight.int8(torch.randn(64, 64)), null);
            Tensor finite = product.apply(x, Activation.LINEAR, null, ScalarType.Float)
                    .isfinite()
                    .all(1, false);
            for (long r = 0; r < 8; r++) {
                assertThat(finite.select(0, r).item_bool()).isEqualTo(r != 2 && r != 4);
            }
        }
    }

    /** A row alone and among others. */
    @Test
    void aRowDoesNotDependOnOthers() {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Tensor x = torch.randn(37, 256);
            Tensor w = torch.randn(320, 256);
            List<TileProduct> products = new ArrayList<>(List.of(TileProduct.of(Type.FP32, w, null)));
            if (runs(Type.INT8)) {
                products.add(TileProduct.int8(QuantizedWeight.int8(w), null));
            }
            for (TileProduct product : products) {
                Tensor all = product.apply(x, Activation.GELU, null, ScalarType.Float);
                for (long r = 0; r < 37; r += 4) {
                    Tensor alone = product.apply(x.narrow(0, r, 1), Activation.GELU, null, ScalarType.Float);
                    assertThat(alone.equal(all.narrow(0, r, 1))).isTrue();
                }
            }
        }
    }

    @Test
    void threadsDoNotDisturbEachOther() {
        assumeTrue(runs(Type.INT8));
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            TileProduct product = TileProduct.int8(QuantizedWeight.int8(torch.randn(512, 256)), null);
            List<Tensor> inputs = new ArrayList<>();
            List<Tensor> alone = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                inputs.add(torch.randn(1 + 40L * i, 256));
                alone.add(product.apply(inputs.get(i), Activation.LINEAR, null, ScalarType.Float));
            }
            boolean same = IntStream.range(0, 400).parallel().allMatch(i -> {
                try (PointerScope own = new PointerScope()) {
                    return product.apply(inputs.get(i % 8), Activation.LINEAR, null, ScalarType.Float)
                            .equal(alone.get(i % 8));
                }
            });
            assertThat(same).isTrue();
        }
    }
}
