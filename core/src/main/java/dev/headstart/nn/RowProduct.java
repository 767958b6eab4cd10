package dev.headstart.nn;

import static java.util.Objects.requireNonNull;

import dev.headstart.nn.BlockCode.Argument;
import dev.headstart.nn.TileCode.Type;
import java.lang.ref.Reference;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A weight of 4 bits [out, in] laid out for {@link RowCode}, and its product with one row, which is rounded to 16 bits, each {@link RowCode#GROUP} of its elements by
 * itself; products are added as whole numbers.
 */
final class RowProduct {
    private static final ThreadLocal<Arguments> ARGUMENTS = ThreadLocal.withInitial(Arguments::new);
    private static final long CONSTANTS = 0xffff0000_0f0f0f0fL;
    private static final long CODES = (long) Float.floatToIntBits(-8) << 32 | 15;

    private static final LongOptional INPUTS = Memory.keep(new LongOptional(1));
    private static final LongOptional ANY_SIZE = Memory.keep(new LongOptional());

    private final long in;
    private final long out;
    private final Panels panels;
    private final Tensor bias; // fp32 [blocks * 16]
    private final Tensor none; // zeros, fp32 [blocks * 16]
    private final long weightAt; // where these lie
    private final long biasAt;

    /** Made when it is first asked for. */
    private static final class Made {
        static final Map<TileActivation, Optional<MachineCode>> ROW = new ConcurrentHashMap<>();
        static final @Nullable MachineCode UNPACK = UnpackCode.of();

        static @Nullable MachineCode row(TileActivation act) {
            return ROW.computeIfAbsent(act, key -> Optional.ofNullable(RowCode.of(key)))
                    .orElse(null);
        }
    }

    /** What the code finds, and room for a row in 16 bits; of one thread. */
    private static final class Arguments {
        private final LongPointer places = Memory.keep(new LongPointer(Argument.values().length));
        private BytePointer room = new BytePointer();
        private long size;

        long room(long bytes) {
            if (size < bytes) {
                Memory.close(room);
                room = Memory.keep(new BytePointer(bytes));
                size = bytes;
            }
            return room.address();
        }
    }

    /** @param w in groups of {@link RowCode#GROUP} or a multiple of it; @param bias [out] */
    RowProduct(QuantizedWeight w, @Nullable Tensor bias) {
        in = w.in();
        out = w.out();
        panels = new Panels(out, RowCode.words(in), RowCode.LANES);
        this.bias = panels.padded(bias, ScalarType.Float);
        none = panels.padded(null, ScalarType.Float);
        weightAt = panels.address();
        biasAt = this.bias.data_ptr().address();
        fill(w);
    }

    /** Whether there is code for this here and it fits a weight of so many inputs. */
    static boolean fits(long in) {
        return in % RowCode.GROUP == 0 && MachineCode.available() != null && Made.row(TileActivation.LINEAR) != null;
    }

    private void fill(QuantizedWeight w) {
        long groups = in / RowCode.GROUP;
        long words = in / 8;
        Tensor bytes = panels.values().view(panels.count, groups, 5, RowCode.LANES);
        panels.inPieces((first, count, rows) -> {
            QuantizedWeight part = w.rows(first * RowCode.LANES, rows);
            Tensor halves = part.codes().view(rows, words, 2, 4); // uint8
            Tensor codes = halves.select(2, 0)
                    .add(halves.select(2, 1).mul(new Scalar(16L)))
                    .view(ScalarType.Int); // [rows, words, 1]
            long repeats = w.group() / RowCode.GROUP;
            Tensor scales = part.scales().to(ScalarType.BFloat16).repeat_interleave(repeats, INPUTS, ANY_SIZE);
            Tensor zeros =
                    requireNonNull(part.zeros()).to(ScalarType.BFloat16).repeat_interleave(repeats, INPUTS, ANY_SIZE);
            Tensor pairs = torch.stack(new TensorVector(scales, zeros), 2).view(ScalarType.Int); // [rows, groups, 1]
            Tensor target = bytes.narrow(0, first, count);
            target.narrow(2, 0, 4)
                    .copy_(panels.lanes(codes.view(rows, words), count).view(count, groups, 4, RowCode.LANES));
            target.select(2, 4).copy_(panels.lanes(pairs.view(rows, groups), count));
        });
    }

    /** The weight in bfloat16, to be closed; null where there is no code for it. */
    @Nullable
    TileProduct unpacked() {
        MachineCode unpack = Made.UNPACK;
        if (unpack == null) {
            return null;
        }
        TileProduct all = TileProduct.empty(Type.BF16, out, in, bias.narrow(0, 0, out));
        Arguments own = ARGUMENTS.get();
        put(own.places, 0, TileActivation.LINEAR, 0, 0, all.weightAt(), all.panelBytes());
        unpack.call(own.places);
        Reference.reachabilityFence(this);
        return all;
    }

    /** The weight again. @return values, uint8 [out, in]; scales and zeros, bfloat16 [out, in / 32] */
    Tensor[] groups() {
        long groups = in / RowCode.GROUP;
        Tensor rows = panels.values()
                .view(panels.count, groups, 5, RowCode.LANES)
                .permute(0, 3, 1, 2)
                .reshape(panels.width(), groups, 5)
                .narrow(0, 0, out); // [out, groups, 5]
        Tensor bytes = rows.narrow(2, 0, 4).contiguous().view(ScalarType.Byte).view(out, in / 8, 1, 4);
        Tensor codes =
                torch.cat(new TensorVector(bytes.bitwise_and(new Scalar(15L)), bytes.__rshift__(new Scalar(4L))), 2);
        Tensor pairs = rows.select(2, 4).contiguous().view(ScalarType.BFloat16).view(out, groups, 2);
        return new Tensor[] {codes.view(out, in), pairs.select(2, 0), pairs.select(2, 1)};
    }

    /** Records the product of one row. @param x fp32 [in]; @param other fp32 [out], null for none; @param y fp32 [out]; @return whether it can be */
    boolean record(CodeSequence sequence, Tensor x, Activation act, @Nullable Tensor other, Tensor y) {
        TileActivation fused = TileActivation.of(act, false);
        if (fused == null || panels.width() != out || x.numel() != in || Ops.type(x) != ScalarType.Float) {
            return false;
        }
        LongPointer places = sequence.step(code(fused));
        long added = (other == null ? none : other).data_ptr().address();
        put(
                places,
                x.data_ptr().address(),
                fused,
                sequence.room(room()),
                added,
                y.data_ptr().address(),
                0);
        return true;
    }

    private static MachineCode code(TileActivation act) {
        return requireNonNull(Made.row(act));
    }

    /** Bytes of a row in 16 bits, and of what its groups have. */
    private long room() {
        return 2 * in + groupCount() * 3 * Float.BYTES;
    }

    private long groupCount() {
        return in / RowCode.GROUP;
    }

    private void put(LongPointer places, long x, TileActivation act, long room, long added, long y, long yBytes) {
        places.put(
                torch.get_num_threads(),
                panels.count,
                weightAt,
                panels.bytes(),
                groupCount(),
                room,
                room + 2 * in,
                biasAt,
                added,
                y,
                yBytes,
                CONSTANTS,
                CODES,
                x,
                TileProduct.constants(act));
    }

    /**
     * @param x fp32 [..., in], one row or a few, one after the other
     * @param other fp32 [..., out]; null for none
     * @return act(x W^T + b + other), [..., out]
     */
    Tensor apply(Tensor x, Activation act, @Nullable Tensor other) {
        TileActivation fused = TileActivation.of(act, false);
        Tensor y = apply(x, fused == null ? TileActivation.LINEAR : fused, other);
        return fused == null ? act.apply(y) : y;
    }

    private Tensor apply(Tensor x, TileActivation act, @Nullable Tensor other) {
        long[] shape = x.shape();
        shape[shape.length - 1] = out;
        long width = panels.width();
        long count = x.numel() / in;
        if (width != out) {
            Tensor y = Ops.empty(ScalarType.Float, count, width);
            multiply(x, act, null, y);
            Tensor part = y.narrow(1, 0, out).reshape(shape);
            return other == null ? part : part.add_(other);
        }
        Tensor y = Ops.empty(ScalarType.Float, shape);
        multiply(x, act, other, y);
        return y;
    }

    private void multiply(Tensor x, TileActivation act, @Nullable Tensor other, Tensor y) {
        Tensor rows = x.contiguous();
        Tensor added = other == null ? none : other.contiguous();
        long from = rows.data_ptr().address();
        long written = y.data_ptr().address();
        long adds = added.data_ptr().address();
        long step = panels.width() * Float.BYTES;
        long count = x.numel() / in;
        MachineCode code = code(act);
        Arguments own = ARGUMENTS.get();
        long room = own.room(room());
        for (long r = 0; r < count; r++) {
            long add = other == null ? adds : adds + r * step;
            put(own.places, from + r * in * Float.BYTES, act, room, add, written + r * step, 0);
            code.call(own.places);
        }
        Reference.reachabilityFence(rows);
        Reference.reachabilityFence(added);
        Reference.reachabilityFence(this);
    }

    void close() {
        panels.close();
        bias.close();
        none.close();
    }
}
