package dev.headstart.nn;

import java.util.Arrays;
import org.bytedeco.pytorch.GradMode;
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

        /** @param y [T, H] */
        boolean record(CodeSequence sequence, Tensor x, Tensor bounds, long longest, Tensor y) {
            Tensor context = joined().record(sequence, x, bounds, longest); // [T, H]
            return context != null
                    && output.record(sequence, context, Activation.LINEAR, x, y)
                    && norm.record(sequence, y, y);
        }

        boolean drops() {
            return weightDropout.active() > 0 || dropout.active() > 0;
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

        /** @param x [T, H]; @param y as many */
        boolean record(CodeSequence sequence, Tensor x, Tensor y) {
            Tensor u = sequence.empty(up.activated(x), x.size(0), up.out()); // [T, I]
            return up.record(sequence, x, activation, null, u)
                    && down.record(sequence, u, Activation.LINEAR, x, y)
                    && norm.record(sequence, y, y);
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
        if (mask == null && attention.joined().byCode(x, trace, positions)) {
            int[] lengths = new int[(int) x.size(0)];
            Arrays.fill(lengths, (int) positions);
            Tensor y = inOneCall(x, TextAttention.bounds(lengths), positions);
            if (y != null) {
                return y;
            }
        }
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
        Tensor bounds = view.bounds();
        Tensor y = bounds == null ? null : inOneCall(x, bounds, rows.longest());
        return y != null
                ? y
                : Memory.local(() -> feedForward.forward(Memory.local(() -> attention.forward(x, rows, view))));
    }

    /**
     * All of it by code of our own, in one call.
     *
     * @param x [..., H], texts without padding
     * @param bounds as {@link TextAttention#bounds} makes them
     * @param longest positions of the longest text
     * @return as x; null where it cannot be
     */
    private @Nullable Tensor inOneCall(Tensor x, Tensor bounds, long longest) {
        boolean can = CodeSequence.available()
                && !GradMode.is_enabled()
                && x.is_cpu()
                && x.is_contiguous()
                && !attention.drops()
                && feedForward.dropout().active() == 0;
        if (!can) {
            return null;
        }
        CodeSequence sequence = CodeSequence.own();
        Tensor y = Ops.empty(Ops.type(x), x.shape());
        boolean done = Memory.made(() -> {
            Tensor rows = x.view(-1, x.size(-1)); // [T, H]
            Tensor between = sequence.empty(Ops.type(x), rows.size(0), rows.size(1));
            long mark = sequence.mark();
            if (!attention.record(sequence, rows, bounds, longest, between)) {
                return false;
            }
            sequence.release(mark);
            if (!feedForward.record(sequence, between, y)) {
                return false;
            }
            sequence.run();
            return true;
        });
        sequence.clear();
        return done ? y : null;
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
