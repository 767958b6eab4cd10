package dev.headstart.models;

import dev.headstart.HeadstartException;
import dev.headstart.nn.Ops;
import java.nio.LongBuffer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Between Java arrays and tensors, one copy each way. Tensors are made in the caller's scope, on the CPU. */
public final class Tensors {
    private Tensors() {}

    /** Rows of equal length as int64 [B, S]. */
    public static Tensor int64(long[][] rows) {
        int columns = rows.length == 0 ? 0 : rows[0].length;
        Tensor t = Ops.empty(ScalarType.Long, rows.length, columns);
        if (t.numel() > 0) {
            LongBuffer buffer =
                    new LongPointer(t.data_ptr_long()).capacity(t.numel()).asBuffer();
            for (long[] row : rows) {
                if (row.length != columns) {
                    throw new HeadstartException("rows of a batch differ in length (" + columns + " and " + row.length
                            + "); encode with padding");
                }
                buffer.put(row);
            }
        }
        return t;
    }

    /** Values as int64 [n]. */
    public static Tensor int64(long... values) {
        return int64(new long[][] {values}).view(values.length);
    }

    /** Values as float32 of the given shape. */
    public static Tensor float32(float[] values, long... shape) {
        Tensor t = Ops.empty(ScalarType.Float, shape);
        if (values.length != t.numel()) {
            throw new IllegalArgumentException(values.length + " values for " + t.numel() + " elements");
        }
        if (values.length > 0) {
            new FloatPointer(t.data_ptr_float()).capacity(t.numel()).put(values);
        }
        return t;
    }

    /** All elements in row-major order, converted to float. */
    public static float[] floats(Tensor t) {
        Tensor c = t.detach().cpu().to(ScalarType.Float).contiguous();
        float[] out = new float[Math.toIntExact(c.numel())];
        if (out.length > 0) {
            new FloatPointer(c.data_ptr_float()).capacity(c.numel()).asBuffer().get(out);
        }
        return out;
    }

    /** All elements in row-major order, converted to long. */
    public static long[] longs(Tensor t) {
        Tensor c = t.detach().cpu().to(ScalarType.Long).contiguous();
        long[] out = new long[Math.toIntExact(c.numel())];
        if (out.length > 0) {
            new LongPointer(c.data_ptr_long()).capacity(c.numel()).asBuffer().get(out);
        }
        return out;
    }
}
