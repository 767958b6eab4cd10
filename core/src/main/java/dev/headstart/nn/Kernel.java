package dev.headstart.nn;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** How a {@link Linear} computes y = act(x W^T + b). Chosen in one place, {@link Kernels}. */
interface Kernel {
    /**
     * @param x [..., in]
     * @param act applied to the result, fused where the kernel can
     * @return [..., out], in x's type
     */
    Tensor apply(Tensor x, Activation act);

    /** The same in another type than x's, at once where the kernel can. */
    default Tensor apply(Tensor x, Activation act, ScalarType type) {
        Tensor y = apply(x, act);
        return Ops.type(y) == type ? y : y.to(type);
    }

    /**
     * @param x [..., in]
     * @param other [..., out]; unchanged
     * @return x W^T + b + other in other's type, in one pass where the kernel can
     */
    default Tensor applyAndAdd(Tensor x, Tensor other) {
        return apply(x, Activation.LINEAR, Ops.type(other)).add_(other);
    }

    /**
     * Records y = act(x W^T + b + other).
     *
     * @param x [..., in], fp32 or bfloat16, without gaps
     * @param other [..., out] in y's type; null for none
     * @param y [..., out], fp32 or bfloat16, without gaps; it may be {@code other}
     * @return false where the kernel cannot
     */
    default boolean record(CodeSequence sequence, Tensor x, Activation act, @Nullable Tensor other, Tensor y) {
        return false;
    }

    /** Whether results that are rounded further on may come in bfloat16 where the processor is faster so: query, key and value, what an activation made. */
    default boolean halves() {
        return false;
    }

    /** Name for reports: plain, packed-fp32, packed-bf16, int8. */
    String name();

    /** The weight [out, in] that this kernel holds, as a new plain fp32 tensor (exact for fp32, rounded for the others). */
    Tensor weight();

    /** How an embedding that shares the weight reads its rows from this kernel; null where it cannot, and the plain weight stays. */
    default @Nullable RowSource table() {
        return null;
    }

    /** Frees what the kernel holds. */
    void close();
}
