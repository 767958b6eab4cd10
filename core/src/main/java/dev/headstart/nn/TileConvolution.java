package dev.headstart.nn;

import static java.util.Objects.requireNonNull;

import dev.headstart.nn.ConvPlaces.Axis;
import dev.headstart.nn.TileCode.Form;
import dev.headstart.nn.TileCode.Rows;
import dev.headstart.nn.TileCode.Type;
import java.lang.ref.Reference;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** A convolution's weight [N, C, kernel, kernel] laid out for {@link TileCode}, and its way through images of [H, W, C]. */
final class TileConvolution {
    private static final ThreadLocal<LongPointer> ARGUMENTS =
            ThreadLocal.withInitial(() -> Memory.keep(new LongPointer(TileCode.Argument.values().length)));

    /** Rows from which on more images at a time gain nothing. */
    private static final long MANY_ROWS = 6000;

    /** Bytes of an input's rows that go through at a time: beside the weights they should stay in a core's cache. */
    private static final long CACHE = 384 << 10;

    /** Sizes of input whose plans are kept. */
    private static final int SIZES = 8;

    private final Type type;
    private final Axis y;
    private final Axis x;
    private final long in;
    private final long out;
    private final Tensor weight; // int32 [N / 64, places C / values of a word, 64]
    private final long weightAt;
    private final Map<Size, Plan> plans = new HashMap<>();

    /** What a plan is for. */
    private record Size(long images, long height, long width, int threads) {}

    /** @param places of so many images as go through at a time; @param table null where rows are in order */
    private record Plan(
            ConvPlaces places, long chunk, @Nullable LongPointer table) {}

    /**
     * What is made of the products, as {@link TileCode} takes it.
     *
     * @param outside what is read outside of the image
     * @param added of the result's type and layout
     */
    record Ending(
            Form form,
            @Nullable Tensor rowScales,
            @Nullable Tensor scales,
            @Nullable Tensor begin,
            Tensor bias,
            Pointer outside,
            @Nullable Tensor added) {
        Ending(Form form, Tensor bias, Pointer outside, @Nullable Tensor added) {
            this(form, null, null, null, bias, outside, added);
        }
    }

    /** @param w [N, C, kernel, kernel] in the type */
    TileConvolution(Type type, Tensor w, Conv2d.Shape shape) {
        this(
                type,
                w,
                new Axis(1, w.size(2), shape.stride(), shape.padding()),
                new Axis(1, w.size(3), shape.stride(), shape.padding()));
    }

    /** @param y of any size @param x of any size */
    TileConvolution(Type type, Tensor w, Axis y, Axis x) {
        this.type = type;
        this.y = y;
        this.x = x;
        out = w.size(0);
        in = w.size(1);
        Tensor rows = w.permute(0, 2, 3, 1).contiguous().view(out, -1).view(ScalarType.Int); // [N, words]
        weight = Memory.keep(rows.view(out / TileCode.WIDTH, TileCode.WIDTH, -1)
                .transpose(1, 2)
                .contiguous());
        weightAt = weight.data_ptr().address();
    }

    /** Whether there is code for it. @param w [N, C / groups, kernel, kernel] */
    static boolean fits(Type type, Tensor w, Conv2d.Shape shape) {
        return shape.groups() == 1
                && shape.dilation() == 1
                && w.size(0) % TileCode.WIDTH == 0
                && w.size(1) % type.inputs == 0
                && TileCode.runs(type);
    }

    /** How its rows come. */
    Rows rows() {
        return places(1, 1, 1).inOrder() ? Rows.READY : Rows.PLACES;
    }

    private ConvPlaces places(long images, long h, long w) {
        Axis down = new Axis(h, y.filter(), y.stride(), y.padding());
        return new ConvPlaces(images, down, new Axis(w, x.filter(), x.stride(), x.padding()), in * type.bytes());
    }

    /** A result's memory in a program. @param x [B, C, H, W] */
    Tensor result(ConvProgram program, Tensor x, ScalarType of) {
        ConvPlaces p = places(1, x.size(2), x.size(3));
        return program.take(of, x.size(0), p.y().out(), p.x().out(), out);
    }

    /** A result's memory, [B, N, H', W'], channels last. @param x [B, C, H, W] */
    Tensor result(Tensor x, ScalarType of) {
        ConvPlaces p = places(1, x.size(2), x.size(3));
        return Ops.empty(of, x.size(0), p.y().out(), p.x().out(), out).permute(0, 3, 1, 2);
    }

    /** @param x [B, C, H, W] in the type, channels last; @param y of {@link #result} or like it */
    void apply(Tensor x, Ending end, Tensor y) {
        apply(x, x.shape(), end, y, null);
    }

    /** Adds it to a sequence. @param x memory of [B, H, W, C] @param shape [B, C, H, W] @param y memory of [B, H', W', N] */
    void record(CodeSequence sequence, Tensor x, long[] shape, Ending end, Tensor y) {
        apply(x, shape, end, y, sequence);
    }

    private void apply(Tensor x, long[] shape, Ending end, Tensor y, @Nullable CodeSequence sequence) {
        MachineCode code = requireNonNull(TileCode.of(end.form));
        Plan plan = plan(shape[0], shape[2], shape[3]);
        if (sequence != null) {
            sequence.hold(plan);
        }
        ConvPlaces p = plan.places;
        long words = in * type.bytes() / 4 * p.filterPlaces();
        long read = x.data_ptr().address(), written = y.data_ptr().address();
        long width = out * y.element_size();
        long added = end.added == null ? 0 : address(end.added) - written;
        long tableRow = plan.table == null ? 0 : p.rows() * 8;
        long rowScales = address(end.rowScales), scales = address(end.scales), begin = address(end.begin);
        long bias = address(end.bias);
        long threads = torch.get_num_threads();
        long rows = shape[0] * p.y().out() * p.x().out();
        long panels = out / TileCode.WIDTH;
        for (long at = 0; at < rows; at += p.rows()) {
            long m = Math.min(p.rows(), rows - at);
            long items = panels * ((m + plan.chunk - 1) / plan.chunk);
            LongPointer arguments = sequence == null ? ARGUMENTS.get() : sequence.step(code);
            arguments.put(
                    threads,
                    items,
                    0,
                    TileCode.taken(items, threads),
                    panels,
                    weightAt,
                    words * 4 * TileCode.WIDTH,
                    in / type.inputs,
                    read,
                    in * type.bytes(),
                    m,
                    plan.chunk,
                    rowScales,
                    scales,
                    begin,
                    bias,
                    added,
                    written + at * width,
                    width,
                    0,
                    plan.table == null ? 0 : plan.table.address(),
                    tableRow * p.filterPlaces(),
                    tableRow,
                    end.outside.address());
            if (sequence == null) {
                code.call(arguments);
            }
            read += p.images() * p.y().size() * p.x().size() * p.bytes();
        }
        Reference.reachabilityFence(x);
        Reference.reachabilityFence(y);
        Reference.reachabilityFence(end);
        Reference.reachabilityFence(plan);
        Reference.reachabilityFence(this);
    }

    private static long address(@Nullable Tensor x) {
        return x == null ? 0 : x.data_ptr().address();
    }

    private Plan plan(long images, long h, long w) {
        Size size = new Size(images, h, w, torch.get_num_threads());
        synchronized (plans) {
            Plan found = plans.get(size);
            if (found == null) {
                if (plans.size() >= SIZES) {
                    plans.clear();
                }
                found = make(size);
                plans.put(size, found);
            }
            return found;
        }
    }

    private Plan make(Size size) {
        ConvPlaces one = places(1, size.height, size.width);
        long most = one.inOrder() ? size.images : Math.min(size.images, (MANY_ROWS + one.rows() - 1) / one.rows());
        long pieces = (size.images + most - 1) / most;
        ConvPlaces p = places((size.images + pieces - 1) / pieces, size.height, size.width);
        long bytes = p.bytes() * y.stride() * x.stride() + (p.inOrder() ? 0 : p.filterPlaces() * Long.BYTES);
        long chunk = chunk(p.rows(), out / TileCode.WIDTH, size.threads, Math.max(1, CACHE / bytes));
        return new Plan(p, chunk, p.inOrder() ? null : p.table());
    }

    /** Rows of a chunk, a multiple of a tile's, of which threads get equal parts. @param most rows that a cache holds */
    static long chunk(long rows, long panels, int threads, long most) {
        long fewest = Math.max(1, (rows + most - 1) / most), best = 0, least = Long.MAX_VALUE;
        for (long chunks = fewest; chunks < fewest + 2L * threads; chunks++) {
            long tiles = (rows + chunks * TileCode.ROWS - 1) / (chunks * TileCode.ROWS);
            long chunk = tiles * TileCode.ROWS;
            long share = largest(rows, panels, threads, chunk);
            if (share < least) {
                least = share;
                best = chunk;
            }
        }
        return best;
    }

    /** The most rows times panels that a thread gets. */
    private static long largest(long rows, long panels, int threads, long chunk) {
        long items = panels * ((rows + chunk - 1) / chunk), most = 0;
        for (int t = 0; t < threads; t++) {
            long from = before(rows, panels, chunk, items * t / threads);
            most = Math.max(most, before(rows, panels, chunk, items * (t + 1) / threads) - from);
        }
        return most;
    }

    /** Rows of all items before one. */
    private static long before(long rows, long panels, long chunk, long item) {
        long first = item / panels * chunk;
        return first * panels
                - Math.max(0, first - rows) * panels
                + item % panels * Math.min(chunk, Math.max(0, rows - first));
    }

    void close() {
        weight.close();
    }

    /** So many bytes of one value, kept. */
    static BytePointer bytes(long count, int value) {
        byte[] all = new byte[Math.toIntExact(count)];
        Arrays.fill(all, (byte) value);
        return Memory.keep(new BytePointer(all));
    }
}
