package dev.headstart.nn;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A transformer layer that normalises after each residual: self-attention, then two Linears with an activation between them (Vaswani et al. 2017,
 * section 3.1; BERT and its relatives). B batch, S length, H hidden size, h heads.
 */
public final class PostNormLayer {
    private final SelfAttention attention;
    private final FeedForward feedForward;

    /**
     * The attention half.
     *
     * @param query Linear [H, H]
     * @param key Linear [H, H]
     * @param value Linear [H, H]
     * @param output Linear [H, H] over the heads' joined results
     * @param norm after the residual
     * @param heads number of heads, a divisor of H
     * @param weightDropout on the attention weights
     * @param dropout on the output before the residual
     */
    public record SelfAttention(
            Linear query,
            Linear key,
            Linear value,
            Linear output,
            LayerNorm norm,
            int heads,
            Dropout weightDropout,
            Dropout dropout) {
        /** As the record's; query, key and value have the same input. */
        public SelfAttention {
            Linear.join(query, key, value);
            query.evenInput();
            key.evenInput();
            value.evenInput();
        }

        /** The first positions ask, all are keys and values. @return [B, positions, H] */
        Tensor forward(Tensor x, @Nullable Tensor mask, Trace trace, long positions) {
            Tensor context = Memory.local(() -> joined().forward(x, mask, trace, positions, trace.wantsAttention()));
            return norm.forward(output.forwardAndAdd(context, Attention.first(x, positions), dropout));
        }

        Tensor forward(Tensor x, Packing rows, Packing.View view) {
            Tensor context = Memory.local(() -> joined().forward(x, rows, view)); // [T, H]
            return norm.forward(output.forwardAndAdd(context, x, dropout));
        }

        private MultiHead joined() {
            return new MultiHead(query, key, value, heads, weightDropout);
        }
    }

    /**
     * The feed-forward half.
     *
     * @param up Linear [H, I]
     * @param activation between the Linears
     * @param down Linear [I, H]
     * @param dropout on the output before the residual
     * @param norm after the residual
     */
    public record FeedForward(Linear up, Activation activation, Linear down, Dropout dropout, LayerNorm norm) {
        /** As the record's; what comes in is normalised. */
        public FeedForward {
            up.evenInput();
        }

        Tensor forward(Tensor x) {
            Tensor u = up.forward(x, activation); // [B, S, I], activation fused where the kernel can
            return norm.forward(down.forwardAndAdd(u, x, dropout)); // [B, S, H]
        }
    }

    /** Puts the halves together. */
    public PostNormLayer(SelfAttention attention, FeedForward feedForward) {
        this.attention = attention;
        this.feedForward = feedForward;
    }

    /**
     * Runs the layer; what it makes on the way is freed.
     *
     * @param x [B, S, H]
     * @param mask added to the scores, broadcastable to [B, h, S, S]; null when every position may be seen
     * @param trace receives the attention weights, [B, h, positions, S], when it asks for them
     * @param positions how many of the output are read, from the first, 1 to S; of 12 products of a layer's width with itself, 10 are made for these alone
     * @return [B, positions, H]
     */
    public Tensor forward(Tensor x, @Nullable Tensor mask, Trace trace, long positions) {
        return Recompute.layer(
                x,
                mask, // may be learnt
                (y, m) -> Memory.local(() -> feedForward.forward(
                        Memory.local(() -> attention.forward(y, m, trace, positions))))); // [B, positions, H]
    }

    /**
     * Runs the layer on texts without padding.
     *
     * @param x [T, H]
     * @param rows which positions belong together
     * @param view how attention sees them
     * @return [T, H]
     */
    public Tensor forward(Tensor x, Packing rows, Packing.View view) {
        return Memory.local(() -> feedForward.forward(Memory.local(() -> attention.forward(x, rows, view))));
    }

    /** Number of attention heads. */
    public int heads() {
        return attention.heads();
    }

    /** Whether the layer's Linears compute in bfloat16, so that activations between them need no other type. */
    public boolean isBf16() {
        return feedForward.up().kernelName().equals("packed-bf16");
    }
}
