package dev.headstart.nn;

import java.util.function.Supplier;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Packed copies of a weight that a kernel for single rows keeps in a layout of its own: made when a few rows come again (beams, several texts), and kept. A single row
 * between them begins anew.
 */
final class PackedCopies {
    /** Rows from which laying out the weight pays for itself within one call. */
    private static final long LARGE = 64;

    private final ScalarType type;
    private final boolean half;
    private final @Nullable Tensor bias;
    private final Supplier<Tensor> plain;
    private volatile @Nullable HalfRows few;
    private volatile @Nullable OneDnn many;
    private int smallBatches; // a hint: races only make a copy a call earlier or later

    /**
     * @param type of the products, Float or BFloat16
     * @param half whether up to {@link HalfRows#FEW} rows go through half precision, in whose range the weights lie
     * @param bias [out], the kernel's
     * @param plain makes the weight, [out, in]
     */
    PackedCopies(ScalarType type, boolean half, @Nullable Tensor bias, Supplier<Tensor> plain) {
        this.type = type;
        this.half = half && HalfRows.SUPPORTED;
        this.bias = bias;
        this.plain = plain;
    }

    /** A single row came, by another way. */
    void single() {
        smallBatches = 0;
    }

    /** act(x W^T + b) by a copy; null where there is none and none pays. @param x [..., in], so many rows; @return [..., out] */
    @Nullable
    Tensor apply(Tensor x, long rows, Activation act) {
        boolean again = rows < LARGE && ++smallBatches > 1;
        if (half && again && rows <= HalfRows.FEW) {
            HalfRows kept = few;
            return act.apply((kept == null ? few() : kept).multiply(x));
        }
        OneDnn kept = many;
        OneDnn fast = kept == null && again ? many() : kept;
        return fast == null ? null : fast.apply(x, act);
    }

    private synchronized HalfRows few() {
        HalfRows made = few;
        if (made == null) {
            made = Memory.made(() -> new HalfRows(plain.get(), bias));
            few = made;
        }
        return made;
    }

    private synchronized OneDnn many() {
        OneDnn made = many;
        if (made == null) {
            made = Memory.made(() -> new OneDnn(plain.get(), bias == null ? null : new TensorOptional(bias), type));
            many = made;
        }
        return made;
    }

    void close() {
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
