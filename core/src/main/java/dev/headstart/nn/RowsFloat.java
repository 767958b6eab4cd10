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
    private final RowProduct rows;
    private final ScalarType type;
    private final long in;
    private final boolean table;
    private final @Nullable Tensor bias; // [out]
    private final PackedCopies copies;

    /** @param type of the weights, Float or BFloat16; @param w [out, in], any strides; @param table whether an embedding reads rows of this weight */
    RowsFloat(ScalarType type, Tensor w, @Nullable TensorOptional bias, boolean table) {
        this.type = type;
        this.table = table;
        in = w.size(1);
        this.bias =
                bias == null ? null : Memory.keep(bias.get().detach().to(type).clone());
        rows = RowProduct.of(format(type), w, bias == null ? null : bias.get().detach());
        boolean half = type == ScalarType.BFloat16 && HalfDecode.fits(w);
        copies = new PackedCopies(type, half, this.bias, rows::plain);
    }

    /** Whether there is code for this here. @param w [out, in] */
    static boolean fits(ScalarType type, Tensor w) {
        return w.numel() >= ColumnBlocks.SMALL && RowProduct.fits(format(type), w.size(1));
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
        copies.single();
        return rows.apply(x, other);
    }

    private Tensor row(Tensor x, Activation act) {
        copies.single();
        return act.apply(rows.apply(Ops.type(x) == ScalarType.Float ? x : x.to(ScalarType.Float)));
    }

    private Tensor batch(Tensor x, long count, Activation act) {
        Tensor fast = copies.apply(x, count, act);
        return fast != null
                ? fast
                : Memory.local(() ->
                        OneDnn.plain(x.to(type), rows.plain(), bias, act)); // the laid out weight goes back at once
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
        copies.close();
    }
}
