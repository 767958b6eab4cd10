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

    /** Sum of squares, in four parts that do not wait for each other. */
    static float squares(float[] x, int begin, int end) {
        float a = 0;
        float b = 0;
        float c = 0;
        float d = 0;
        int i = begin;
        for (; i + 3 < end; i += 4) {
            a += x[i] * x[i];
            b += x[i + 1] * x[i + 1];
            c += x[i + 2] * x[i + 2];
            d += x[i + 3] * x[i + 3];
        }
        for (; i < end; i++) {
            a += x[i] * x[i];
        }
        return (a + b) + (c + d);
    }

    /** The same of the values themselves. */
    static float sum(float[] x) {
        float a = 0;
        float b = 0;
        float c = 0;
        float d = 0;
        int i = 0;
        for (; i + 3 < x.length; i += 4) {
            a += x[i];
            b += x[i + 1];
            c += x[i + 2];
            d += x[i + 3];
        }
        for (; i < x.length; i++) {
            a += x[i];
        }
        return (a + b) + (c + d);
    }
}
