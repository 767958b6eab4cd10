package dev.headstart.nn;

import static java.util.Objects.requireNonNull;

import dev.headstart.nn.BlockCode.Argument;
import dev.headstart.nn.RowCode.Format;
import java.lang.ref.Reference;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.Map;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A weight [out, in] laid out for {@link RowCode}, and its product with one row. With 8 and 4 bits the row is rounded to 16 bits, each {@link RowCode#GROUP} of
 * its elements by itself, and products are added as whole numbers.
 */
final class RowProduct {
    /** Elements that are laid out at a time. */
    private static final long PIECE = 1 << 20;

    /** Codes that have been asked for; null where they cannot be made. */
    private static final Map<Format, @Nullable MachineCode> MADE = new EnumMap<>(Format.class);

    private static final ThreadLocal<Arguments> ARGUMENTS = ThreadLocal.withInitial(Arguments::new);
    private static final long CONSTANTS = 0xffff0000_0f0f0f0fL;
    private static final long CODES = (long) Float.floatToIntBits(-8) << 32 | 15;

    /** The largest of 16 bits whose upper byte, rounded, has 8. */
    private static final float MOST = 127 * 256 + 127;

    /** What is added to 8 bits with a sign. */
    private static final Scalar MIDDLE = Memory.keep(new Scalar(128L));

    private static final LongOptional INPUTS = Memory.keep(new LongOptional(1));
    private static final LongOptional ANY_SIZE = Memory.keep(new LongOptional());
    private static final Scalar LANES = Memory.keep(new Scalar((long) RowCode.LANES));

    private final Format format;
    private final MachineCode code;
    private final long in;
    private final long out;
    private final long blocks;
    private final Tensor weight; // [blocks, bytes of a block], as the format says
    private final Tensor bias; // fp32 [blocks * 16]
    private final Tensor none; // zeros, fp32 [blocks * 16]
    private final @Nullable Tensor scales; // fp32 [blocks * 16]
    private final long weightAt; // where these lie
    private final long biasAt;
    private final long scalesAt;

    /** What the code finds, and a row in 16 bits; of one thread. */
    private static final class Arguments {
        private final LongPointer places = Memory.keep(new LongPointer(Argument.values().length));
        private BytePointer bytes = new BytePointer();
        private FloatPointer groups = new FloatPointer();
        private int size;

        void put(RowProduct of, long x, long added, long scales, long y) {
            places.put(
                    torch.get_num_threads(),
                    of.weightAt,
                    of.blocks,
                    of.format.bytes(of.in),
                    of.in / of.format.inputs,
                    x,
                    groups.address(),
                    of.biasAt,
                    added,
                    scales,
                    y,
                    CONSTANTS,
                    CODES);
        }

        void room(int in) {
            if (size < in) {
                Memory.close(bytes);
                Memory.close(groups);
                bytes = Memory.keep(new BytePointer(2L * in));
                groups = Memory.keep(new FloatPointer(3L * in / RowCode.GROUP));
                size = in;
            }
        }
    }

    private RowProduct(Format format, long out, long in, @Nullable Tensor bias, @Nullable Tensor scales) {
        this.format = format;
        this.code = requireNonNull(code(format));
        this.in = in;
        this.out = out;
        blocks = (out + RowCode.LANES - 1) / RowCode.LANES;
        weight = Memory.keep(Ops.empty(ScalarType.Byte, blocks, format.bytes(in)));
        this.bias = padded(bias);
        none = padded(null);
        this.scales = scales == null ? null : padded(scales);
        weightAt = weight.data_ptr().address();
        biasAt = this.bias.data_ptr().address();
        scalesAt = this.scales == null ? 0 : this.scales.data_ptr().address();
    }

    private Tensor padded(@Nullable Tensor values) {
        Tensor all = torch.zeros(blocks * RowCode.LANES);
        if (values != null) {
            all.narrow(0, 0, out).copy_(values);
        }
        return Memory.keep(all);
    }

    private static synchronized @Nullable MachineCode code(Format format) {
        if (!MADE.containsKey(format)) {
            MADE.put(format, RowCode.of(format));
        }
        return MADE.get(format);
    }

    /** Whether there is a code for this format here and it fits a weight of so many inputs. */
    static boolean fits(Format format, long in) {
        return in % format.inputs == 0 && MachineCode.available() != null && code(format) != null;
    }

    /** Weights in fp32 or bfloat16. @param w [out, in], any strides; @param bias [out] */
    static RowProduct of(Format format, Tensor w, @Nullable Tensor bias) {
        boolean half = format == Format.BF16;
        ScalarType type = half ? ScalarType.BFloat16 : ScalarType.Float;
        RowProduct p = new RowProduct(format, w.size(0), w.size(1), bias, null);
        long words = half ? p.in / 2 : p.in; // of 32 bits
        p.fill(words, (first, rows) -> {
            Tensor part = w.narrow(0, first, rows).to(type).contiguous();
            return part.view(ScalarType.Int);
        });
        return p;
    }

    /** Weights of 8 bits with a scale a channel. */
    static RowProduct int8(QuantizedWeight w, @Nullable Tensor bias) {
        RowProduct p = new RowProduct(Format.INT8, w.out(), w.in(), bias, w.scales());
        p.fill(
                p.in / 4,
                (first, rows) -> w.values()
                        .narrow(0, first, rows)
                        .contiguous()
                        .view(ScalarType.Byte)
                        .bitwise_xor(MIDDLE) // 128 more
                        .view(ScalarType.Int));
        return p;
    }

    /** Weights of 4 bits in groups of {@link RowCode#GROUP} or a multiple of it. */
    static RowProduct int4(QuantizedWeight w, @Nullable Tensor bias) {
        RowProduct p = new RowProduct(Format.INT4, w.out(), w.in(), bias, null);
        long groups = p.in / RowCode.GROUP;
        long words = p.in / 8;
        Tensor bytes = p.weight.view(ScalarType.Int).view(p.blocks, groups, 5, RowCode.LANES);
        pieces(p.blocks, p.in, (first, count) -> {
            long rows = Math.min(count * RowCode.LANES, p.out - first * RowCode.LANES);
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
            target.narrow(2, 0, 4).copy_(lanes(codes.view(rows, words), count).view(count, groups, 4, RowCode.LANES));
            target.select(2, 4).copy_(lanes(pairs.view(rows, groups), count));
        });
        return p;
    }

    /** Some rows of a weight as words of 32 bits. */
    private interface Words {
        /** @return int32 [rows, words] */
        Tensor of(long first, long rows);
    }

    private interface Blocks {
        void of(long first, long count);
    }

    private void fill(long words, Words source) {
        Tensor target = weight.view(ScalarType.Int).view(blocks, words, RowCode.LANES);
        pieces(blocks, words, (first, count) -> {
            long rows = Math.min(count * RowCode.LANES, out - first * RowCode.LANES);
            target.narrow(0, first, count).copy_(lanes(source.of(first * RowCode.LANES, rows), count));
        });
    }

    private static void pieces(long blocks, long words, Blocks body) {
        long most = Math.max(1, PIECE / words / RowCode.LANES);
        for (long start = 0; start < blocks; start += most) {
            long first = start;
            Memory.scoped(() -> body.of(first, Math.min(most, blocks - first)));
        }
    }

    /** @param words int32 [rows, words], of so many blocks or less; @return [blocks, words, 16] */
    private static Tensor lanes(Tensor words, long blocks) {
        long more = blocks * RowCode.LANES - words.size(0);
        Tensor all = more == 0 ? words : torch.constant_pad_nd(words, new long[] {0, 0, 0, more}, new Scalar(0L));
        return all.view(blocks, RowCode.LANES, words.size(1)).transpose(1, 2);
    }

    /** @return int32 [out, words], as {@link #fill} took them */
    private Tensor words(long words) {
        return weight.view(ScalarType.Int)
                .view(blocks, words, RowCode.LANES)
                .transpose(1, 2)
                .reshape(blocks * RowCode.LANES, words)
                .narrow(0, 0, out)
                .contiguous();
    }

    /** The weight again: fp32, bfloat16, or int8 before it is scaled, [out, in]. */
    Tensor plain() {
        return switch (format) {
            case FP32 -> words(in).view(ScalarType.Float);
            case BF16 -> words(in / 2).view(ScalarType.BFloat16);
            case INT8 -> words(in / 4).view(ScalarType.Byte).bitwise_xor(MIDDLE).view(ScalarType.Char);
            case INT4 -> throw new IllegalStateException("see codes");
        };
    }

    /**
     * Rows of a weight that is not in 4 bits, as an embedding reads them.
     *
     * @param ids int64 [...]
     * @return fp32 [..., in]
     */
    Tensor rows(Tensor ids) {
        long words = format.bytes(in) / RowCode.LANES / Integer.BYTES;
        long[] shape = Arrays.copyOf(ids.shape(), (int) ids.dim() + 1);
        shape[shape.length - 1] = in;
        Tensor flat = weight.view(ScalarType.Int).view(-1);
        Tensor found;
        if (ids.numel() == 1 && ids.is_cpu()) {
            long row = ids.item_long();
            long first = row / RowCode.LANES * RowCode.LANES * words + row % RowCode.LANES;
            found = flat.as_strided(new long[] {words}, new long[] {RowCode.LANES}, new LongOptional(first))
                    .contiguous();
        } else {
            Tensor lane = ids.remainder(LANES); // row r is lane r % 16 of block r / 16
            Tensor first = ids.sub(lane).mul(new Scalar(words)).add_(lane).unsqueeze(-1);
            found = flat.take(first.add(steps(words)));
        }
        return switch (format) {
            case FP32 -> found.view(ScalarType.Float).view(shape);
            case BF16 -> found.view(ScalarType.BFloat16).view(shape).to(ScalarType.Float);
            default ->
                found.view(ScalarType.Byte)
                        .view(shape)
                        .to(ScalarType.Float)
                        .sub_(MIDDLE)
                        .mul_(requireNonNull(scales).take(ids).unsqueeze(-1));
        };
    }

    private static Tensor steps(long words) {
        return torch.arange(new Scalar(words)).mul(LANES).to(ScalarType.Long);
    }

    /** Of 4 bits: the weight in bfloat16, [out, in], the transpose of a contiguous tensor; null where there is no code for it. */
    @Nullable
    Tensor unpacked() {
        MachineCode unpack = Unpack.CODE;
        if (unpack == null) {
            return null;
        }
        long width = blocks * RowCode.LANES;
        Tensor w = Ops.empty(ScalarType.BFloat16, in, width);
        Arguments own = ARGUMENTS.get();
        own.put(this, 0, 0, width * 2, w.data_ptr().address());
        unpack.call(own.places);
        Reference.reachabilityFence(this);
        return (width == out ? w : w.narrow(1, 0, out).contiguous()).t();
    }

    /** Made when it is first asked for. */
    private static final class Unpack {
        static final @Nullable MachineCode CODE = UnpackCode.of();
    }

    /** Of 4 bits. @return values, uint8 [out, in]; scales and zeros, bfloat16 [out, in / 32] */
    Tensor[] groups() {
        long groups = in / RowCode.GROUP;
        Tensor rows = weight.view(ScalarType.Int)
                .view(blocks, groups, 5, RowCode.LANES)
                .permute(0, 3, 1, 2)
                .reshape(blocks * RowCode.LANES, groups, 5)
                .narrow(0, 0, out); // [out, groups, 5]
        Tensor bytes = rows.narrow(2, 0, 4).contiguous().view(ScalarType.Byte).view(out, in / 8, 1, 4);
        Tensor codes =
                torch.cat(new TensorVector(bytes.bitwise_and(new Scalar(15L)), bytes.__rshift__(new Scalar(4L))), 2);
        Tensor pairs = rows.select(2, 4).contiguous().view(ScalarType.BFloat16).view(out, groups, 2);
        return new Tensor[] {codes.view(out, in), pairs.select(2, 0), pairs.select(2, 1)};
    }

    /** @param x fp32 [..., in], one row or a few, one after the other; @return x W^T + b, [..., out] */
    Tensor apply(Tensor x) {
        return apply(x, null);
    }

    /** @param other fp32 [..., out]; null for none; @return x W^T + b + other, [..., out] */
    Tensor apply(Tensor x, @Nullable Tensor other) {
        long[] shape = x.shape();
        shape[shape.length - 1] = out;
        long width = blocks * RowCode.LANES;
        long count = x.numel() / in;
        if (width != out) {
            Tensor y = Ops.empty(ScalarType.Float, count, width);
            multiply(x, null, y);
            Tensor part = y.narrow(1, 0, out).reshape(shape);
            return other == null ? part : part.add_(other);
        }
        Tensor y = Ops.empty(ScalarType.Float, shape);
        multiply(x, other, y);
        return y;
    }

    private void multiply(Tensor x, @Nullable Tensor other, Tensor y) {
        Tensor rows = x.contiguous();
        Tensor added = other == null ? none : other.contiguous();
        FloatPointer read = rows.data_ptr_float();
        long written = y.data_ptr().address();
        long adds = added.data_ptr().address();
        long step = blocks * RowCode.LANES * Float.BYTES;
        long count = x.numel() / in;
        for (long r = 0; r < count; r++) {
            call(read.position(r * in), other == null ? adds : adds + r * step, written + r * step);
        }
        Reference.reachabilityFence(rows);
        Reference.reachabilityFence(added);
        Reference.reachabilityFence(this);
    }

    private void call(FloatPointer x, long added, long y) {
        Arguments own = ARGUMENTS.get();
        long read;
        if (format == Format.INT8 || format == Format.INT4) {
            round(x, own);
            read = own.bytes.address();
        } else {
            read = x.address() + x.position() * Float.BYTES;
        }
        own.put(this, read, added, scalesAt, y);
        code.call(own.places);
    }

    private void round(FloatPointer x, Arguments own) {
        int n = (int) in;
        own.room(n);
        float[] values = new float[n];
        x.get(values);
        byte[] bytes = new byte[2 * n];
        float[] groups = new float[3 * n / RowCode.GROUP];
        int begin = format == Format.INT8 ? -128 : -8; // the weights' bytes are that much more than the weights
        for (int at = 0, g = 0; at < n; at += RowCode.GROUP, g += 3) {
            float largest = 1e-30f;
            for (int i = at; i < at + RowCode.GROUP; i++) {
                largest = Math.max(largest, Math.abs(values[i]));
            }
            float times = MOST / largest;
            int sum = 0;
            for (int i = at; i < at + RowCode.GROUP; i++) {
                int q = (int) (values[i] * times + (MOST + 0.5f)) - (int) MOST; // rounded: what is cut is positive
                int upper = (q + 128) >> 8;
                bytes[at + i] = (byte) upper;
                bytes[at + i + RowCode.GROUP] = (byte) (q - (upper << 8));
                sum += q;
            }
            float scale = largest / MOST;
            groups[g] = scale;
            groups[g + 1] = scale * sum;
            groups[g + 2] = Float.intBitsToFloat(begin * sum);
        }
        own.bytes.put(bytes);
        own.groups.put(groups);
    }

    void close() {
        weight.close();
        bias.close();
        none.close();
        Memory.close(scales);
    }
}
