package dev.headstart.nn;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A few elements of a tensor as a Java array. Between two tokens a model's weights run through the processor's caches and drive out the code of libtorch's operators, so
 * that one operator on a row of a few hundred elements takes some ten microseconds: computing the row here takes two (benchmarks/README.md, Decoders).
 */
final class Few {
    private static final long MOST = 1 << 13;

    private Few() {}

    /** Whether the elements of x lie side by side in memory that Java reads, in fp32, and are few. */
    static boolean readable(Tensor x) {
        return x.numel() <= MOST && x.is_cpu() && Ops.type(x) == ScalarType.Float && x.is_contiguous();
    }

    /** The elements. @param x {@link #readable} */
    static float[] read(Tensor x) {
        float[] values = new float[(int) x.numel()];
        x.data_ptr_float().get(values);
        return values;
    }

    /** A tensor of x's shape. @param x {@link #readable} */
    static Tensor like(Tensor x, float[] values) {
        Tensor y = torch.empty_like(x);
        y.data_ptr_float().put(values);
        return y;
    }
}
