package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.max_pool2d;

import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The largest value of each window, as {@code torch.nn.MaxPool2d}; of 8-bit activations too. */
public final class MaxPool2d {
    private static final OperatorHandle OF_BYTES = Ops.find("quantized::max_pool2d", "");
    private static final IValue ONES = PackedWeights.both(1);
    private static final IValue NO = Memory.keep(new IValue(false));

    private final long[] size;
    private final long[] stride;
    private final long[] padding;
    private final IValue sizeValue;
    private final IValue strideValue;
    private final IValue paddingValue;

    /** Square windows. */
    public MaxPool2d(long size, long stride, long padding) {
        this.size = new long[] {size, size};
        this.stride = new long[] {stride, stride};
        this.padding = new long[] {padding, padding};
        sizeValue = PackedWeights.both(size);
        strideValue = PackedWeights.both(stride);
        paddingValue = PackedWeights.both(padding);
    }

    /** @param x [B, C, H, W]; @return [B, C, H', W'] */
    public Tensor forward(Tensor x) {
        return Ops.type(x) == ScalarType.Byte
                ? Ops.call(OF_BYTES, new IValue(x), sizeValue, strideValue, paddingValue, ONES, NO)
                : max_pool2d(x, size, stride, padding, new long[] {1, 1}, false);
    }
}
