package dev.headstart.nn;

import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** How a convolution with its normalization folded in computes act(convolution(x) + bias + other). Chosen in one place, {@link Kernels}. */
interface ConvKernel {
    /**
     * @param x [B, in, H, W]
     * @param act applied last; by oneDNN where it can
     * @param other [B, out, H', W'], added before the activation; null for none
     * @param mayOverwrite whether nobody reads {@code other} afterwards, so that its memory can take the result
     * @return [B, out, H', W']
     */
    Tensor apply(Tensor x, Activation act, @Nullable Tensor other, boolean mayOverwrite);

    /**
     * Records act(convolution(x) + bias + other).
     *
     * @param x [B, in, H, W] of the program
     * @param other [B, out, H', W'] of the program, which may be written over; null for none
     * @return [B, out, H', W'] of the program; null where the kernel cannot
     */
    default @Nullable Tensor record(ConvProgram program, Tensor x, Activation act, @Nullable Tensor other) {
        return null;
    }

    /** Whether inputs are taken in 8 bits. */
    default boolean takesBytes() {
        return false;
    }

    /** Frees what the kernel holds. */
    void close();
}
