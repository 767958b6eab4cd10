package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.silu;

import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.DropPath;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.MultiHead;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Recompute;
import dev.headstart.nn.Trace;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** The pre-norm transformer layer that ViT, DeiT, DINOv2 and CLIP are built of; the families differ in names, layer scale and feed-forward. */
final class VisionLayers {
    private VisionLayers() {}

    /** Multi-head self-attention from its four projections. */
    record SelfAttention(MultiHead heads, Linear output) {
        SelfAttention(Linear query, Linear key, Linear value, Linear output, int heads, Dropout dropout) {
            this(new MultiHead(query, key, value, Checks.heads((int) query.out(), heads), dropout), output);
            Linear.join(query, key, value);
        }
    }

    /**
     * The second half of a layer.
     *
     * @param inner [B, S, D] to [B, S, I]
     * @param down Linear [D, I]
     */
    record FeedForward(UnaryOperator<Tensor> inner, Linear down) {}

    /** Linear, activation, Linear. */
    static FeedForward mlp(Linear up, Activation activation, Linear down) {
        return new FeedForward(x -> up.forward(x, activation), down);
    }

    /** SwiGLU (Shazeer 2020), gate and value in one Linear. @param up to twice the width of {@code down}'s input */
    static FeedForward swiglu(Linear up, Linear down) {
        return new FeedForward(
                x -> {
                    Tensor both = up.forward(x); // [B, S, 2 I]
                    long inner = both.size(-1) / 2;
                    return silu(both.narrow(-1, 0, inner)).mul(both.narrow(-1, inner, inner)); // [B, S, I]
                },
                down);
    }

    /** x + scale1 attention(norm1 x), then x + scale2 feedforward(norm2 x). */
    static final class PreNormLayer {
        private final LayerNorm norm1;
        private final SelfAttention attention;
        private final @Nullable Parameter scale1;
        private final LayerNorm norm2;
        private final FeedForward feedForward;
        private final @Nullable Parameter scale2;
        private final Dropout dropout;
        private final DropPath dropPath;

        PreNormLayer(
                LayerNorm norm1,
                SelfAttention attention,
                @Nullable Parameter scale1,
                LayerNorm norm2,
                FeedForward feedForward,
                @Nullable Parameter scale2,
                Dropout dropout,
                DropPath dropPath) {
            this.norm1 = norm1;
            this.attention = attention;
            this.scale1 = scale1;
            this.norm2 = norm2;
            this.feedForward = feedForward;
            this.scale2 = scale2;
            this.dropout = dropout;
            this.dropPath = dropPath;
        }

        /** @param x [B, S, D]; @return [B, S, D] */
        Tensor forward(Tensor x, @Nullable Tensor mask, Trace trace) {
            return forward(x, mask, trace, x.size(1));
        }

        /** The first positions of the output alone, which is what is read of a last layer. @return [B, positions, D] */
        Tensor forward(Tensor x, @Nullable Tensor mask, Trace trace, long positions) {
            return Recompute.layer(x, mask, (y, m) -> branches(y, m, trace, positions));
        }

        private Tensor branches(Tensor all, @Nullable Tensor mask, Trace trace, long positions) {
            Tensor context = attention.heads().forward(norm1.forward(all), mask, trace, positions, true);
            Tensor x = residual(Attention.first(all, positions), context, attention.output(), scale1);
            Tensor inner = feedForward.inner().apply(norm2.forward(x));
            return residual(x, inner, feedForward.down(), scale2);
        }

        private Tensor residual(Tensor x, Tensor inner, Linear last, @Nullable Parameter scale) {
            if (scale == null && !dropPath.active()) {
                return last.forwardAndAdd(inner, x, dropout);
            }
            Tensor branch = last.forward(inner);
            Tensor scaled = scale == null ? branch : branch.mul(scale.tensor());
            return dropPath.forward(dropout.forward(scaled)).add(x);
        }
    }
}
