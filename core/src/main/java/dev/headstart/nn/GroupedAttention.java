package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.softmax;
import static org.bytedeco.pytorch.global.torch.tanh;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Attention whose queries share keys and values in groups (Ainslie et al. 2023), optionally with soft-capped scores (Gemma 2). With one group a head it
 * is {@link Attention}.
 */
public final class GroupedAttention {
    private GroupedAttention() {}

    /**
     * softmax(cap tanh(q k^T scale / cap) + mask) v.
     *
     * @param q [B, h, Sq, d]
     * @param k [B, kv, Sk, d], h a multiple of kv
     * @param v [B, kv, Sk, d]
     * @param mask added to the scores, [B or 1, 1, Sq, Sk]; null when every position may be seen
     * @param causal whether the mask hides what comes after each query and nothing else, on a GPU
     * @param scale usually 1 / sqrt(d)
     * @param cap bound of the scores, 0 for none
     * @param drop dropout on the attention weights
     * @param trace receives the weights, [B, h, Sq, Sk], when it asks for them
     * @return [B, h, Sq, d]
     */
    public static Tensor attend(
            Tensor q,
            Tensor k,
            Tensor v,
            @Nullable Tensor mask,
            boolean causal,
            double scale,
            double cap,
            Dropout drop,
            Trace trace) {
        long heads = q.size(1);
        long shared = k.size(1);
        boolean one = q.size(2) == 1 && !trace.wantsAttention();
        if (one && (heads != shared || cap > 0)) {
            // decoding: the queries of a group are the rows of one product, nothing is repeated
            Tensor grouped = q.view(q.size(0), shared, heads / shared, q.size(3)); // [B, kv, h/kv, d]
            return weigh(grouped, k, v, mask, scale, cap, drop, trace).view(q.sizes()); // [B, h, 1, d]
        }
        Tensor keys = heads == shared ? k : repeat(k, heads);
        Tensor values = heads == shared ? v : repeat(v, heads);
        return cap > 0
                ? weigh(q, keys, values, mask, scale, cap, drop, trace)
                : Attention.attend(q, keys, values, mask, causal, scale, drop, trace);
    }

    private static Tensor weigh(
            Tensor q, Tensor k, Tensor v, @Nullable Tensor mask, double scale, double cap, Dropout drop, Trace trace) {
        Tensor scores = q.matmul(k.transpose(2, 3)).mul(new Scalar(scale)); // [B, h, Sq, Sk]
        if (cap > 0) {
            scores = tanh(scores.div(new Scalar(cap))).mul(new Scalar(cap));
        }
        if (mask != null) {
            scores = scores.add(mask);
        }
        Tensor weights = Ops.type(q) == ScalarType.Float
                ? softmax(scores, -1)
                : softmax(scores.to(ScalarType.Float), -1).to(Ops.type(q));
        weights = drop.active() > 0 ? Dropout.drop(weights, drop.active()) : weights;
        trace.attention(weights);
        return weights.matmul(v); // [B, h, Sq, d]
    }

    /** Every head its own keys: [B, kv, S, d] to [B, h, S, d]. */
    private static Tensor repeat(Tensor x, long heads) {
        long b = x.size(0);
        long kv = x.size(1);
        long s = x.size(2);
        long d = x.size(3);
        return x.unsqueeze(2).expand(b, kv, heads / kv, s, d).reshape(b, heads, s, d);
    }
}
