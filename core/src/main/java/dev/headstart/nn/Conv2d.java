package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.conv2d;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.jspecify.annotations.Nullable;

/** Two-dimensional convolution, as {@code torch.nn.Conv2d}: weight [out, in / groups, kernel, kernel]. */
public final class Conv2d {
    private static final TensorOptional NONE = Memory.keep(new TensorOptional());
    private static final long[] ONES = {1, 1};

    /**
     * Where the kernel goes.
     *
     * @param stride step, the same in both directions
     * @param padding zeros on each side
     * @param dilation distance of the kernel's taps
     * @param groups parts that do not see each other; as many as channels for a depthwise convolution
     */
    public record Shape(long stride, long padding, long dilation, long groups) {
        /** One group, no dilation. */
        public static Shape of(long stride, long padding) {
            return new Shape(stride, padding, 1, 1);
        }

        /** Depthwise: every channel by itself. */
        public static Shape depthwise(long stride, long padding, long channels) {
            return new Shape(stride, padding, 1, channels);
        }
    }

    private final Parameter weight;
    private final @Nullable Parameter bias;
    private final Shape shape;
    private final long[] stride;
    private final long[] padding;
    private final long[] dilation;

    Conv2d(Parameter weight, @Nullable Parameter bias, Shape shape, long strideY, long strideX) {
        this.weight = weight;
        this.bias = bias;
        this.shape = shape;
        stride = new long[] {strideY, strideX};
        padding = new long[] {shape.padding(), shape.padding()};
        dilation = new long[] {shape.dilation(), shape.dilation()};
    }

    /** @param x [B, in, H, W]; @return [B, out, H', W'] */
    public Tensor forward(Tensor x) {
        return apply(x, weight.tensor(), bias == null ? NONE : bias.optional());
    }

    /** The same convolution with other weights. */
    Tensor apply(Tensor x, Tensor weight, TensorOptional bias) {
        if (shape.stride() > 1 && x.is_mkldnn() && weight.size(2) == 1 && weight.size(3) == 1 && shape.padding() == 0) {
            Tensor read = BlockedLayout.every(x, stride); // all that the kernel reads
            return conv2d(read, weight, bias, ONES, padding, dilation, shape.groups());
        }
        return conv2d(x, weight, bias, stride, padding, dilation, shape.groups());
    }

    /** The weight, [out, in / groups, kernel, kernel]. */
    public Parameter weight() {
        return weight;
    }

    /** The bias, [out], if there is one. */
    public @Nullable Parameter bias() {
        return bias;
    }

    /** Stride, padding, dilation, groups. */
    public Shape shape() {
        return shape;
    }
}
