package dev.headstart.nn;

import static java.util.Objects.requireNonNull;

import dev.headstart.nn.ConvPlaces.Axis;
import dev.headstart.nn.TileCode.Result;
import dev.headstart.nn.TileCode.Rows;
import dev.headstart.nn.TileCode.Type;
import dev.headstart.nn.WinogradCode.Form;
import java.lang.ref.Reference;
import java.util.HashMap;
import java.util.Map;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * What {@link RowWinograd} computes, its products by {@link TileCode} and its sums by {@link WinogradCode}, which pays for single images too. T tiles of four rows.
 */
final class TileWinograd implements ConvKernel {
    /** Values of an input that go through at a time, a thread: more no longer stay in its cache. */
    private static final long VALUES = 150_000;

    /** Places below which reading twice as many weights takes longer than what is saved. */
    private static final long FEWEST_PLACES = 150;

    /** Multiplications and additions of the direct way, a thread, below which eight calls take longer than what they save. */
    private static final double FEWEST_OPERATIONS = 50e6;

    private static final Map<Form, @Nullable MachineCode> MADE = new HashMap<>();
    /** Sizes of input whose plans are kept. */
    private static final int SIZES = 8;

    private final ConvKernel direct;
    private final TileConvolution[] products = new TileConvolution[WinogradCode.ALPHA];
    private final Tensor bias;
    private final Tensor none;
    private final BytePointer zeros;
    private final Map<Size, Plan> plans = new HashMap<>();

    /** What a plan is for. */
    private record Size(long images, long height, long width, long channels) {
        long tiles() {
            return images * ((height + WinogradCode.M - 1) / WinogradCode.M);
        }

        /** Of a sum or a product. */
        long values() {
            return tiles() * width * channels;
        }

        long rowBytes() {
            return width * channels * Float.BYTES;
        }
    }

    /** @param table int64 [images T, 8] @param zeros a row */
    private record Plan(LongPointer table, BytePointer zeros, long parts) {}

    /** @param weight [C, C, 3, 3] @param bias [C] @param direct the same convolution */
    TileWinograd(Tensor weight, Tensor bias, ConvKernel direct) {
        this.direct = direct;
        long c = weight.size(0);
        this.bias = Memory.keep(bias.to(ScalarType.Float).contiguous().clone());
        none = Memory.keep(torch.zeros(c));
        zeros = TileConvolution.bytes(c * Float.BYTES, 0);
        Tensor u = RowWinograd.rows(weight); // [6, C, C, 1, 3]
        for (int k = 0; k < products.length; k++) {
            products[k] = new TileConvolution(Type.FP32, u.select(0, k), new Axis(1, 1, 1, 0), new Axis(1, 3, 1, 1));
        }
    }

    /** @param weight [out, in / groups, kernel, kernel] */
    static boolean fits(Tensor weight, Conv2d.Shape shape) {
        return RowWinograd.fits(weight, shape)
                && TileConvolution.fits(Type.FP32, weight, shape)
                && code(new Form(false, false, false)) != null
                && CodeSequence.available();
    }

    private static @Nullable MachineCode code(Form form) {
        synchronized (MADE) {
            if (!MADE.containsKey(form)) {
                MADE.put(form, WinogradCode.of(form));
            }
            return MADE.get(form);
        }
    }

    /** How many of B images of [C, H, W] go through at a time; 0 for the direct way. */
    static long images(long b, long c, long h, long w, int threads) {
        long most = Math.max(1, VALUES * threads / (c * h * w));
        long pieces = (b + most - 1) / most, n = (b + pieces - 1) / pieces;
        long tiles = (h + WinogradCode.M - 1) / WinogradCode.M;
        boolean fits = WinogradCode.M * tiles <= 1.2 * h // the last tile is full, or there are others
                && (n > 1 || c * h * w <= 4 * VALUES * threads);
        boolean pays = n * h * w >= FEWEST_PLACES && 2.0 * 9 * c * c * h * w * b >= FEWEST_OPERATIONS * threads;
        return fits && pays ? n : 0;
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
        Tensor in = arranged(x);
        Tensor added = other == null ? null : arranged(other);
        Tensor y = Ops.empty(ScalarType.Float, b, h, w, c).permute(0, 3, 1, 2);
        boolean relu = act == Activation.RELU;
        long read = in.data_ptr().address(), written = y.data_ptr().address();
        long more = added == null ? 0 : added.data_ptr().address() - written;
        for (long at = 0; at < b; at += n) {
            Size size = new Size(Math.min(n, b - at), h, w, c);
            long offset = at * h * size.rowBytes();
            CodeSequence sequence = CodeSequence.own();
            Memory.scoped(() -> {
                add(sequence, size, read + offset, written + offset, more, relu);
                sequence.run();
            });
            sequence.clear();
        }
        Reference.reachabilityFence(in);
        Reference.reachabilityFence(added);
        return relu || act == Activation.LINEAR ? y : act.apply(y);
    }

    @Override
    public @Nullable Tensor record(ConvProgram program, Tensor x, Activation act, @Nullable Tensor other) {
        long b = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
        long n = images(b, c, h, w, torch.get_num_threads());
        if (n == 0) {
            return direct.record(program, x, act, other);
        }
        boolean relu = act == Activation.RELU;
        if (n < b
                || Ops.type(x) != ScalarType.Float
                || (other != null && Ops.type(other) != ScalarType.Float)
                || !(relu || act == Activation.LINEAR)) {
            return null;
        }
        Tensor y = program.take(ScalarType.Float, b, h, w, c);
        long written = y.data_ptr().address();
        long more = other == null ? 0 : other.data_ptr().address() - written;
        add(program.sequence(), new Size(b, h, w, c), x.data_ptr().address(), written, more, relu);
        return y;
    }

    /** @param read where the images are @param written where results go @param more from there to what is added; 0 for nothing */
    private void add(CodeSequence sequence, Size size, long read, long written, long more, boolean relu) {
        Plan plan = plan(size);
        sequence.hold(plan);
        Tensor space = sequence.empty(ScalarType.Float, 2L * WinogradCode.ALPHA, size.values());
        long tiles = space.data_ptr().address();
        MachineCode combine = requireNonNull(code(new Form(false, false, false)));
        MachineCode results = requireNonNull(code(new Form(true, more != 0, relu)));
        put(sequence.step(combine), size, plan, read, tiles, 0);
        multiply(sequence, space, size);
        put(sequence.step(results), size, plan, written, tiles + space.nbytes() / 2, more);
    }

    /** From the first half of the space to the second. @param space [2 alpha, values] */
    private void multiply(CodeSequence sequence, Tensor space, Size s) {
        long[] shape = {1, s.channels, s.tiles(), s.width};
        TileCode.Form form = new TileCode.Form(Type.FP32, Rows.PLACES, Result.FP32, false, TileActivation.LINEAR);
        for (int k = 0; k < products.length; k++) {
            // the second row of products is in all rows of the result
            TileConvolution.Ending end = new TileConvolution.Ending(form, k == 1 ? bias : none, zeros, null);
            products[k].record(sequence, space.select(0, k), shape, end, space.select(0, k + WinogradCode.ALPHA));
        }
    }

    private static void put(LongPointer arguments, Size s, Plan plan, long rows, long tiles, long added) {
        arguments.put(
                torch.get_num_threads(),
                s.tiles() * plan.parts,
                plan.parts,
                s.rowBytes() / plan.parts,
                plan.table.address(),
                rows,
                s.rowBytes(),
                plan.zeros.address(),
                tiles,
                s.tiles() * s.rowBytes(),
                added);
    }

    private static Tensor arranged(Tensor x) {
        return x.to(ScalarType.Float).contiguous(MemoryFormat.ChannelsLast);
    }

    private Plan plan(Size size) {
        synchronized (plans) {
            Plan found = plans.get(size);
            if (found == null) {
                if (plans.size() >= SIZES) {
                    plans.clear(); // another thread may still use them, so they are left to the garbage collector
                }
                found = make(size);
                plans.put(size, found);
            }
            return found;
        }
    }

    private static Plan make(Size s) {
        long down = s.tiles() / s.images;
        long[] table = new long[Math.toIntExact(s.tiles() * WinogradCode.ENTRIES)];
        int at = 0;
        for (long i = 0; i < s.images; i++) {
            for (long t = 0; t < down; t++) {
                long top = t * WinogradCode.M;
                for (long y = top - 1; y < top - 1 + WinogradCode.ALPHA; y++) {
                    table[at++] = y >= 0 && y < s.height ? (i * s.height + y) * s.rowBytes() : ConvPlaces.OUTSIDE;
                }
                table[at++] = (i * s.height + top) * s.rowBytes();
                table[at++] = Math.min(WinogradCode.M, s.height - top);
            }
        }
        long parts = 1;
        while (parts < s.width && (s.width % parts != 0 || s.tiles() * parts < 32)) {
            parts++;
        }
        return new Plan(
                Memory.keep(new LongPointer(table)),
                TileConvolution.bytes(s.rowBytes(), 0),
                s.width % parts == 0 ? parts : s.width);
    }

    @Override
    public void close() {
        direct.close();
        for (TileConvolution p : products) {
            p.close();
        }
        bias.close();
        none.close();
        zeros.close();
    }
}
