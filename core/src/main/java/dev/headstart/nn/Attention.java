package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.rsub;
import static org.bytedeco.pytorch.global.torch.scaled_dot_product_attention;
import static org.bytedeco.pytorch.global.torch.softmax;

import java.util.Arrays;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) and the reshapes around it. */
public final class Attention {
    /** Keys from which on the softmax is faster in bfloat16 than by way of fp32; both round once. */
    private static final int LONG = 64;

    private static final long[] LAST = {-1};

    /** What only a mask adds. */
    private static final double HIDDEN = -1e30;

    private Attention() {}

    /**
     * Query, key and value of a self-attention, which are one product where they are {@linkplain Linear#join joined} and packed.
     *
     * @param x [B, S, E]
     * @return [B, h, S, d] each, in x's type or autocast's
     */
    public static Tensor[] project(Tensor x, long heads, Linear q, Linear k, Linear v) {
        return project(x, x.size(1), heads, true, q, k, v);
    }

    /**
     * The same where only the first positions ask.
     *
     * @param positions how many, from 1 to S
     * @param exact whether 8-bit products give fp32
     * @return query [B, h, positions, d], key and value [B, h, S, d]
     */
    public static Tensor[] project(Tensor x, long positions, long heads, boolean exact, Linear q, Linear k, Linear v) {
        boolean all = positions == x.size(1);
        Tensor[] qkv;
        if (all || q.isJoint()) {
            qkv = Linear.forAttention(x, exact, q, k, v); // [B, S, h d] each
            qkv[0] = all ? qkv[0] : qkv[0].narrow(1, 0, positions); // [B, positions, h d]
        } else {
            Tensor once = Autocast.operand(x);
            qkv = new Tensor[] {q.forward(first(once, positions)), k.forward(once), v.forward(once)};
        }
        Arrays.setAll(qkv, i -> splitHeads(qkv[i], heads));
        return qkv;
    }

    /** The first positions of all. @param x [B, S, E]; @param positions from 1 to S; @return [B, positions, E] */
    public static Tensor first(Tensor x, long positions) {
        return positions == x.size(1) ? x : x.narrow(1, 0, positions).contiguous();
    }

    /** A mask of the first queries. @param mask broadcastable to [B, h, S, S]; @return broadcastable to [B, h, positions, S] */
    public static @Nullable Tensor firstQueries(@Nullable Tensor mask, long positions) {
        return mask == null || mask.size(-2) <= positions ? mask : mask.narrow(-2, 0, positions);
    }

    /** @param x [B, S, h * d]; @return [B, h, S, d] */
    public static Tensor splitHeads(Tensor x, long heads) {
        long b = x.size(0);
        long s = x.size(1);
        return x.view(b, s, heads, x.size(2) / heads).transpose(1, 2); // [B, h, S, d]
    }

    /** @param x [B, h, S, d]; @return [B, S, h * d] */
    public static Tensor mergeHeads(Tensor x) {
        return x.transpose(1, 2).reshape(x.size(0), x.size(2), x.size(1) * x.size(3)); // [B, S, h * d]
    }

    /**
     * softmax(q k^T scale + mask) v.
     *
     * @param q [B, h, Sq, d]
     * @param k [B, h, Sk, d]
     * @param v [B, h, Sk, dv]
     * @param mask added to the scores, broadcastable to [B, h, Sq, Sk]; null when every position may be seen
     * @param scale usually 1 / sqrt(d)
     * @param drop dropout on the attention weights
     * @param trace receives the weights, [B, h, Sq, Sk], when it asks for them
     * @return [B, h, Sq, dv]
     */
    public static Tensor attend(
            Tensor q, Tensor k, Tensor v, @Nullable Tensor mask, double scale, Dropout drop, Trace trace) {
        return attend(q, k, v, mask, false, scale, drop, trace);
    }

    /**
     * The same with a mask of which it may be known what it hides.
     *
     * @param causal the mask hides what comes after each query and nothing else: a GPU's kernels know that by themselves, and read no mask
     */
    public static Tensor attend(
            Tensor q,
            Tensor k,
            Tensor v,
            @Nullable Tensor mask,
            boolean causal,
            double scale,
            Dropout drop,
            Trace trace) {
        if (mask == null && drop.active() == 0 && !trace.wantsAttention()) {
            Tensor y = RowAttention.attend(q, k, v, scale);
            if (y != null) {
                return y;
            }
        }
        if (trace.wantsAttention() || plainIsFaster(q, drop) || hidesARow(mask, trace, q, k, v)) {
            Tensor scores = q.matmul(k.transpose(2, 3)).mul_(new Scalar(scale)); // [B, h, Sq, Sk]
            if (mask != null) {
                scores = scores.add(padding(mask, Ops.type(scores)));
            }
            boolean direct = Ops.type(q) == ScalarType.Float
                    || (k.size(2) >= LONG && Ops.type(scores) == Ops.type(q)); // and gradients keep half as much
            Tensor weights = direct
                    ? softmax(scores, -1) // which adds in fp32
                    : softmax(scores, -1, new ScalarTypeOptional(ScalarType.Float))
                            .to(Ops.type(q));
            weights = drop.active() > 0 ? Dropout.drop(weights, drop.active()) : weights;
            trace.attention(weights);
            return weights.matmul(v); // [B, h, Sq, dv]
        }
        return scaled_dot_product_attention(
                q,
                k,
                v,
                mask == null || causal ? new TensorOptional() : new TensorOptional(forFused(mask, q)),
                drop.active(),
                causal,
                new DoubleOptional(scale),
                false);
    }

    /** A mask of padding in the scores' type, so that these stay in it; biases, which are the same for no two queries, as they are. */
    private static Tensor padding(Tensor mask, ScalarType type) {
        boolean same = Ops.type(mask) == type || mask.requires_grad() || mask.size(-2) > 1;
        return same ? mask : mask.clamp_min(new Scalar(lowest(type))).to(type);
    }

    /**
     * On a GPU the mask in the type that the kernel computes in, and as its kernels need it. They multiply by log2(e), and autocast rounds: the lowest value would
     * become minus infinity, of which a row that sees nothing has no mean. And they read 16 bytes at once, also of a slice that begins between two such places.
     */
    private static Tensor forFused(Tensor mask, Tensor q) {
        if (!q.is_cuda() || !mask.is_floating_point()) {
            return mask;
        }
        ScalarType type = torch.is_autocast_enabled(DeviceType.CUDA) ? ScalarType.BFloat16 : Ops.type(q);
        boolean asItIs = Ops.type(mask) == type && mask.size(-2) > 1;
        Tensor ready =
                asItIs ? mask : mask.clamp_min(new Scalar(lowest(type) / 2)).to(type);
        return ready.data_ptr().address() % 16 == 0 ? ready : ready.clone();
    }

    /** The fused kernel has no fast bf16 path on the CPU, where plain matrix products take half its time, and none that drops weights. */
    private static boolean plainIsFaster(Tensor q, Dropout drop) {
        return !q.is_cuda() && (Ops.type(q) == ScalarType.BFloat16 || drop.active() > 0);
    }

    /**
     * Whether a query that is trained may see nothing: it spreads over all then, and the fused kernel, which takes the row's sum from a logarithm beside
     * the lowest number, gives such rows wrong gradients. The layers of a call share their masks: each is looked through once.
     */
    private static boolean hidesARow(@Nullable Tensor mask, Trace trace, Tensor... qkv) {
        return mask != null
                && mask.is_floating_point()
                && !mask.is_cuda()
                && !mask.requires_grad() // which the fused kernel leaves to plain products
                && Arrays.stream(qkv).anyMatch(Tensor::requires_grad)
                && trace.once(mask, m -> m.amax(LAST, false).min().item_double() < HIDDEN);
    }

    /**
     * Attention of texts from their beginning, no position of which sees a later one: a prompt.
     *
     * @param qkv query, key and value side by side, [B, S, 3 h d]
     * @param scale usually 1 / sqrt(d)
     * @return [B, S, h d]; null where the parts have to be put together by {@link #attend}
     */
    public static @Nullable Tensor causal(Tensor qkv, long heads, double scale) {
        return qkv.is_cpu() && TextAttention.fits(qkv.size(2) / 3 / heads, Ops.type(qkv), qkv.size(1))
                ? TextAttention.causal(qkv, heads, scale)
                : null;
    }

    /**
     * One query's attention whose key and value come with it and are put behind those of before: a step of a generation.
     *
     * @param qkv query, key and value side by side, [1, 1, 3 h d]
     * @param k [R, h, capacity, d], of which the first row is used
     * @param v as k
     * @param length L, with the new one
     * @param scale usually 1 / sqrt(d)
     * @return [1, 1, h d]; null where the parts have to be put together by {@link #attend}
     */
    public static @Nullable Tensor step(Tensor qkv, Tensor k, Tensor v, long length, double scale) {
        return RowAttention.step(qkv, k, v, length, scale);
    }

    /**
     * The additive form of an attention mask: 0 where a key may be seen, the type's lowest value where not.
     *
     * @param mask [B, S] or [B, S, S], not 0 for tokens that count; [B, 1 or h, S, S] is added as it is; null when all count
     * @param type type of the scores
     * @return broadcastable to [B, h, S, S], or null when nothing is masked
     */
    public static @Nullable Tensor additiveMask(@Nullable Tensor mask, ScalarType type) {
        if (mask == null) {
            return null;
        }
        if (mask.dim() == 4) {
            return mask.to(type);
        }
        Tensor counts = mask.ne(new Scalar(0L));
        if (counts.all().item_bool()) {
            return null;
        }
        Tensor keep =
                mask.dim() == 3 ? counts.unsqueeze(1) : counts.unsqueeze(1).unsqueeze(2); // [B, 1, 1 or S, S]
        return rsub(keep.to(type), new Scalar(1.0)).mul(new Scalar(lowest(type))); // 0 or lowest
    }

    /** The lowest finite value of a float type. */
    public static double lowest(ScalarType type) {
        return switch (type) {
            case Half -> -65504.0;
            case BFloat16 -> -3.3895313892515355e38;
            case Double -> -Double.MAX_VALUE;
            default -> -Float.MAX_VALUE;
        };
    }
}
