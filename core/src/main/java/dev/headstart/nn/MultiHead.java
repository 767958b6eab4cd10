package dev.headstart.nn;

import java.util.Arrays;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Self-attention of several heads up to the product that joins them (Vaswani et al. 2017, section 3.2.2). B batch, S length, H hidden size, h heads.
 *
 * @param query Linear [h d, H]
 * @param key as query
 * @param value as query
 * @param heads h
 * @param dropout on the attention weights
 */
public record MultiHead(Linear query, Linear key, Linear value, int heads, Dropout dropout) {
    /**
     * The heads' results side by side.
     *
     * @param x [B, S, H]
     * @param mask added to the scores, broadcastable to [B, h, S, S]; null when every position may be seen
     * @param trace receives the attention weights, [B, h, positions, S], when it asks for them
     * @param positions how many ask, from the first, 1 to S; all are keys and values
     * @param exact whether products of 8 bits must come in x's type
     * @return [B, positions, h d]
     */
    public Tensor forward(Tensor x, @Nullable Tensor mask, Trace trace, long positions, boolean exact) {
        if (mask == null && byCode(x, trace, positions)) {
            return whole(x);
        }
        Tensor[] qkv = Attention.project(x, positions, heads, exact, query, key, value); // [B, h, S, d] each
        Tensor seen = Attention.firstQueries(mask, positions);
        return Attention.mergeHeads(Attention.attend(qkv[0], qkv[1], qkv[2], seen, scale(), dropout, trace));
    }

    /** Of texts without padding. @param x [T, H]; @return [T, h d] */
    Tensor forward(Tensor x, Packing rows, Packing.View view) {
        Trace none = Trace.none();
        return rows.attend(
                Linear.sideBySide(x, false, query, key, value), // [T, 3 h d]
                view,
                scale(),
                (q, k, v, mask) -> Attention.attend(q, k, v, mask, scale(), dropout, none));
    }

    /**
     * Records it for texts without padding.
     *
     * @param x [T, H]
     * @param bounds as {@link TextAttention#bounds} makes them
     * @param longest positions of the longest text
     * @return [T, h d] once it has run; null where it cannot be recorded
     */
    @Nullable
    Tensor record(CodeSequence sequence, Tensor x, Tensor bounds, long longest) {
        Tensor qkv = Linear.recordSideBySide(sequence, x, query, key, value); // [T, 3 h d]
        return qkv == null ? null : TextAttention.record(sequence, qkv, bounds, longest, heads, scale());
    }

    private double scale() {
        return 1 / Math.sqrt((double) query.out() / heads);
    }

    /** Whether each position asks and sees all, by code of our own. */
    boolean byCode(Tensor x, Trace trace, long positions) {
        return positions == x.size(1)
                && x.is_cpu()
                && !trace.wantsAttention()
                && dropout.active() == 0
                && query.out() == key.out()
                && query.out() == value.out()
                && TextAttention.fits(query.out() / heads, Ops.type(x), positions);
    }

    private Tensor whole(Tensor x) {
        long b = x.size(0);
        long s = x.size(1);
        Tensor qkv = Linear.sideBySide(x, false, query, key, value); // [B, S, 3 h d]
        int[] lengths = new int[(int) b];
        Arrays.fill(lengths, (int) s);
        Tensor y = TextAttention.attend(
                qkv.reshape(b * s, qkv.size(2)), TextAttention.bounds(lengths), s, heads, scale()); // [B S, h d]
        return y.view(b, s, y.size(1));
    }
}
