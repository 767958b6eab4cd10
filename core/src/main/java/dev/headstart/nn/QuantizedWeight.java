package dev.headstart.nn;

import static java.util.Objects.requireNonNull;
import static org.bytedeco.pytorch.global.torch.stack;
import static org.bytedeco.pytorch.global.torch.where;

import dev.headstart.HeadstartException;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
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
    private static final MemoryFormatOptional NO_FORMAT = Memory.keep(new MemoryFormatOptional());
    private static final int FITS = 2;
    private static final double DAMPING = 0.01;
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
        long in = w.size(1);
        if (in % group != 0) {
            return null;
        }
        QuantizedWeight all = empty4(w.size(0), in, group);
        inPieces(w, (start, rows) -> {
            long out = rows.size(0);
            Tensor g = rows.to(ScalarType.Float).contiguous().view(out, in / group, group);
            Grid grid = Grid.of(g, 0);
            all.rows(start, out).put(pairs(grid.codes(g).view(out, in)), grid);
        });
        return all;
    }

    /**
     * 4 bits for inputs whose products are known: each weight makes up for what rounding took from those before it, so that the layer's outputs change
     * least, not its weights. Frantar et al. 2022 (GPTQ, arXiv 2210.17323), in the form of Chee et al. 2023 (LDLQ, arXiv 2307.13304): the errors of the
     * weights before, times a triangular factor of the products, are added to a weight before it is rounded.
     *
     * @param w [out, in]
     * @param group inputs that share a scale: 32, 64, 128 or 256
     * @param products sum of x^T x over examples, [in, in] ({@link InputProducts})
     * @return null where the sizes do not allow it
     */
    public static @Nullable QuantizedWeight int4(Tensor w, int group, Tensor products) {
        long out = w.size(0);
        long in = w.size(1);
        if (in % group != 0) {
            return null;
        }
        QuantizedWeight all = empty4(out, in, group);
        Memory.scoped(() -> {
            Tensor plain = w.to(ScalarType.Float).t().contiguous(); // [in, out]
            Tensor errors = torch.zeros_like(plain);
            Tensor factor = errorFactor(products); // [in, in]
            for (long start = 0; start < in; start += group) {
                long from = start;
                Memory.scoped(() -> {
                    Tensor wanted = plain.narrow(0, from, group); // [group, out]
                    if (from > 0) {
                        Tensor before = factor.narrow(0, 0, from).narrow(1, from, group);
                        wanted = wanted.add(before.t().mm(errors.narrow(0, 0, from)));
                    }
                    Grid grid = Grid.of(wanted.t().contiguous().view(out, 1, group), FITS);
                    Tensor codes = within(grid, wanted, plain.narrow(0, from, group), factor, errors, from);
                    all.inputs(from, group).put(pairs(codes.t().contiguous()), grid);
                });
            }
        });
        return all;
    }

    /** One group, input by input. @param wanted what is to be rounded, [group, out]; @param plain the weights; @return [group, out] */
    private static Tensor within(Grid grid, Tensor wanted, Tensor plain, Tensor factor, Tensor errors, long from) {
        Tensor scale = grid.scale.view(-1); // [out]
        Tensor zero = grid.zero.view(-1);
        Tensor codes = torch.empty_like(wanted);
        for (long i = 0; i < wanted.size(0); i++) {
            long at = i;
            Memory.scoped(() -> {
                Tensor row = wanted.select(0, at);
                if (at > 0) {
                    Tensor before = factor.select(1, from + at).narrow(0, from, at); // [i]
                    row = row.add(errors.narrow(0, from, at).t().mv(before));
                }
                Tensor q = codes(row, scale, zero);
                codes.select(0, at).copy_(q);
                errors.select(0, from + at).copy_(plain.select(0, at).sub(decoded(q, scale, zero)));
            });
        }
        return codes;
    }

    /**
     * How much of each input's error the inputs after it take over: with P = R D R^T, R upper triangular with ones on its diagonal, that is R. A hundredth
     * of the mean square is added to every input's, so that what examples do not show is not taken for zero.
     */
    private static Tensor errorFactor(Tensor products) {
        return Memory.local(() -> {
            Tensor p = products.to(ScalarType.Double, false, true, NO_FORMAT);
            double mean = p.trace().item_double() / p.size(0);
            if (!(mean < Double.POSITIVE_INFINITY)) {
                throw new HeadstartException("the layers' inputs on the examples are not finite numbers: 4 bits cannot"
                        + " be fitted to them; calibrate on other examples");
            }
            p.diagonal().add_(new Scalar(mean == 0 ? 1 : DAMPING * mean));
            Tensor lower = torch.linalg_cholesky(p.flip(0, 1)); // of the inputs in reverse
            Tensor r = lower.flip(0, 1); // upper triangular, P = R R^T
            return r.div_(r.diagonal()).to(ScalarType.Float);
        });
    }

    private static QuantizedWeight empty4(long out, long in, int group) {
        return new QuantizedWeight(
                Ops.empty(ScalarType.Byte, out, in / 2),
                Ops.empty(ScalarType.BFloat16, out, in / group),
                Ops.empty(ScalarType.BFloat16, out, in / group));
    }

    /** @param codes [out, in]; @return uint8 [out, in / 2] */
    private static Tensor pairs(Tensor codes) {
        Tensor q = codes.to(ScalarType.Byte).view(codes.size(0), -1, 2);
        return q.select(2, 0).add(q.select(2, 1).mul(new Scalar(16L)));
    }

    private void put(Tensor pairs, Grid grid) {
        values.copy_(pairs);
        scales.copy_(grid.scale.view(scales.shape()));
        requireNonNull(zeros).copy_(grid.zero.view(scales.shape()));
    }

    /** Where the sixteen values of each group lie. @param scale from one to the next, fp32 of bfloat16's values, [out, groups, 1]; @param zero of code 8 */
    private record Grid(Tensor scale, Tensor zero) {
        /**
         * The best of several, from all the values of a group to a part of them, by the mean square.
         *
         * @param g [out, groups, group]
         * @param fits how often the line through a group's codes that fits its values best is tried in the grid's place, and then the codes of that line
         */
        static Grid of(Tensor g, int fits) {
            Tensor low = g.amin(LAST, true); // [out, groups, 1]
            Tensor high = g.amax(LAST, true);
            Tensor best = null;
            Grid found = null;
            for (double part : SHRINK) {
                Tensor scale = high.sub(low).mul(new Scalar(part / 15));
                Grid grid = Grid.of(scale, s -> low.mul(new Scalar(part)).add(s.mul(new Scalar(8.0))));
                for (int i = 0; i <= fits; i++) {
                    Tensor codes = grid.codes(g);
                    Tensor error = decoded(codes, grid.scale, grid.zero)
                            .sub(g)
                            .square()
                            .sum(LAST, true, NO_TYPE);
                    if (best == null || found == null) {
                        best = error;
                        found = grid;
                    } else {
                        Tensor better = error.lt(best);
                        best = where(better, error, best);
                        found = new Grid(where(better, grid.scale, found.scale), where(better, grid.zero, found.zero));
                    }
                    if (i < fits) {
                        grid = fitted(g, codes);
                    }
                }
            }
            return requireNonNull(found);
        }

        private static Grid of(Tensor scale, UnaryOperator<Tensor> zero) {
            Tensor s = bf16(scale.clamp_min(new Scalar(1e-9)));
            return new Grid(s, bf16(zero.apply(s)));
        }

        /** Least squares. */
        private static Grid fitted(Tensor g, Tensor codes) {
            Tensor mean = g.mean(LAST, true, NO_TYPE);
            Tensor middle = codes.mean(LAST, true, NO_TYPE);
            Tensor away = codes.sub(middle);
            Tensor spread = away.square().sum(LAST, true, NO_TYPE).clamp_min(new Scalar(1e-9));
            Tensor slope = away.mul(g.sub(mean)).sum(LAST, true, NO_TYPE).div(spread);
            return Grid.of(slope, s -> mean.sub(s.mul(middle.sub(new Scalar(8.0)))));
        }

        Tensor codes(Tensor g) {
            return QuantizedWeight.codes(g, scale, zero);
        }
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

    /** Some of the inputs of a weight of 4 bits, whole groups. */
    private QuantizedWeight inputs(long start, long count) {
        long group = group();
        return new QuantizedWeight(
                values.narrow(1, start / 2, count / 2),
                scales.narrow(1, start / group, count / group),
                requireNonNull(zeros).narrow(1, start / group, count / group));
    }

    /** Some of the rows. */
    QuantizedWeight rows(long start, long count) {
        return new QuantizedWeight(
                values.narrow(0, start, count),
                scales.narrow(0, start, count),
                zeros == null ? null : zeros.narrow(0, start, count));
    }
}
