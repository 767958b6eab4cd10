package dev.headstart.nn;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A 3x3 convolution in fp32 with half of its multiplications: minimal filtering F(4, 3) from row to row (Winograd 1980; Lavin and Gray 2016, "Fast Algorithms
 * for Convolutional Neural Networks"). Four rows of the result are sums of six rows of products, which are 1x3 convolutions of sums of six rows of the input:
 * one grouped convolution of oneDNN. Sums cost memory traffic, so images go through in pieces that stay in the caches, and small inputs, or more threads than
 * an input keeps busy, go the direct way. For inference on the CPU, without gradients. B batch, C channels, T tiles of four rows.
 */
final class RowWinograd implements ConvKernel {
    private static final IValue PLAIN = Memory.keep(new IValue("none"));
    private static final IValue PADDING = Memory.keep(Ops.longs(0, 1));
    private static final IValue ONES = PackedWeights.both(1);
    private static final Scalar ZERO = Memory.keep(new Scalar(0.0));
    private static final Scalar TWO = Memory.keep(new Scalar(2.0));
    private static final Scalar FOUR = Memory.keep(new Scalar(4.0));
    private static final Scalar EIGHT = Memory.keep(new Scalar(8.0));

    /** Rows of the result in a tile. */
    private static final int M = 4;

    /** Rows of products in a tile. */
    private static final int ALPHA = 6;

    private static final IValue GROUPS = Memory.keep(new IValue((long) ALPHA));

    /** Lavin and Gray's G of F(4, 3): the rows of products' weights as sums of the kernel's three. */
    private static final double[] G = {
        1 / 4., 0, 0, -1 / 6., -1 / 6., -1 / 6., -1 / 6., 1 / 6., -1 / 6., 1 / 24., 1 / 12., 1 / 6., 1 / 24., -1 / 12.,
        1 / 6., 0, 0, 1
    };

    private static final long FEWEST_CHANNELS = 64;

    /** Values of an input that go through at a time, a thread: more no longer stay in its cache. */
    private static final long VALUES = 150_000;

    /** Places below which reading twice as many weights takes longer than what is saved. */
    private static final long FEWEST_PLACES = 300;

    /** Multiplications and additions of the direct way, a thread, below which some thirty calls take longer than what they save. */
    private static final double FEWEST_OPERATIONS = 250e6;

    private final ConvKernel direct;
    private final Tensor weight;
    private final IValue bias;
    private final PackedWeights packed;

    /** @param weight [C, C, 3, 3] @param bias [C] @param direct the same convolution */
    RowWinograd(Tensor weight, Tensor bias, ConvKernel direct) {
        this.direct = direct;
        this.weight = Memory.keep(weight.to(ScalarType.Float).contiguous());
        this.bias = Memory.scoped(() -> {
            Tensor all = torch.zeros(ALPHA, weight.size(0));
            all.select(0, 1).copy_(bias); // the row of products that all four rows of the result have in them
            return new IValue(all.view(-1));
        });
        packed = new PackedWeights(this::pack);
    }

    /** @param weight [out, in / groups, kernel, kernel] */
    static boolean fits(Tensor weight, Conv2d.Shape shape) {
        long c = weight.size(0);
        return shape.equals(Conv2d.Shape.of(1, 1))
                && weight.size(1) == c
                && weight.size(2) == 3
                && weight.size(3) == 3
                && c >= FEWEST_CHANNELS
                && c % 16 == 0;
    }

    /** @param size of what is convolved, [1, 6 C, T, W]: oneDNN's order is the same for more images */
    private Tensor pack(IValue size) {
        long c = weight.size(0);
        Tensor u = rows(weight).view(ALPHA * c, c, 1, 3);
        return Ops.call(FusedConv2d.PACK, new IValue(u), PADDING, ONES, ONES, GROUPS, size);
    }

    /** The weights of rows of products. @param weight [C, C, 3, 3]; @return fp32 [6, C, C, 1, 3] */
    static Tensor rows(Tensor weight) {
        long c = weight.size(0);
        Tensor g = Tensor.create(G).view(ALPHA, 3);
        Tensor rows = weight.to(ScalarType.Double).permute(2, 0, 1, 3).reshape(3, -1); // [3, C C 3]
        return g.matmul(rows).view(ALPHA, c, c, 1, 3).to(ScalarType.Float).contiguous();
    }

    /** How many of B images of [C, H, W] go through at a time; 0 for the direct way. */
    static long images(long b, long c, long h, long w, int threads) {
        long most = Math.max(1, VALUES * threads / (c * h * w));
        long pieces = (b + most - 1) / most, n = (b + pieces - 1) / pieces;
        boolean fits = M * tiles(h) <= 1.2 * h // the last tile is full, or there are others
                && (n > 1 || c * h * w <= 4 * VALUES * threads);
        boolean pays = n * h * w >= FEWEST_PLACES && 2.0 * 9 * c * c * h * w * b >= FEWEST_OPERATIONS * threads;
        return fits && pays ? n : 0;
    }

    private static long tiles(long h) {
        return (h + M - 1) / M;
    }

    @Override
    public Tensor apply(Tensor x, Activation act, @Nullable Tensor other, boolean mayOverwrite) {
        Kernels.refuseGradients("fused convolution");
        long n = images(x.size(0), x.size(1), x.size(2), x.size(3), torch.get_num_threads());
        return n == 0 ? direct.apply(x, act, other, mayOverwrite) : apply(x, act, other, n);
    }

    /** @param n images that go through at a time */
    Tensor apply(Tensor x, Activation act, @Nullable Tensor other, long n) {
        long b = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
        Tensor in = arranged(x).permute(0, 2, 3, 1); // [B, H, W, C]
        Tensor added = other == null ? null : arranged(other).permute(0, 2, 3, 1);
        Tensor result = Ops.empty(ScalarType.Float, b, h, w, c);
        for (long at = 0; at < b; at += n) {
            long images = Math.min(n, b - at);
            Workspace space = Workspace.take(images, h, w, c);
            try (PointerScope scope = new PointerScope()) {
                space.combine(in.narrow(0, at, images));
                space.results(products(space));
                Tensor y = result.narrow(0, at, images);
                if (added != null) {
                    torch.add_out(y, space.result, added.narrow(0, at, images));
                    if (act == Activation.RELU) {
                        y.relu_();
                    }
                } else if (act == Activation.RELU) {
                    torch.clamp_min_out(y, space.result, ZERO);
                } else {
                    y.copy_(space.result);
                }
            } finally {
                space.give();
            }
        }
        Tensor y = result.permute(0, 3, 1, 2); // [B, C, H, W]
        return act == Activation.RELU || act == Activation.LINEAR ? y : act.apply(y);
    }

    private static Tensor arranged(Tensor x) {
        return x.to(ScalarType.Float).contiguous(MemoryFormat.ChannelsLast);
    }

    /** @return six of [n, T, W, C] */
    private TensorVector products(Workspace s) {
        Tensor m = Ops.call(
                FusedConv2d.PLAIN,
                s.combinedValue,
                packed.of(new long[] {1, ALPHA * s.c, s.t, s.w}, FusedConv2d.NONE), // whatever the number of images
                bias,
                PADDING,
                ONES,
                ONES,
                GROUPS,
                PLAIN,
                FusedConv2d.NO_SCALARS,
                FusedConv2d.NONE); // [n, 6 C, T, W]
        return m.permute(0, 2, 3, 1).view(s.n, s.t, s.w, ALPHA, s.c).unbind(3);
    }

    @Override
    public void close() {
        direct.close();
        packed.close();
        bias.close();
        weight.close();
        Workspace.clear();
    }

    /** Memory for a piece of a batch, and views of it; the last ones that were used are kept. */
    private static final class Workspace {
        private static final int KEPT = 8;
        private static final Deque<Workspace> FREE = new ArrayDeque<>();

        final long n, h, w, c, t;
        final List<Tensor> all = new ArrayList<>();
        final Tensor inside; // of the input with zeros above and below, [n, H, W, C]
        final Tensor[] d = new Tensor[ALPHA]; // rows of the input, [n, T, W, C] each
        final Tensor combined; // [n, 6 C, T, W], channels last
        final IValue combinedValue;
        final Tensor[] combinations = new Tensor[ALPHA]; // of the same memory, [n, T, W, C] each
        final Tensor[] sums = new Tensor[4]; // [n, T, W, C] each
        final Tensor[] y = new Tensor[M]; // rows of the result, [n, T, W, C] each
        final Tensor result; // of the same memory, [n, H, W, C]

        private Workspace(long n, long h, long w, long c) {
            this.n = n;
            this.h = h;
            this.w = w;
            this.c = c;
            t = tiles(h);
            try (PointerScope scope = new PointerScope()) {
                Tensor padded = torch.zeros(n, M * (t + 1), w, c);
                inside = kept(padded.narrow(1, 1, h));
                Tensor tiled = padded.view(n, t + 1, M, w, c);
                for (int i = 0; i < ALPHA; i++) {
                    d[i] = kept(tiled.narrow(1, i / M, t).select(2, i % M));
                }
                Tensor u = Ops.empty(ScalarType.Float, n, t, w, ALPHA, c);
                combined = kept(u.view(n, t, w, ALPHA * c).permute(0, 3, 1, 2));
                combinedValue = Memory.keep(new IValue(combined));
                for (int i = 0; i < ALPHA; i++) {
                    combinations[i] = kept(u.select(3, i));
                }
                for (int i = 0; i < sums.length; i++) {
                    sums[i] = kept(Ops.empty(ScalarType.Float, n, t, w, c));
                }
                Tensor rows = Ops.empty(ScalarType.Float, n, t, M, w, c);
                for (int i = 0; i < M; i++) {
                    y[i] = kept(rows.select(2, i));
                }
                result = kept(rows.view(n, M * t, w, c).slice(1, new LongOptional(0), new LongOptional(h), 1));
            }
        }

        private Tensor kept(Tensor x) {
            all.add(Memory.keep(x));
            return x;
        }

        static Workspace take(long n, long h, long w, long c) {
            synchronized (FREE) {
                for (Iterator<Workspace> i = FREE.iterator(); i.hasNext(); ) {
                    Workspace s = i.next();
                    if (s.n == n && s.h == h && s.w == w && s.c == c) {
                        i.remove();
                        return s;
                    }
                }
            }
            return new Workspace(n, h, w, c);
        }

        void give() {
            synchronized (FREE) {
                FREE.addFirst(this);
                if (FREE.size() > KEPT) {
                    FREE.removeLast().close();
                }
            }
        }

        static void clear() {
            synchronized (FREE) {
                FREE.forEach(Workspace::close);
                FREE.clear();
            }
        }

        private void close() {
            combinedValue.close();
            all.forEach(Tensor::close);
        }

        /** Lavin and Gray's B^T d. @param x [n, H, W, C] */
        void combine(Tensor x) {
            inside.copy_(x);
            Tensor a = sums[0], b = sums[1], e = sums[2];
            torch.sub_out(a, d[4], d[2], FOUR);
            torch.sub_out(b, d[3], d[1], FOUR);
            torch.add_out(combinations[1], a, b);
            torch.sub_out(combinations[2], a, b);
            torch.sub_out(a, d[4], d[2]);
            torch.sub_out(b, d[3], d[1]);
            torch.add_out(combinations[3], a, b, TWO);
            torch.sub_out(combinations[4], a, b, TWO);
            torch.sub_out(e, d[0], d[2]);
            torch.add_out(combinations[0], a, e, FOUR);
            torch.sub_out(e, d[5], d[3]);
            torch.sub_out(combinations[5], e, b, FOUR);
        }

        /** Lavin and Gray's A^T m. @param products six of [n, T, W, C] */
        void results(TensorVector products) {
            Tensor m1 = products.get(1), m2 = products.get(2), m3 = products.get(3), m4 = products.get(4);
            Tensor a = sums[0], b = sums[1], e = sums[2], f = sums[3];
            torch.add_out(a, m1, m2);
            torch.sub_out(b, m1, m2);
            torch.add_out(e, m3, m4);
            torch.sub_out(f, m3, m4);
            torch.add_out(y[0], products.get(0), a);
            y[0].add_(e);
            torch.add_out(y[1], b, f, TWO);
            torch.add_out(y[2], a, e, FOUR);
            torch.add_out(y[3], b, f, EIGHT);
            y[3].add_(products.get(5));
        }
    }
}
