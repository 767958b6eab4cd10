package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
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

/** A packed layer, which code of our own runs in one call where it can, beside the plain one. */
class PostNormLayerTest {
    private static final int H = 128;
    private static final int HEADS = 4;
    private final List<Linear> linears = new ArrayList<>();

    @BeforeAll
    static void natives() {
        Natives.load();
    }

    private Linear linear(long in, long out) {
        Linear layer = new Linear(
                "l",
                new Parameter("l.weight", torch.randn(out, in).mul(new Scalar(0.1)), false, false, false),
                new Parameter("l.bias", torch.randn(out), false, false, false),
                false);
        linears.add(layer);
        return layer;
    }

    private static LayerNorm norm() {
        return new LayerNorm(
                new Parameter("n.weight", torch.rand(H).add(new Scalar(0.5)), false, false, false),
                new Parameter("n.bias", torch.randn(H), false, false, false),
                1e-12);
    }

    private PostNormLayer layer(Activation act) {
        torch.manual_seed(11);
        Dropout none = new Dropout(0.1, new ModelState());
        return new PostNormLayer(
                new PostNormLayer.SelfAttention(
                        linear(H, H), linear(H, H), linear(H, H), linear(H, H), norm(), HEADS, none, none),
                new PostNormLayer.FeedForward(linear(H, 320), act, linear(320, H), none, norm()));
    }

    private void pack(Precision precision) {
        linears.forEach(l -> Kernels.pack(l, precision, false));
    }

    /** fp32: sums in another order. The others: about five roundings one after the other, 2^-9 or 1/254 of the largest of a row each. */
    @ParameterizedTest
    @CsvSource({
        "FP32,GELU,1e-5",
        "BF16,GELU,0.02",
        "INT8,GELU,0.03",
        "INT8,RELU,0.03",
        "FP32,SILU,1e-5",
        "FP32,GELU_NEW,1e-5"
    })
    void equalsThePlainLayer(Precision precision, Activation act, double most) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            PostNormLayer layer = layer(act);
            int[][] batches = {{9}, {1}, {30, 29, 3}, {5, 5}, {60, 59, 58, 57, 56, 1}};
            List<Tensor> inputs = new ArrayList<>();
            List<Tensor> plain = new ArrayList<>();
            for (int[] lengths : batches) {
                Tensor x = torch.randn(IntStream.of(lengths).sum(), H);
                inputs.add(x);
                plain.add(each(layer, x, lengths));
            }
            pack(precision);
            for (int i = 0; i < batches.length; i++) {
                Tensor x = inputs.get(i).to(layer.isBf16() ? ScalarType.BFloat16 : ScalarType.Float);
                Tensor y = run(layer, x, batches[i]);
                assertThat(error(y, plain.get(i))).isLessThan(most);
                assertThat(error(each(layer, x, batches[i]), plain.get(i))).isLessThan(most);
            }
            linears.forEach(Linear::close);
        }
    }

    /** All texts at once, without padding. */
    private static Tensor run(PostNormLayer layer, Tensor x, int[] lengths) {
        Packing rows = Packing.of(lengths, lengths[0], HEADS);
        if (rows == null) {
            return layer.forward(x.view(lengths.length, lengths[0], H), null, Trace.none(), lengths[0])
                    .view(-1, H);
        }
        return layer.forward(x, rows, rows.view(null, x));
    }

    /** Text by text. */
    private static Tensor each(PostNormLayer layer, Tensor x, int[] lengths) {
        Tensor y = torch.empty_like(x);
        int at = 0;
        for (int length : lengths) {
            Tensor one = layer.forward(x.narrow(0, at, length).unsqueeze(0), null, Trace.none(), length);
            y.narrow(0, at, length).copy_(one.squeeze(0));
            at += length;
        }
        return y;
    }

    private static double error(Tensor y, Tensor expected) {
        Tensor wide = expected.to(ScalarType.Double);
        return y.to(ScalarType.Double).sub(wide).norm().item_double()
                / wide.norm().item_double();
    }

    @Test
    void threadsDoNotDisturbEachOther() {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            PostNormLayer layer = layer(Activation.GELU);
            pack(Precision.INT8);
            List<Tensor> inputs = new ArrayList<>();
            List<Tensor> alone = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                inputs.add(torch.randn(1, 7 + 5 * i, H));
                alone.add(layer.forward(inputs.get(i), null, Trace.none(), 7 + 5 * i));
            }
            boolean same = IntStream.range(0, 400).parallel().allMatch(i -> {
                try (PointerScope own = new PointerScope();
                        NoGradGuard inside = new NoGradGuard()) {
                    Tensor y = layer.forward(inputs.get(i % 8), null, Trace.none(), 7 + 5 * (i % 8));
                    return Objects.requireNonNull(y).equal(alone.get(i % 8));
                }
            });
            assertThat(same).isTrue();
            linears.forEach(Linear::close);
        }
    }
}
