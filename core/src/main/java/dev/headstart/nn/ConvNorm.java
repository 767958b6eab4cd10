package dev.headstart.nn;

import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.jspecify.annotations.Nullable;

/**
 * A convolution without bias and its batch normalization. For inference the two can be folded into one convolution with its activation and a residual added;
 * where gradients are asked for, and in training, the plain pair computes.
 */
public final class ConvNorm {
    private final Conv2d convolution;
    private final BatchNorm2d normalization;
    private volatile @Nullable ConvKernel folded;
    private volatile ActivationRange range = ActivationRange.UNKNOWN;
    private volatile boolean observed;
    private @Nullable ConvNorm reader;

    ConvNorm(Conv2d convolution, BatchNorm2d normalization) {
        this.convolution = convolution;
        this.normalization = normalization;
    }

    /** @param x [B, in, H, W]; @return [B, out, H', W'] */
    public Tensor forward(Tensor x) {
        return forward(x, Activation.LINEAR);
    }

    /** @param x [B, in, H, W]; @return act(norm(conv(x))), [B, out, H', W'] */
    public Tensor forward(Tensor x, Activation act) {
        ConvKernel f = folded;
        if (f == null || GradMode.is_enabled()) {
            observe(x);
            return activated(normalization.forward(convolution.forward(x)), act);
        }
        return f.apply(x, act, null, false);
    }

    /**
     * A residual connection's end.
     *
     * @param other [B, out, H', W']
     * @param mayOverwrite whether nobody reads {@code other} afterwards
     * @return act(norm(conv(x)) + other)
     */
    public Tensor forward(Tensor x, Tensor other, Activation act, boolean mayOverwrite) {
        ConvKernel f = folded;
        if (f == null || GradMode.is_enabled()) {
            observe(x);
            Tensor y = normalization.forward(convolution.forward(x));
            return activated(Ops.type(y) == Ops.type(other) ? y.add_(other) : y.add(other), act);
        }
        return f.apply(x, act, other, mayOverwrite);
    }

    /** What nobody else reads is written over: neither the normalization's gradient nor ReLU's needs it, and fresh memory costs more than the arithmetic. */
    private static Tensor activated(Tensor fresh, Activation act) {
        return act == Activation.RELU ? fresh.relu_() : act.apply(fresh);
    }

    /** The input in the order in which the folded convolution is fastest. */
    public Tensor arrange(Tensor x) {
        return folded == null || GradMode.is_enabled() ? x : x.contiguous(MemoryFormat.ChannelsLast);
    }

    /** The convolution. */
    public Conv2d convolution() {
        return convolution;
    }

    /** Whether there is a kernel of 8 bits for this layer. */
    public boolean takesInt8() {
        return Int8Conv2d.fits(convolution.weight().tensor(), convolution.shape());
    }

    boolean folded() {
        return folded != null;
    }

    /** Says that {@code next} alone reads this layer's result, which may then stay in 8 bits. */
    public void feeds(ConvNorm next) {
        reader = next;
    }

    private void observe(Tensor x) {
        if (observed) {
            range = range.with(ActivationRange.of(x));
        }
    }

    /** Measures the inputs of the plain layer from now on, or no longer. */
    void observed(boolean on) {
        observed = on;
    }

    /** The values that the input takes, for 8 bits. */
    public ActivationRange range() {
        return range;
    }

    /** Takes a measured range, for the next folding. */
    public void range(ActivationRange measured) {
        range = measured;
    }

    /** @param precision of the folded convolution */
    void fold(Precision precision) {
        unfold();
        Memory.scoped(() -> {
            Tensor[] affine = normalization.affine();
            Tensor w = convolution.weight().tensor().detach();
            Tensor scaled = w.mul(affine[0].detach().view(-1, 1, 1, 1));
            ConvNorm next = reader;
            folded = Kernels.convolution(
                    scaled,
                    affine[1].detach(),
                    convolution.shape(),
                    precision,
                    range,
                    next == null ? null : next.range);
        });
    }

    void unfold() {
        ConvKernel f = folded;
        folded = null;
        if (f != null) {
            f.close();
        }
    }
}
