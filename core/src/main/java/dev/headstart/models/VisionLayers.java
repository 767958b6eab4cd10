package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.silu;

import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.DropPath;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Recompute;
import dev.headstart.nn.Trace;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** The pre-norm transformer layer that ViT, DeiT, DINOv2 and CLIP are built of; the families differ in names, layer scale and feed-forward. */
final class VisionLayers {
    private VisionLayers() {}

    /** Multi-head self-attention from its four projections. */
    static final class SelfAttention {
        private final Linear query;
        private final Linear key;
        private final Linear value;
        private final Linear output;
        private final Dropout dropout;
        private final int heads;

        SelfAttention(Linear query, Linear key, Linear value, Linear output, int heads, Dropout dropout) {
            this.query = query;
            this.key = key;
            this.value = value;
            this.output = output;
            this.heads = Checks.heads((int) query.out(), heads);
            this.dropout = dropout;
            Linear.join(query, key, value);
        }

        /** @param x [B, S, D]; @param mask additive, broadcastable to [B, h, S, S]; @return [B, positions, D] */
        Tensor forward(Tensor x, @Nullable Tensor mask, Trace trace, long positions) {
            Tensor[] qkv = Attention.project(x, positions, heads, true, query, key, value); // [B, h, S, D/h] each
            Tensor seen = Attention.firstQueries(mask, positions);
            double scale = 1 / Math.sqrt((double) query.out() / heads);
            return output.forward(Attention.mergeHeads(
                    Attention.attend(qkv[0], qkv[1], qkv[2], seen, scale, dropout, trace))); // [B, positions, D]
        }
    }

    /** The second half of a layer. */
    interface FeedForward {
        /** @param x [B, S, D]; @return [B, S, D] */
        Tensor forward(Tensor x);
    }

    /** Linear, activation, Linear. */
    static FeedForward mlp(Linear up, Activation activation, Linear down) {
        return x -> down.forward(up.forward(x, activation));
    }

    /** SwiGLU (Shazeer 2020), gate and value in one Linear. @param up to twice the width of {@code down}'s input */
    static FeedForward swiglu(Linear up, Linear down) {
        return x -> {
            Tensor both = up.forward(x); // [B, S, 2 I]
            long inner = both.size(-1) / 2;
            return down.forward(silu(both.narrow(-1, 0, inner)).mul(both.narrow(-1, inner, inner))); // [B, S, D]
        };
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
            Tensor branch = attention.forward(norm1.forward(all), mask, trace, positions);
            Tensor x = residual(Attention.first(all, positions), branch, scale1);
            return residual(x, feedForward.forward(norm2.forward(x)), scale2);
        }

        private Tensor residual(Tensor x, Tensor branch, @Nullable Parameter scale) {
            Tensor scaled = scale == null ? branch : branch.mul(scale.tensor());
            return dropPath.forward(dropout.forward(scaled)).add(x);
        }
    }
}
