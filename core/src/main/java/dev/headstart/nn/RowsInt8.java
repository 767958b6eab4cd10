package dev.headstart.nn;

import dev.headstart.nn.RowCode.Format;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The 8-bit output layer of a model that generates, tied to the embedding: one table serves both, as {@link RowProduct} reads it. Several rows at a time (batches,
 * beams, the logits of a whole text) go through {@link DynamicInt8}, packed when they first come.
 */
final class RowsInt8 implements Kernel {
    private final RowProduct rows;
    private final Tensor scales; // fp32 [out]
    private final long in;
    private final @Nullable TensorOptional bias;
    private volatile @Nullable DynamicInt8 packed;

    RowsInt8(QuantizedWeight w, @Nullable TensorOptional bias) {
        in = w.in();
        scales = Memory.keep(w.scales().to(ScalarType.Float).clone());
        this.bias = bias == null
                ? null
                : Memory.keep(new TensorOptional(
                        bias.get().detach().to(ScalarType.Float).clone()));
        rows = RowProduct.int8(w, this.bias == null ? null : this.bias.get());
    }

    /** Whether there is code for this here. */
    static boolean fits(QuantizedWeight w) {
        return RowProduct.fits(Format.INT8, w.in());
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        if (x.numel() != in) {
            return several().apply(x, act);
        }
        ScalarType given = Ops.type(x);
        Tensor y = act.apply(rows.apply(given == ScalarType.Float ? x : x.to(ScalarType.Float)));
        return given == ScalarType.Float ? y : y.to(given);
    }

    private QuantizedWeight plain() {
        return new QuantizedWeight(rows.plain(), scales, null);
    }

    private DynamicInt8 several() {
        DynamicInt8 made = packed;
        return made != null ? made : pack();
    }

    private synchronized DynamicInt8 pack() {
        DynamicInt8 made = packed;
        if (made == null) {
            made = Memory.made(() -> new DynamicInt8(plain(), bias, false));
            packed = made;
        }
        return made;
    }

    @Override
    public RowSource table() {
        return rows::rows;
    }

    @Override
    public String name() {
        return "int8";
    }

    @Override
    public Tensor weight() {
        return Memory.scoped(() -> plain().dequantized(ScalarType.Float));
    }

    @Override
    public void close() {
        rows.close();
        scales.close();
        Memory.close(bias);
        DynamicInt8 made = packed;
        if (made != null) {
            made.close();
        }
    }
}
