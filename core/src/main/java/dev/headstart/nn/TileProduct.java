package dev.headstart.nn;

import static java.util.Objects.requireNonNull;

import dev.headstart.nn.TileCode.Argument;
import dev.headstart.nn.TileCode.Form;
import dev.headstart.nn.TileCode.Result;
import dev.headstart.nn.TileCode.Rows;
import dev.headstart.nn.TileCode.Type;
import java.lang.ref.Reference;
import java.util.EnumMap;
import java.util.Map;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A weight [out, in] laid out for {@link TileCode}, and its product with any number of rows. A row's result does not depend on how many others there are (of bfloat16,
 * but for the order in which products are added). With 8 bits each row is rounded by itself.
 */
final class TileProduct {
    private static final Map<TileActivation, FloatPointer> CONSTANTS = constants();
    private static final ThreadLocal<Own> OWN = ThreadLocal.withInitial(Own::new);
    private static final int SMALLEST_CHUNK = 4 * TileCode.ROWS;

    /** Of what threads could do, what they must get. */
    private static final double EVEN = 0.94;

    /** What is added to 8 bits with a sign. */
    private static final int MIDDLE = 128;

    /** What a thread keeps: the code's arguments, and room for a few rounded rows. */
    private static final class Own {
        private static final long ROOM = 1 << 16;
        private final LongPointer arguments = Memory.keep(new LongPointer(Argument.values().length));
        private final BytePointer room = Memory.keep(new BytePointer(ROOM));
        private final long roomAt = room.address();
    }

    private final Type type;
    private final long in;
    private final long out;
    private final Panels panels;
    private final Tensor bias; // fp32 [width]
    private final @Nullable Tensor scales; // fp32 [width]
    private final @Nullable Tensor begin; // int32 [width]
    private final long weightAt; // where these lie
    private final long biasAt;
    private final long scalesAt;
    private final long beginAt;

    private TileProduct(Type type, long out, long in, @Nullable Tensor bias, @Nullable Tensor scales) {
        this.type = type;
        this.in = in;
        this.out = out;
        panels = new Panels(out, in / type.inputs * type.words, TileCode.WIDTH);
        this.bias = panels.padded(bias, ScalarType.Float);
        this.scales = scales == null ? null : panels.padded(scales, ScalarType.Float);
        begin = scales == null ? null : panels.padded(null, ScalarType.Int);
        weightAt = panels.address();
        biasAt = address(this.bias);
        scalesAt = address(this.scales);
        beginAt = address(begin);
    }

    /** Where an activation's constants lie. */
    static long constants(TileActivation act) {
        return requireNonNull(CONSTANTS.get(act)).address();
    }

    private static Map<TileActivation, FloatPointer> constants() {
        Map<TileActivation, FloatPointer> all = new EnumMap<>(TileActivation.class);
        for (TileActivation act : TileActivation.values()) {
            all.put(act, Memory.keep(new FloatPointer(act.constants())));
        }
        return all;
    }

    /** Whether there is code of this type here and it fits a weight of so many inputs. */
    static boolean fits(Type type, long in) {
        return in % Math.max(type.inputs, RowCode.LANES) == 0 && TileCode.runs(type);
    }

    /** Weights in fp32 or bfloat16. @param w [out, in], any strides; @param bias [out] */
    static TileProduct of(Type type, Tensor w, @Nullable Tensor bias) {
        TileProduct p = new TileProduct(type, w.size(0), w.size(1), bias, null);
        p.panels.fill((first, rows) ->
                w.narrow(0, first, rows).to(p.element()).contiguous().view(ScalarType.Int));
        return p;
    }

    /** Weights that are to be written. @param bias [out] */
    static TileProduct empty(Type type, long out, long in, @Nullable Tensor bias) {
        return new TileProduct(type, out, in, bias, null);
    }

    /** Where the first panel begins. */
    long weightAt() {
        return weightAt;
    }

    long panelBytes() {
        return panels.bytes();
    }

    /** Weights of 8 bits with a scale a channel. */
    static TileProduct int8(QuantizedWeight w, @Nullable Tensor bias) {
        TileProduct p = new TileProduct(Type.INT8, w.out(), w.in(), bias, w.scales());
        Tensor begin = requireNonNull(p.begin);
        p.panels.fill((first, rows) -> {
            Tensor part = w.values().narrow(0, first, rows).contiguous();
            Tensor sums = torch.sum(part, new long[] {1}).mul(new Scalar((long) -MIDDLE)); // int64
            begin.narrow(0, first, rows).copy_(sums);
            return part.view(ScalarType.Int);
        });
        return p;
    }

    private ScalarType element() {
        return switch (type) {
            case FP32 -> ScalarType.Float;
            case BF16 -> ScalarType.BFloat16;
            case INT8 -> ScalarType.Char;
        };
    }

    /** The weight again: fp32, bfloat16, or int8 before it is scaled, [out, in]. */
    Tensor plain() {
        return panels.plain().view(element());
    }

    /** fp32 [out]; of 8 bits. */
    Tensor scales() {
        return requireNonNull(scales).narrow(0, 0, out);
    }

    /** Rows of the weight, as an embedding reads them. @param ids int64 [...]; @return fp32 [..., in] */
    Tensor rows(Tensor ids) {
        Tensor found = panels.rows(ids).view(element());
        return switch (type) {
            case FP32 -> found;
            case BF16 -> found.to(ScalarType.Float);
            case INT8 ->
                found.to(ScalarType.Float).mul_(requireNonNull(scales).take(ids).unsqueeze(-1));
        };
    }

    /**
     * act(x W^T + b + other).
     *
     * @param x [..., in], fp32 or bfloat16
     * @param act that {@link TileActivation} has, or any where nothing is added
     * @param other [..., out] in the result's type; null for none
     * @param result fp32 or bfloat16
     * @return [..., out]
     */
    Tensor apply(Tensor x, Activation act, @Nullable Tensor other, ScalarType result) {
        if (type == Type.FP32 && Ops.type(x) != ScalarType.Float) {
            return apply(x.to(ScalarType.Float), act, other, result);
        }
        boolean half = result == ScalarType.BFloat16;
        TileActivation fused = TileActivation.of(act, half || type == Type.INT8);
        long[] shape = x.shape();
        shape[shape.length - 1] = out;
        long rows = x.numel() / in;
        boolean whole = panels.width() == out;
        boolean exact = whole && (other == null || other.numel() == rows * out);
        ScalarType written = half ? ScalarType.BFloat16 : ScalarType.Float;
        Tensor y = whole ? Ops.empty(written, shape) : Ops.empty(written, rows, panels.width());
        if (rows > 0) {
            multiply(x, rows, exact ? other : null, y, fused == null ? TileActivation.LINEAR : fused);
        }
        Tensor part = whole ? y : y.narrow(1, 0, out).contiguous().view(shape);
        Tensor sum = exact || other == null ? part : part.add_(other);
        return fused == null ? act.apply(sum) : sum;
    }

    /** As {@link Kernel#record}. */
    boolean record(CodeSequence sequence, Tensor x, Activation act, @Nullable Tensor other, Tensor y) {
        Result result = result(y);
        TileActivation fused = TileActivation.of(act, result == Result.BF16 || type == Type.INT8);
        if (fused == null || panels.width() != out || (type == Type.FP32 && Ops.type(x) != ScalarType.Float)) {
            return false;
        }
        long rows = x.numel() / in;
        Form form = new Form(type, given(x), result, other != null, fused);
        long room = sequence.room(form.rows() == Rows.READY ? 0 : room(rows));
        put(sequence.step(code(form)), form, x, rows, room, other, y);
        return true;
    }

    private static Result result(Tensor y) {
        return Ops.type(y) == ScalarType.BFloat16 ? Result.BF16 : Result.FP32;
    }

    private static MachineCode code(Form form) {
        return requireNonNull(TileCode.of(form));
    }

    /** Bytes of rounded rows and their scales. */
    private long room(long rows) {
        return rows * (in * type.bytes() + Float.BYTES);
    }

    private void multiply(Tensor x, long rows, @Nullable Tensor other, Tensor y, TileActivation act) {
        Form form = new Form(type, given(x), result(y), other != null, act);
        Tensor read = x.is_contiguous() ? x : x.contiguous();
        Tensor added = other == null || other.is_contiguous() ? other : other.contiguous();
        Own own = OWN.get();
        long room = form.rows() == Rows.READY ? 0 : room(rows);
        Tensor rounded = room <= Own.ROOM ? null : Ops.empty(ScalarType.Byte, room);
        put(own.arguments, form, read, rows, rounded == null ? own.roomAt : address(rounded), added, y);
        code(form).call(own.arguments);
        Reference.reachabilityFence(read);
        Reference.reachabilityFence(added);
        Reference.reachabilityFence(rounded);
        Reference.reachabilityFence(this);
    }

    /** @param x [rows, in]; @param room for rounded rows; @param added [rows, width]; @param y [rows, width]; all without gaps */
    private void put(
            LongPointer arguments, Form form, Tensor x, long rows, long room, @Nullable Tensor added, Tensor y) {
        Rows given = form.rows();
        long from = x.data_ptr().address();
        long rowBytes = in * type.bytes();
        long ready = given == Rows.READY ? from : room;
        long to = y.data_ptr().address();
        long threads = torch.get_num_threads();
        long chunk = chunk(rows, threads);
        long items = panels.count * ((rows + chunk - 1) / chunk);
        arguments.put(
                threads,
                items,
                0,
                TileCode.taken(items, threads),
                panels.count,
                weightAt,
                panels.bytes(),
                in / type.inputs,
                ready,
                rowBytes,
                rows,
                chunk,
                ready + rows * rowBytes,
                scalesAt,
                beginAt,
                biasAt,
                added == null ? 0 : added.data_ptr().address() - to,
                to,
                panels.width() * form.result().bytes,
                constants(form.act()),
                0,
                0,
                0,
                0,
                from,
                in * (given == Rows.BF16 ? Short.BYTES : Float.BYTES),
                in / RowCode.LANES);
    }

    /** Float rows are ready for products in fp32 alone, bfloat16 for those in bfloat16; the others are rounded. */
    private Rows given(Tensor x) {
        ScalarType from = Ops.type(x);
        return from == element() ? Rows.READY : from == ScalarType.BFloat16 ? Rows.BF16 : Rows.FP32;
    }

    private static long address(@Nullable Tensor t) {
        return t == null ? 0 : t.data_ptr().address();
    }

    /** All rows, or so many that threads get as many panels each. */
    private long chunk(long rows, long threads) {
        long chunks = 1;
        while (rows / (chunks + 1) >= SMALLEST_CHUNK && evenness(panels.count * chunks, threads) < EVEN) {
            chunks++;
        }
        long tiles = (rows + TileCode.ROWS - 1) / TileCode.ROWS;
        return (tiles + chunks - 1) / chunks * TileCode.ROWS;
    }

    private static double evenness(long items, long threads) {
        return (double) items / ((items + threads - 1) / threads * threads);
    }

    void close() {
        panels.close();
        bias.close();
        Memory.close(scales);
        Memory.close(begin);
    }
}
