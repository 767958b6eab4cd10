package dev.headstart.nn;

import dev.headstart.nn.TileCode.Type;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** 4-bit weights in groups, kept once: few rows through {@link RowProduct}, many on weights that are brought back to bfloat16 for the call. */
final class RowsInt4 implements Kernel {
    /** Rows up to which the product row by row is the faster one; a weight stays in the cache from one to the next. */
    private static final long FEW = 48;

    private final RowProduct rows;
    private final long in;
    private final @Nullable Tensor bias; // bfloat16 [out]

    RowsInt4(QuantizedWeight w, @Nullable TensorOptional bias) {
        in = w.in();
        Tensor b = bias == null ? null : bias.get().detach();
        rows = new RowProduct(w, b);
        this.bias = b == null ? null : Memory.keep(b.to(ScalarType.BFloat16).clone());
    }

    /** Whether there is code for this here. */
    static boolean fits(QuantizedWeight w) {
        return w.group() % RowCode.GROUP == 0 && RowProduct.fits(w.in());
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        ScalarType given = Ops.type(x);
        Tensor wide = given == ScalarType.Float ? x : x.to(ScalarType.Float);
        Tensor y = x.numel() / in <= FEW ? rows.apply(wide, act, null) : many(wide, act, null);
        return Ops.type(y) == given ? y : y.to(given);
    }

    @Override
    public Tensor applyAndAdd(Tensor x, Tensor other) {
        if (Ops.type(x) != ScalarType.Float || Ops.type(other) != ScalarType.Float) {
            return Kernel.super.applyAndAdd(x, other);
        }
        Kernels.refuseGradients(name());
        return x.numel() / in <= FEW ? rows.apply(x, Activation.LINEAR, other) : many(x, Activation.LINEAR, other);
    }

    @Override
    public boolean record(CodeSequence sequence, Tensor x, Activation act, @Nullable Tensor other, Tensor y) {
        return rows.record(sequence, x, act, other, y);
    }

    /** By weights in bfloat16, which are made for the call. */
    private Tensor many(Tensor x, Activation act, @Nullable Tensor other) {
        TileProduct unpacked = rows.unpacked();
        try {
            if (unpacked != null && TileCode.runs(Type.BF16)) {
                return unpacked.apply(x, act, other, ScalarType.Float);
            }
            return Memory.local(() -> {
                Tensor w = unpacked == null ? dequantized(ScalarType.BFloat16) : unpacked.plain();
                Tensor y = OneDnn.plain(x.to(ScalarType.BFloat16), w, bias, act).to(ScalarType.Float);
                return other == null ? y : y.add_(other);
            });
        } finally {
            if (unpacked != null) {
                unpacked.close();
            }
        }
    }

    /** [out, in]. */
    private Tensor dequantized(ScalarType type) {
        Tensor[] parts = rows.groups();
        return QuantizedWeight.dequantized(parts[0], parts[1], parts[2], type);
    }

    @Override
    public String name() {
        return "int4";
    }

    @Override
    public Tensor weight() {
        return Memory.scoped(() -> dequantized(ScalarType.Float));
    }

    @Override
    public void close() {
        rows.close();
        Memory.close(bias);
    }
}
