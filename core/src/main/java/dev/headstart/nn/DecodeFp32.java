package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.embedding_bag;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * fp32 for models that generate. One token at a time reads every weight once, so the speed of memory is what counts: the product of a row x and the
 * weight is a weighted sum of the weight's columns, and torch's sum of embeddings reads its table a quarter to a half faster than oneDNN's and OpenBLAS'
 * products of one row do (benchmarks/README.md, Decoders). Many rows (prompts) go through oneDNN on the plain weight, which is laid out for the call; small batches
 * (beams, several texts) that come one after the other make a prepacked copy.
 */
final class DecodeFp32 implements Kernel {
    /** Outputs a block: 24 registers of 16. */
    private static final long WIDEST = 384;

    private final ColumnBlocks layout;
    private final Tensor table; // [blocks * in, width]
    private final TensorOptional kept; // the layout's factors
    private final @Nullable Tensor bias;
    private final PackedCopies copies;

    /** @param w [out, in], any strides */
    DecodeFp32(Tensor w, @Nullable TensorOptional bias) {
        layout = new ColumnBlocks(w.size(1), w.size(0), WIDEST, 0);
        Tensor t = Ops.empty(ScalarType.Float, layout.blocks, layout.in, layout.width);
        layout.fill(t, w);
        table = Memory.keep(t.view(layout.blocks * layout.in, layout.width));
        kept = Memory.keep(new TensorOptional(layout.factors()));
        this.bias = bias == null
                ? null
                : Memory.keep(bias.get().detach().to(ScalarType.Float).clone());
        copies = new PackedCopies(ScalarType.Float, false, this.bias, this::plain);
    }

    /** Whether this kernel is the fastest one here. @param w [out, in] */
    static boolean pays(Tensor w) {
        return ColumnBlocks.pays(w.size(1), w.size(0), WIDEST);
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        ScalarType given = Ops.type(x);
        Tensor wide = given == ScalarType.Float ? x : x.to(ScalarType.Float);
        Tensor y = x.numel() == layout.in ? row(wide, act) : batch(wide, act);
        return given == ScalarType.Float ? y : y.to(given);
    }

    private Tensor row(Tensor x, Activation act) {
        copies.single();
        Tensor sums = layout.sums(
                x,
                factors -> embedding_bag(
                                table,
                                layout.inputs(),
                                layout.firsts(),
                                false,
                                0,
                                false,
                                factors == layout.factors() ? kept : new TensorOptional(factors),
                                false)
                        .get0()); // [blocks, width]
        Tensor y = layout.result(sums, x);
        return act.apply(bias == null ? y : y.add_(bias));
    }

    private Tensor batch(Tensor x, Activation act) {
        Tensor fast = copies.apply(x, x.numel() / layout.in, act);
        // the laid out weight goes back at once
        return fast != null ? fast : Memory.local(() -> OneDnn.plain(x, plain(), bias, act));
    }

    private Tensor plain() {
        return layout.plain(table);
    }

    @Override
    public RowSource table() {
        return ids -> layout.rows(table, ids);
    }

    @Override
    public String name() {
        return "decode-fp32";
    }

    @Override
    public Tensor weight() {
        return Memory.scoped(() -> plain().contiguous());
    }

    @Override
    public void close() {
        table.close();
        kept.close();
        layout.close();
        Memory.close(bias);
        copies.close();
    }
}
