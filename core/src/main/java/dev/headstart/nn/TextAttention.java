package dev.headstart.nn;

import static java.util.Objects.requireNonNull;

import dev.headstart.nn.TextAttentionCode.Argument;
import dev.headstart.nn.TextAttentionCode.Form;
import java.lang.ref.Reference;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** Attention of texts one after the other, each of which sees itself alone, by {@link TextAttentionCode}: straight from the product of query, key and value, without padding. */
final class TextAttention {
    private static final int LARGEST = 128; // size of a head

    /** Positions up to which a head's copies stay in the cache; torch's kernels, which do it in pieces, are as fast for longer texts. */
    private static final int LONGEST = 1024;

    private static final float HIDDEN = -1e30f;
    private static final double LOG2_E = 1 / Math.log(2);

    private static final Map<Form, Optional<MachineCode>> MADE = new ConcurrentHashMap<>();
    private static final ThreadLocal<LongPointer> ARGUMENTS =
            ThreadLocal.withInitial(() -> Memory.keep(new LongPointer(Argument.values().length)));

    /** Of sixteen keys and as many queries at the same places: 0 where the key is seen. */
    private static final FloatPointer LATER = later();

    private TextAttention() {}

    private static FloatPointer later() {
        float[] hidden = new float[TextAttentionCode.LANES * TextAttentionCode.LANES];
        for (int key = 0; key < TextAttentionCode.LANES; key++) {
            Arrays.fill(hidden, key * TextAttentionCode.LANES, key * (TextAttentionCode.LANES + 1), HIDDEN);
        }
        return Memory.keep(new FloatPointer(hidden));
    }

    /** Each text's first position and how many it has, int64 [B, 2]. */
    static Tensor bounds(int... lengths) {
        Tensor bounds = Ops.empty(ScalarType.Long, lengths.length, 2);
        long[] values = new long[2 * lengths.length];
        for (int b = 0, start = 0; b < lengths.length; start += lengths[b++]) {
            values[2 * b] = start;
            values[2 * b + 1] = lengths[b];
        }
        bounds.data_ptr_long().put(values);
        return bounds;
    }

    /** Whether there is code for this here. @param d size of a head; @param type of query, key and value; @param longest positions of the longest text */
    static boolean fits(long d, ScalarType type, long longest) {
        return d % TextAttentionCode.LANES == 0
                && d <= LARGEST
                && longest <= LONGEST
                && (type == ScalarType.Float || type == ScalarType.BFloat16)
                && !GradMode.is_enabled()
                && MachineCode.available() != null
                && code(d, type, false) != null;
    }

    private static @Nullable MachineCode code(long d, ScalarType type, boolean causal) {
        return MADE.computeIfAbsent(
                        new Form((int) d, type == ScalarType.BFloat16, causal),
                        f -> Optional.ofNullable(TextAttentionCode.of(f)))
                .orElse(null);
    }

    /**
     * softmax(q k^T scale) v of each text.
     *
     * @param qkv query, key and value side by side, [T, 3 h d], that {@link #fits}
     * @param bounds as {@link #bounds} makes them
     * @param longest positions of the longest text
     * @param heads h
     * @return [T, h d]
     */
    static Tensor attend(Tensor qkv, Tensor bounds, long longest, long heads, double scale) {
        return attend(qkv, bounds, longest, heads, scale, false);
    }

    /** The same of texts all of one length, no position of which sees a later one. @param qkv [B, S, 3 h d] that {@link #fits}; @return [B, S, h d] */
    static Tensor causal(Tensor qkv, long heads, double scale) {
        long b = qkv.size(0);
        long s = qkv.size(1);
        int[] lengths = new int[(int) b];
        Arrays.fill(lengths, (int) s);
        Tensor y = attend(qkv.reshape(b * s, qkv.size(2)), bounds(lengths), s, heads, scale, true);
        return y.view(b, s, y.size(1));
    }

    /**
     * Records {@link #attend}.
     *
     * @param qkv without gaps
     * @return [T, h d] once it has run; null where there is no code for it
     */
    static @Nullable Tensor record(
            CodeSequence sequence, Tensor qkv, Tensor bounds, long longest, long heads, double scale) {
        Call call = new Call(qkv, bounds, longest, heads, scale);
        if (!fits(call.d(), Ops.type(qkv), longest)) {
            return null;
        }
        Tensor y = sequence.empty(Ops.type(qkv), qkv.size(0), call.width());
        long rooms = sequence.room(call.rooms());
        call.put(sequence.step(requireNonNull(code(call.d(), Ops.type(qkv), false))), y, rooms);
        return y;
    }

    private static Tensor attend(Tensor qkv, Tensor bounds, long longest, long heads, double scale, boolean causal) {
        Call call = new Call(qkv.contiguous(), bounds, longest, heads, scale);
        MachineCode code = code(call.d(), Ops.type(qkv), causal);
        if (code == null) {
            throw new IllegalStateException("no code for heads of " + call.d());
        }
        Tensor y = Ops.empty(Ops.type(qkv), qkv.size(0), call.width());
        Tensor rooms = Ops.empty(ScalarType.Byte, call.rooms());
        LongPointer arguments = ARGUMENTS.get();
        call.put(arguments, y, rooms.data_ptr().address());
        code.call(arguments);
        Reference.reachabilityFence(call);
        Reference.reachabilityFence(rooms);
        return y;
    }

    /** What is attended to: {@link #attend}'s arguments. */
    private record Call(Tensor qkv, Tensor bounds, long longest, long heads, double scale) {
        /** h d. */
        long width() {
            return qkv.size(1) / 3;
        }

        long d() {
            return width() / heads;
        }

        /** Bytes for all threads. */
        long rooms() {
            return torch.get_num_threads() * TextAttentionCode.room(longest, d());
        }

        /** @param y [T, h d]; @param rooms where there is room for all threads */
        void put(LongPointer arguments, Tensor y, long rooms) {
            long row = width() * (Ops.type(qkv) == ScalarType.Float ? Float.BYTES : Short.BYTES);
            arguments.put(
                    torch.get_num_threads(),
                    bounds.size(0) * heads,
                    bounds.size(0),
                    qkv.data_ptr().address(),
                    3 * row,
                    row,
                    bounds.data_ptr().address(),
                    y.data_ptr().address(),
                    row,
                    rooms,
                    TextAttentionCode.room(longest, d()),
                    TextAttentionCode.copy(longest, d()),
                    Float.floatToIntBits((float) (scale * LOG2_E)) & 0xffffffffL,
                    LATER.address());
        }
    }
}
