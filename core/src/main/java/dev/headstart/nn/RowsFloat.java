package dev.headstart.nn;

import dev.headstart.nn.RowCode.Format;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Weights in fp32 or bfloat16 for models that generate, kept once, as {@link RowProduct} reads them: one token at a time takes every weight once, so the speed
 * of memory is what counts. Many rows (prompts) go through oneDNN on the plain weight, which is laid out for the call; a few rows that come one after the other
 * (beams, several texts) make a packed copy, and keep it.
 */
final class RowsFloat implements Kernel {
    /** Rows from which laying out the weight pays for itself within one call. */
    private static final long LARGE = 64;

    /** Elements of a weight below which it stays in the processor's cache and other kernels are as fast. */
    private static final long SMALL = 1L << 18;

    private final RowProduct rows;
    private final ScalarType type;
    private final long in;
    private final boolean table;
    private final boolean half; // whether a few rows may go through half precision
    private final @Nullable Tensor bias; // [out]
    private volatile @Nullable HalfRows few;
    private volatile @Nullable OneDnn many;
    private int smallBatches; // a hint: races only make a copy a call earlier or later

    /** @param type of the weights, Float or BFloat16; @param w [out, in], any strides; @param table whether an embedding reads rows of this weight */
    RowsFloat(ScalarType type, Tensor w, @Nullable TensorOptional bias, boolean table) {
        this.type = type;
        this.table = table;
        in = w.size(1);
        half = type == ScalarType.BFloat16 && HalfRows.SUPPORTED && HalfDecode.fits(w);
        this.bias =
                bias == null ? null : Memory.keep(bias.get().detach().to(type).clone());
        rows = RowProduct.of(format(type), w, bias == null ? null : bias.get().detach());
    }

    /** Whether there is code for this here. @param w [out, in] */
    static boolean fits(ScalarType type, Tensor w) {
        return w.numel() >= SMALL && RowProduct.fits(format(type), w.size(1));
    }

    private static Format format(ScalarType type) {
        return type == ScalarType.Float ? Format.FP32 : Format.BF16;
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        ScalarType given = Ops.type(x);
        Tensor y = x.numel() == in ? row(x, act) : batch(x, x.numel() / in, act);
        return Ops.type(y) == given ? y : y.to(given);
    }

    @Override
    public Tensor applyAndAdd(Tensor x, Tensor other) {
        if (x.numel() != in || Ops.type(x) != ScalarType.Float || Ops.type(other) != ScalarType.Float) {
            return Kernel.super.applyAndAdd(x, other);
        }
        Kernels.refuseGradients(name());
        smallBatches = 0;
        return rows.apply(x, other);
    }

    private Tensor row(Tensor x, Activation act) {
        smallBatches = 0;
        return act.apply(rows.apply(Ops.type(x) == ScalarType.Float ? x : x.to(ScalarType.Float)));
    }

    private Tensor batch(Tensor x, long count, Activation act) {
        boolean again = count < LARGE && ++smallBatches > 1;
        if (half && again && count <= HalfRows.FEW) {
            HalfRows kept = few;
            return act.apply((kept == null ? few() : kept).multiply(x));
        }
        OneDnn kept = many;
        OneDnn fast = kept == null && again ? many() : kept;
        return fast != null
                ? fast.apply(x, act)
                : Memory.local(() ->
                        OneDnn.plain(x.to(type), rows.plain(), bias, act)); // the laid out weight goes back at once
    }

    private synchronized HalfRows few() {
        HalfRows made = few;
        if (made == null) {
            made = Memory.made(() -> new HalfRows(rows.plain(), bias));
            few = made;
        }
        return made;
    }

    private synchronized OneDnn many() {
        OneDnn made = many;
        if (made == null) {
            made = Memory.made(() -> new OneDnn(rows.plain(), bias == null ? null : new TensorOptional(bias), type));
            many = made;
        }
        return made;
    }

    @Override
    public @Nullable RowSource table() {
        return table ? rows::rows : null;
    }

    @Override
    public String name() {
        return type == ScalarType.Float ? "decode-fp32" : "decode-bf16";
    }

    @Override
    public Tensor weight() {
        return Memory.scoped(() -> rows.plain().to(ScalarType.Float));
    }

    @Override
    public void close() {
        rows.close();
        Memory.close(bias);
        HalfRows some = few;
        if (some != null) {
            some.close();
        }
        OneDnn more = many;
        if (more != null) {
            more.close();
        }
    }
}
