package dev.headstart.nn;

import java.util.List;
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

        Tensor forward(Tensor x, @Nullable Tensor mask, Trace trace) {
            double scale = 1 / Math.sqrt((double) query.out() / heads);
            Tensor context = Memory.local(() -> {
                Tensor[] qkv = Linear.forAttention(x, trace.wantsAttention(), query, key, value); // [B, S, H] each
                Tensor q = Attention.splitHeads(qkv[0], heads); // [B, h, S, H/h]
                Tensor k = Attention.splitHeads(qkv[1], heads);
                Tensor v = Attention.splitHeads(qkv[2], heads);
                return Attention.mergeHeads(Attention.attend(q, k, v, mask, scale, weightDropout, trace)); // [B, S, H]
            });
            return norm.forward(residual(output, context, dropout, x));
        }

        /** The first position alone asks, all are keys and values. @return [B, 1, H] */
        Tensor forwardFirst(Tensor x, @Nullable Tensor mask, Trace trace) {
            double scale = 1 / Math.sqrt((double) query.out() / heads);
            Tensor first = x.narrow(1, 0, 1).contiguous(); // [B, 1, H]
            Tensor context = Memory.local(() -> {
                Tensor[] kv = Linear.forAttention(x, true, key, value); // [B, S, H] each
                Tensor q = Attention.splitHeads(query.forward(first), heads); // [B, h, 1, H/h]
                Tensor k = Attention.splitHeads(kv[0], heads); // [B, h, S, H/h]
                Tensor v = Attention.splitHeads(kv[1], heads);
                Tensor seen = mask == null || mask.size(2) == 1 ? mask : mask.narrow(2, 0, 1); // [B, 1 or h, 1, S]
                return Attention.mergeHeads(Attention.attend(q, k, v, seen, scale, weightDropout, trace)); // [B, 1, H]
            });
            return norm.forward(residual(output, context, dropout, first));
        }

        Tensor forward(Tensor x, Packing rows, @Nullable List<Tensor> bias) {
            double scale = 1 / Math.sqrt((double) query.out() / heads);
            Trace none = Trace.none();
            Tensor context = Memory.local(() -> {
                Tensor[] qkv = Linear.forAttention(x, false, query, key, value); // [T, H] each
                return rows.attend(
                        qkv[0],
                        qkv[1],
                        qkv[2],
                        heads,
                        (run, q, k, v) -> Attention.attend(
                                q, k, v, bias == null ? null : bias.get(run), scale, weightDropout, none));
            });
            return norm.forward(residual(output, context, dropout, x)); // [T, H]
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
            return norm.forward(residual(down, u, dropout, x)); // [B, S, H]
        }
    }

    private static Tensor residual(Linear layer, Tensor x, Dropout dropout, Tensor other) {
        return dropout.active() > 0 ? dropout.forward(layer.forward(x)).add(other) : layer.forwardAndAdd(x, other);
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
     * @param trace receives the attention weights, [B, h, S, S], when it asks for them
     * @return [B, S, H]
     */
    public Tensor forward(Tensor x, @Nullable Tensor mask, Trace trace) {
        return Recompute.layer(
                x,
                mask, // may be learnt
                (y, m) -> Memory.local(
                        () -> feedForward.forward(Memory.local(() -> attention.forward(y, m, trace))))); // [B, S, H]
    }

    /**
     * Runs the layer for the first position, which sees all: what a last layer needs whose first position alone is read. Of 12 products of a layer's width with
     * itself that are 2 for all positions and 10 for the first.
     *
     * @param x [B, S, H]
     * @param mask as of {@link #forward(Tensor, Tensor, Trace)}
     * @param trace asks for no attention weights
     * @return [B, 1, H]
     */
    public Tensor forwardFirst(Tensor x, @Nullable Tensor mask, Trace trace) {
        return Recompute.layer(
                x,
                mask,
                (y, m) -> Memory.local(
                        () -> feedForward.forward(Memory.local(() -> attention.forwardFirst(y, m, trace))))); // [B, 1, H]
    }

    /**
     * Runs the layer on texts without padding.
     *
     * @param x [T, H]
     * @param rows which positions belong together
     * @param bias added to the scores of each run, [1, h, length, length]; null for none
     * @return [T, H]
     */
    public Tensor forward(Tensor x, Packing rows, @Nullable List<Tensor> bias) {
        return Memory.local(() -> feedForward.forward(Memory.local(() -> attention.forward(x, rows, bias))));
    }

    /** Whether the layer's Linears compute in bfloat16, so that activations between them need no other type. */
    public boolean isBf16() {
        return feedForward.up().kernelName().equals("packed-bf16");
    }
}
