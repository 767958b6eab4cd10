package dev.headstart.nn;

import org.bytedeco.pytorch.Tensor;

/** How a {@link Linear} computes y = act(x W^T + b). Chosen in one place, {@link Kernels}. */
interface Kernel {
    /**
     * @param x [..., in]
     * @param act applied to the result, fused where the kernel can
     * @return [..., out], in x's type
     */
    Tensor apply(Tensor x, Activation act);

    /**
     * @param x [..., in]
     * @param other [..., out], in x's type; unchanged
     * @return x W^T + b + other, in one pass where the kernel can
     */
    default Tensor applyAndAdd(Tensor x, Tensor other) {
        return apply(x, Activation.LINEAR).add_(other);
    }

    /** Name for reports: plain, packed-fp32, packed-bf16, int8. */
    String name();

    /** The weight [out, in] that this kernel holds, as a new plain fp32 tensor (exact for fp32, rounded for the others). */
    Tensor weight();

    /** Frees what the kernel holds. */
    void close();
}
