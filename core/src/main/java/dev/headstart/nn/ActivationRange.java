package dev.headstart.nn;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The values that a layer's input takes, for rounding it to 8 bits: 0 to the highest where none is negative, else symmetric about zero.
 *
 * @param low the lowest value seen; above {@code high} when nothing was measured
 * @param high the highest value seen
 */
public record ActivationRange(float low, float high) {
    /** Not measured: each call has its own. */
    public static final ActivationRange UNKNOWN = new ActivationRange(1, -1);

    private static final float TINY = 1e-6f;

    static ActivationRange of(Tensor x) {
        Tensor wide = x.to(ScalarType.Float);
        // in the order of the memory: aminmax takes 12 times as long where dimensions and memory differ (channels-last)
        boolean inOrder = wide.dim() != 4 || wide.is_contiguous();
        T_TensorTensor_T both = (inOrder ? wide : wide.permute(0, 2, 3, 1)).aminmax();
        return new ActivationRange(both.get0().item_float(), both.get1().item_float());
    }

    boolean measured() {
        return low <= high;
    }

    /** Both ranges together. */
    ActivationRange with(ActivationRange other) {
        return measured() ? new ActivationRange(Math.min(low, other.low), Math.max(high, other.high)) : other;
    }

    /** The step from one of the 256 values to the next. */
    double scale() {
        return low >= 0 ? Math.max(high, TINY) / 255.0 : Math.max(Math.max(-low, high), TINY) / 127.0;
    }

    /** The value that stands for zero. */
    int zero() {
        return low >= 0 ? 0 : 128;
    }

    /** The values in 8 bits, channels-last, uint8; memory of its own. @param x [B, C, H, W] */
    Tensor bytes(Tensor x) {
        return quantized(x).int_repr();
    }

    /** The same without a copy: the memory is freed with the innermost scope, whoever keeps the result. */
    Tensor passingBytes(Tensor x) {
        Tensor q = quantized(x);
        return torch.from_blob(q.data_ptr(), q.shape(), strides(q), Ops.options(ScalarType.Byte));
    }

    private Tensor quantized(Tensor x) {
        Tensor wide = x.to(ScalarType.Float).contiguous(MemoryFormat.ChannelsLast);
        return torch.quantize_per_tensor(wide, scale(), zero(), ScalarType.QUInt8);
    }

    private static long[] strides(Tensor x) {
        long[] strides = new long[4];
        for (int i = 0; i < strides.length; i++) {
            strides[i] = x.stride(i);
        }
        return strides;
    }

    /** What {@link #bytes} stand for, fp32; other values as they are. */
    Tensor values(Tensor x) {
        if (Ops.type(x) != ScalarType.Byte) {
            return x;
        }
        Tensor wide = x.to(ScalarType.Float);
        return (zero() == 0 ? wide : wide.sub_(new Scalar(zero()))).mul_(new Scalar(scale()));
    }
}
