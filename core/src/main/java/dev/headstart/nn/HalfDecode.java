package dev.headstart.nn;

import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * 16-bit weights for models that generate, kept once, in half precision. One token reads them at the speed of memory: torch's half-precision product of a matrix and
 * a row, which adds in fp32, is faster and more exact than bfloat16. Many rows (prompts) go through oneDNN in bfloat16 on a copy that is made for the call. A few rows
 * that come one after the other (beams, several texts) make a packed copy, and keep it.
 */
final class HalfDecode implements Kernel {
    /** Elements of a weight from which two copies of it are too many. */
    private static final long LARGE_WEIGHT = 1 << 22;

    /** Elements that are converted at a time. */
    private static final long PIECE = 1 << 18;

    /** Elements of memory that is kept from one prompt to the next. */
    private static final long KEPT = 1 << 23;

    private static final AtomicReference<@Nullable Tensor> SPARE = new AtomicReference<>();

    private static final double LARGEST = 65504;
    private final Tensor weight; // half [out, in]
    private final @Nullable Tensor bias; // fp32 [out]
    private final TensorOptional halfBias;
    private final double largestBias;
    private final double longest; // norm of the weight's rows
    private final boolean table;
    private final long in;
    private final PackedCopies copies;

    /** @param w [out, in], any strides; @param table whether an embedding reads rows of this weight */
    HalfDecode(Tensor w, @Nullable TensorOptional bias, boolean table) {
        in = w.size(1);
        weight = Memory.keep(w.to(ScalarType.Half).contiguous());
        this.bias = bias == null
                ? null
                : Memory.keep(bias.get().detach().to(ScalarType.Float).clone());
        halfBias = Memory.keep(
                this.bias == null ? new TensorOptional() : new TensorOptional(this.bias.to(ScalarType.Half)));
        largestBias = this.bias == null ? 0 : this.bias.abs().max().item_double();
        longest = w.norm(new ScalarOptional(new Scalar(2L)), 1).max().item_double();
        this.table = table;
        copies = new PackedCopies(ScalarType.BFloat16, true, this.bias, () -> weight);
    }

    /** Whether one copy is worth the fixed cost of a call, and the processor converts half precision in hardware. */
    static boolean pays(Tensor w, boolean table) {
        Set<String> features = Processor.current().features();
        return (table || w.numel() >= LARGE_WEIGHT)
                && (features.isEmpty() || features.contains("avx2") || features.contains("asimd"));
    }

    /** Whether weights lie inside the range of half precision. */
    static boolean fits(Tensor w) {
        return w.max().item_double() < LARGEST && w.min().item_double() > -LARGEST;
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        ScalarType given = Ops.type(x);
        Tensor y = x.numel() == in ? row(x, act) : batch(x, x.numel() / in, act);
        return Ops.type(y) == given ? y : y.to(given);
    }

    /** By the inequality of Cauchy and Schwarz no result is larger than the norms of x and of a row of the weight, multiplied. */
    private Tensor row(Tensor x, Activation act) {
        copies.single();
        float norm = x.norm().item_float();
        if (norm * longest + largestBias < LARGEST) {
            return act.apply(
                    torch.linear(x.to(ScalarType.Half), weight, halfBias).to(Ops.type(x)));
        }
        Scalar size = new Scalar(norm); // beyond the range of half precision, as Gemma's activations may be
        Tensor y = torch.linear(x.div(size).to(ScalarType.Half), weight)
                .to(ScalarType.Float)
                .mul_(size);
        return act.apply(bias == null ? y : y.add_(bias));
    }

    private Tensor batch(Tensor x, long rows, Activation act) {
        Tensor fast = copies.apply(x, rows, act);
        if (fast != null) {
            return fast;
        }
        Tensor memory = memory();
        try {
            return Memory.local(() -> {
                Tensor b = bias == null ? null : bias.to(ScalarType.BFloat16);
                return OneDnn.plain(x.to(ScalarType.BFloat16), bfloat16(memory), b, act);
            });
        } finally {
            if (memory.numel() > KEPT || !SPARE.compareAndSet(null, memory)) {
                memory.close();
            }
        }
    }

    /** Memory for the weight in bfloat16; fresh memory for every product costs more than filling it. */
    private Tensor memory() {
        Tensor spare = SPARE.getAndSet(null);
        if (spare != null && spare.numel() >= weight.numel()) {
            return spare;
        }
        Memory.close(spare);
        return Memory.keep(Ops.empty(ScalarType.BFloat16, weight.numel()));
    }

    /** The weight, converted by way of fp32, which is four times as fast as at once, in pieces that stay in the processor's cache. */
    private Tensor bfloat16(Tensor memory) {
        long out = weight.size(0);
        Tensor w = memory.narrow(0, 0, out * in).view(out, in);
        long rows = Math.max(1, PIECE / in);
        for (long r = 0; r < out; r += rows) {
            long first = r;
            long count = Math.min(rows, out - r);
            Memory.scoped(() -> {
                w.narrow(0, first, count).copy_(weight.narrow(0, first, count).to(ScalarType.Float));
            });
        }
        return w;
    }

    @Override
    public @Nullable RowSource table() {
        return table ? ids -> torch.embedding(weight, ids).to(ScalarType.Float) : null;
    }

    @Override
    public String name() {
        return "decode-bf16";
    }

    @Override
    public Tensor weight() {
        return Memory.scoped(() -> weight.to(ScalarType.Float));
    }

    @Override
    public void close() {
        weight.close();
        Memory.close(bias);
        halfBias.close();
        copies.close();
    }
}
