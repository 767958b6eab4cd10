package dev.headstart.nn;

import static java.util.Objects.requireNonNull;
import static org.bytedeco.pytorch.global.torch.stack;
import static org.bytedeco.pytorch.global.torch.where;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A weight [out, in] in few bits. With 8 bits each output channel has a scale: w = q scale. With 4 bits each group of neighbouring inputs of a channel has a
 * scale and a zero: w = (q - 8) scale + zero, two values a byte, the lower half first.
 *
 * @param values int8 [out, in], of a convolution [out, in, kernel, kernel], or uint8 [out, in / 2]
 * @param scales fp32 [out], or bfloat16 [out, in / group]
 * @param zeros null, or bfloat16 [out, in / group]
 */
public record QuantizedWeight(
        Tensor values, Tensor scales, @Nullable Tensor zeros) {
    /** Inputs that share a scale in 4 bits, unless told otherwise. */
    public static final int GROUP = 32;

    private static final ScalarTypeOptional NO_TYPE = Memory.keep(new ScalarTypeOptional());
    private static final long[] LAST = {-1};
    private static final long PIECE = 1 << 18; // elements
    private static final double[] SHRINK = {1, 0.96, 0.92, 0.88, 0.84, 0.8, 0.75, 0.7};

    /** 8 bits, symmetric, a scale a channel. @param w [out, in, kernel, kernel] of a convolution without groups */
    public static QuantizedWeight convolution(Tensor w) {
        return convolution(w, 127);
    }

    /** The same from -most to most. */
    static QuantizedWeight convolution(Tensor w, int most) {
        QuantizedWeight flat = symmetric(w.flatten(1, -1), most);
        return new QuantizedWeight(flat.values().view(w.shape()), flat.scales(), null);
    }

    /** 8 bits, symmetric, a scale a channel. @param w [out, in] */
    public static QuantizedWeight int8(Tensor w) {
        return symmetric(w, 127);
    }

    private static QuantizedWeight symmetric(Tensor w, int most) {
        Tensor values = Ops.empty(ScalarType.Char, w.size(0), w.size(1));
        Tensor scales = Ops.empty(ScalarType.Float, w.size(0));
        inPieces(w, (start, rows) -> {
            Tensor wide = rows.to(ScalarType.Float);
            Tensor scale =
                    wide.abs().amax(LAST, true).div(new Scalar((double) most)).clamp_min(new Scalar(1e-12)); // [n, 1]
            values.narrow(0, start, rows.size(0)).copy_(wide.div(scale).round());
            scales.narrow(0, start, rows.size(0)).copy_(scale.view(-1));
        });
        return new QuantizedWeight(values, scales, null);
    }

    private interface Piece {
        void of(long start, Tensor rows);
    }

    /** Rows are quantized one by one: in pieces, what is computed on the way stays small beside the weight. */
    private static void inPieces(Tensor w, Piece piece) {
        long most = Math.max(1, PIECE / w.size(1));
        for (long start = 0; start < w.size(0); start += most) {
            long from = start;
            Memory.scoped(() -> piece.of(from, w.narrow(0, from, Math.min(most, w.size(0) - from))));
        }
    }

    /**
     * 4 bits. Each group's range is the one of several, from all its values to a part of them, that changes the weights least (mean square).
     *
     * @param w [out, in]
     * @param group inputs that share a scale: 32, 64, 128 or 256
     * @return null where the sizes do not allow it
     */
    public static @Nullable QuantizedWeight int4(Tensor w, int group) {
        long out = w.size(0);
        long in = w.size(1);
        if (in % group != 0) {
            return null;
        }
        Tensor values = Ops.empty(ScalarType.Byte, out, in / 2);
        Tensor scales = Ops.empty(ScalarType.BFloat16, out, in / group);
        Tensor zeros = Ops.empty(ScalarType.BFloat16, out, in / group);
        inPieces(w, (start, rows) -> {
            QuantizedWeight q = int4Rows(rows, group);
            values.narrow(0, start, rows.size(0)).copy_(q.values);
            scales.narrow(0, start, rows.size(0)).copy_(q.scales);
            zeros.narrow(0, start, rows.size(0)).copy_(requireNonNull(q.zeros));
        });
        return new QuantizedWeight(values, scales, zeros);
    }

    private static QuantizedWeight int4Rows(Tensor w, int group) {
        long out = w.size(0);
        long in = w.size(1);
        Tensor g = w.to(ScalarType.Float).contiguous().view(out, in / group, group);
        Tensor low = g.amin(LAST, true); // [out, in / group, 1]
        Tensor high = g.amax(LAST, true);
        Tensor best = null;
        Tensor bestScale = null;
        Tensor bestZero = null;
        for (double part : SHRINK) {
            Tensor scale = bf16(high.sub(low).mul(new Scalar(part / 15)).clamp_min(new Scalar(1e-9)));
            Tensor zero = bf16(low.mul(new Scalar(part)).add(scale.mul(new Scalar(8.0))));
            Tensor error =
                    decoded(codes(g, scale, zero), scale, zero).sub(g).square().sum(LAST, true, NO_TYPE);
            if (best == null || bestScale == null || bestZero == null) {
                best = error;
                bestScale = scale;
                bestZero = zero;
            } else {
                Tensor better = error.lt(best);
                best = where(better, error, best);
                bestScale = where(better, scale, bestScale);
                bestZero = where(better, zero, bestZero);
            }
        }
        Tensor q = codes(g, requireNonNull(bestScale), requireNonNull(bestZero))
                .to(ScalarType.Byte)
                .view(out, in / 2, 2);
        Tensor pairs = q.select(2, 0).add(q.select(2, 1).mul(new Scalar(16L))); // [out, in / 2]
        return new QuantizedWeight(
                pairs,
                bestScale.to(ScalarType.BFloat16).view(out, in / group),
                bestZero.to(ScalarType.BFloat16).view(out, in / group));
    }

    private static Tensor bf16(Tensor x) {
        return x.to(ScalarType.BFloat16).to(ScalarType.Float);
    }

    private static Tensor codes(Tensor g, Tensor scale, Tensor zero) {
        return g.sub(zero)
                .div(scale)
                .round()
                .add(new Scalar(8.0))
                .clamp_min(new Scalar(0.0))
                .clamp_max(new Scalar(15.0));
    }

    private static Tensor decoded(Tensor codes, Tensor scale, Tensor zero) {
        return codes.sub(new Scalar(8.0)).mul(scale).add(zero);
    }

    /** Bits a weight. */
    public int bits() {
        return zeros == null ? 8 : 4;
    }

    /** Size of the last dimension of the layer's input. */
    public long in() {
        return zeros == null ? values.size(1) : values.size(1) * 2;
    }

    /** Size of the last dimension of the layer's output. */
    public long out() {
        return values.size(0);
    }

    /** Inputs that share a scale. */
    public long group() {
        return zeros == null ? in() : in() / scales.size(1);
    }

    /** The 4-bit values one by one, uint8 [out, in]. */
    Tensor codes() {
        Tensor low = values.bitwise_and(new Scalar(15L));
        Tensor high = values.__rshift__(new Scalar(4L));
        return stack(new TensorVector(low, high), 2).view(out(), in());
    }

    /** The weight that the bits stand for, [out, in]. @param type Float or BFloat16 */
    public Tensor dequantized(ScalarType type) {
        Tensor offset = zeros;
        if (offset == null) {
            return values.to(type)
                    .mul(
                            values.dim() == 4
                                    ? scales.to(type).view(-1, 1, 1, 1)
                                    : scales.to(type).view(-1, 1));
        }
        return dequantized(codes(), scales, offset, type);
    }

    /** @param codes uint8 [out, in]; @param scales [out, in / group]; @param zeros as scales; @return [out, in] */
    static Tensor dequantized(Tensor codes, Tensor scales, Tensor zeros, ScalarType type) {
        Tensor q = codes.to(type).sub_(new Scalar(8.0)).view(codes.size(0), scales.size(1), -1);
        return q.mul_(scales.to(type).unsqueeze(-1))
                .add_(zeros.to(type).unsqueeze(-1))
                .view(codes.size(0), -1);
    }

    /** Some of the rows. */
    QuantizedWeight rows(long start, long count) {
        return new QuantizedWeight(
                values.narrow(0, start, count),
                scales.narrow(0, start, count),
                zeros == null ? null : zeros.narrow(0, start, count));
    }
}
