package dev.headstart.nn;

import java.util.Objects;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The 8-bit output layer of a model that generates, tied to the embedding: one table serves both. One token is multiplied by torch's sum of 8-bit embeddings
 * ({@link ColumnBlocks}), at the speed of {@link DynamicInt8} (both read memory at its own) and without rounding the activations; embeddings read rows from the
 * same table. Several rows at a time (batches, beams, the logits of a whole text) go through DynamicInt8, packed when they first come.
 */
final class DecodeInt8 implements Kernel {
    private static final OperatorHandle SUM = Ops.find("quantized::embedding_bag_byte_rowwise_offsets", "");
    private static final IValue NO = Memory.keep(new IValue(false));
    private static final IValue ADD = Memory.keep(new IValue(0L));
    private static final IValue NONE = Memory.keep(new IValue());

    /** Outputs a block: 16 registers of 16. */
    private static final long WIDEST = 256;

    /** Bytes behind the values of each row of the table: what they are multiplied by and what is added, in fp32. */
    private static final long MORE = 8;

    /** What is added to values of -128 to 127, which torch's kernel takes as 0 to 255. */
    private static final int MIDDLE = 128;

    private static final Scalar OFFSET = Memory.keep(new Scalar(MIDDLE));

    private final ColumnBlocks layout;
    private final Tensor table; // uint8 [blocks * in, width + MORE]
    private final Tensor scales; // fp32 [out]
    private final IValue tableValue;
    private final IValue inputs;
    private final IValue firsts;
    private final IValue kept; // the layout's factors
    private final @Nullable Tensor bias;
    private volatile @Nullable DynamicInt8 packed;

    DecodeInt8(QuantizedWeight w, @Nullable TensorOptional bias) {
        layout = new ColumnBlocks(w.in(), w.out(), WIDEST, MORE);
        Tensor t = Ops.empty(ScalarType.Byte, layout.blocks, layout.in, layout.width + MORE);
        layout.fill(t, w.values().view(ScalarType.Byte));
        Tensor values = t.narrow(2, 0, layout.width);
        values.bitwise_xor_(OFFSET); // from two's complement to distance from -128
        t.narrow(2, layout.width, MORE).copy_(Tensor.create(1f, -MIDDLE).view(ScalarType.Byte));
        table = Memory.keep(t.view(layout.blocks * layout.in, layout.width + MORE));
        scales = Memory.keep(w.scales().to(ScalarType.Float).contiguous());
        tableValue = Memory.keep(new IValue(table));
        inputs = Memory.keep(new IValue(layout.inputs()));
        firsts = Memory.keep(new IValue(layout.firsts()));
        kept = Memory.keep(new IValue(layout.factors()));
        this.bias = bias == null
                ? null
                : Memory.keep(bias.get().detach().to(ScalarType.Float).clone());
    }

    static boolean pays(QuantizedWeight w) {
        return ColumnBlocks.pays(w.in(), w.out(), WIDEST);
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        if (x.numel() != layout.in) {
            return several().apply(x, act);
        }
        ScalarType given = Ops.type(x);
        Tensor wide = given == ScalarType.Float ? x : x.to(ScalarType.Float);
        Tensor sums = layout.sums(
                wide,
                factors -> Ops.call(
                        SUM,
                        tableValue,
                        inputs,
                        firsts,
                        NO,
                        ADD,
                        NO,
                        factors == layout.factors() ? kept : new IValue(factors),
                        NONE,
                        NO)); // [blocks, width]
        Tensor y = layout.result(sums, x).mul_(scales);
        y = act.apply(bias == null ? y : y.add_(bias));
        return given == ScalarType.Float ? y : y.to(given);
    }

    private DynamicInt8 several() {
        DynamicInt8 made = packed;
        return made != null ? made : pack();
    }

    private synchronized DynamicInt8 pack() {
        if (packed == null) {
            Memory.scoped(() -> {
                packed = new DynamicInt8(
                        new QuantizedWeight(values(), scales, null),
                        bias == null ? null : new TensorOptional(bias),
                        false);
            });
        }
        return Objects.requireNonNull(packed);
    }

    /** int8 [out, in]. */
    private Tensor values() {
        return layout.plain(table).contiguous().bitwise_xor_(OFFSET).view(ScalarType.Char);
    }

    @Override
    public RowSource table() {
        return ids -> layout.rows(table, ids)
                .to(ScalarType.Float)
                .sub_(OFFSET)
                .mul_(scales.take(ids).unsqueeze(-1));
    }

    @Override
    public String name() {
        return "int8";
    }

    @Override
    public Tensor weight() {
        return Memory.scoped(() -> values().to(ScalarType.Float).mul_(scales.unsqueeze(1)));
    }

    @Override
    public void close() {
        tableValue.close();
        inputs.close();
        firsts.close();
        kept.close();
        table.close();
        scales.close();
        layout.close();
        Memory.close(bias);
        DynamicInt8 made = packed;
        if (made != null) {
            made.close();
        }
    }
}
