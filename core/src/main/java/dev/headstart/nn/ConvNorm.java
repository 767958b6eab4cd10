package dev.headstart.nn;

import java.util.function.Supplier;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.global.torch.ScalarType;
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
    private volatile ActivationRange result = ActivationRange.UNKNOWN;
    private @Nullable ConvNorm reader;
    private Supplier<ActivationRange> added = () -> ActivationRange.UNKNOWN;
    private boolean endsInSum;

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
            Tensor y = activated(normalization.forward(convolution.forward(x)), act);
            if (observed && endsInSum) {
                result = result.with(ActivationRange.of(y));
            }
            return y;
        }
        return f.apply(x, act, null, false);
    }

    /**
     * A residual connection's end.
     *
     * @param other [B, out, H', W']; in 8 bits where {@link #addsInputOf} or {@link #addsResultOf} says so
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

    /** Whether the normalization is by the batch's own statistics in training. */
    public boolean learns() {
        return normalization.learns();
    }

    boolean folded() {
        return folded != null;
    }

    /** The folded convolution; null where there is none. */
    @Nullable
    ConvKernel kernel() {
        return folded;
    }

    /**
     * The input in 8 bits, when this layer computes in them and knows its range: for an input that several layers read, which is so rounded once. As it is
     * otherwise, or when there are 8 bits of it already.
     */
    public Tensor quantized(Tensor x) {
        return Ops.type(x) == ScalarType.Byte || folded == null || GradMode.is_enabled() || !reads8Bits()
                ? x
                : range.bytes(x);
    }

    /** The values of an input that may be in 8 bits. */
    public Tensor values(Tensor x) {
        return range.values(x);
    }

    /** Zero must be zero, so that what is padded with it stays right. */
    private boolean reads8Bits() {
        ConvKernel f = folded;
        return f != null && f.takesBytes() && range.measured() && range.zero() == 0;
    }

    /**
     * Says that {@code next} reads this layer's result, or the largest values of neighbouring places of it, and that everybody else who reads it takes 8 bits in
     * the range of that input.
     */
    public void feeds(ConvNorm next) {
        reader = next;
    }

    /** Says that what is added to this layer's result is what {@code other} reads. */
    public void addsInputOf(ConvNorm other) {
        added = () -> other.range;
    }

    /** Says that what is added to this layer's result is {@code other}'s, which nobody else reads. */
    public void addsResultOf(ConvNorm other) {
        other.endsInSum = true;
        added = () -> other.result;
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

    /** The values that the result takes, where it is {@linkplain #addsResultOf added} to another's: measured for 8 bits as {@link #range} is. */
    public ActivationRange resultRange() {
        return result;
    }

    /** Whether the result is added to another's. */
    public boolean endsInSum() {
        return endsInSum;
    }

    /** Takes a measured range of the result, for the next folding. */
    public void resultRange(ActivationRange measured) {
        result = measured;
    }

    /** @param precision of the folded convolution */
    void fold(Precision precision) {
        unfold();
        Memory.scoped(() -> {
            Tensor[] affine = normalization.affine();
            Tensor w = convolution.weight().tensor().detach();
            Tensor scaled = w.mul(affine[0].detach().view(-1, 1, 1, 1));
            folded = Kernels.convolution(
                    scaled, affine[1].detach(), convolution.shape(), precision, range, out(), added.get());
        });
    }

    private @Nullable ActivationRange out() {
        ConvNorm next = reader;
        return endsInSum ? result : next != null && next.takesInt8() ? next.range : null;
    }

    void unfold() {
        ConvKernel f = folded;
        folded = null;
        if (f != null) {
            f.close();
        }
    }
}
