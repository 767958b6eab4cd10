package dev.headstart.nn;

import dev.headstart.nn.AttentionCode.Argument;
import java.lang.ref.Reference;
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

/** Attention of one query that sees all keys, as in each step of a generation, by {@link AttentionCode}: torch's fused kernel takes 50 us for what is 10 us of work. */
final class RowAttention {
    private static final int LARGEST = 128; // size of a head
    private static final double LOG2_E = 1 / Math.log(2);

    /** By size of a head; empty where it cannot be made. */
    private static final Map<Integer, Optional<MachineCode>> MADE = new ConcurrentHashMap<>();

    private static final ThreadLocal<RowAttention> OWN = ThreadLocal.withInitial(RowAttention::new);

    private final LongPointer places = Memory.keep(new LongPointer(Argument.values().length));
    private FloatPointer scores = new FloatPointer();
    private long room;

    private RowAttention() {}

    /**
     * softmax(q k^T scale) v.
     *
     * @param q [1, h, 1, d]
     * @param k [1, h, L, d], each head's keys one after the other
     * @param v as k
     * @return [1, h, 1, d]; null where this is not that case, or there is no code for it
     */
    static @Nullable Tensor attend(Tensor q, Tensor k, Tensor v, double scale) {
        if (q.size(2) != 1 || q.size(0) != 1 || GradMode.is_enabled() || !q.is_cpu()) {
            return null;
        }
        long d = q.size(3);
        if (d % RowCode.LANES != 0 || d > LARGEST || q.stride(1) != d || !lies(k, q) || !lies(v, q)) {
            return null;
        }
        MachineCode code = code((int) d);
        return code == null ? null : OWN.get().apply(code, q, k, v, scale);
    }

    private static boolean lies(Tensor x, Tensor q) {
        long d = q.size(3);
        return Ops.type(x) == ScalarType.Float
                && Ops.type(q) == ScalarType.Float
                && x.size(0) == 1
                && x.size(1) == q.size(1)
                && x.size(2) > 0
                && x.size(3) == d
                && x.stride(3) == 1
                && x.stride(2) == d;
    }

    private static @Nullable MachineCode code(int d) {
        return MachineCode.available() == null
                ? null
                : MADE.computeIfAbsent(d, size -> Optional.ofNullable(AttentionCode.of(size)))
                        .orElse(null);
    }

    /**
     * The same for a query whose key and value come with it and become the last ones.
     *
     * @param qkv query, key and value side by side, fp32 [1, 1, 3 h d]
     * @param k fp32 [R, h, capacity, d], of which the first row is used; the new key is written to the last of its first L
     * @param v as k
     * @param length L
     * @return [1, 1, h d]; null where there is no code for it
     */
    static @Nullable Tensor step(Tensor qkv, Tensor k, Tensor v, long length, double scale) {
        MachineCode code = GradMode.is_enabled() ? null : stepCode(qkv, k, v);
        if (code == null) {
            return null;
        }
        long heads = k.size(1);
        Tensor y = Ops.empty(ScalarType.Float, 1, 1, heads * k.size(3));
        OWN.get().call(code, heads, length, places(qkv, k, v, y), scale, partBytes(k));
        Reference.reachabilityFence(qkv);
        return y;
    }

    private static @Nullable MachineCode stepCode(Tensor qkv, Tensor k, Tensor v) {
        long d = k.size(3);
        boolean fits = qkv.numel() == 3 * k.size(1) * d
                && qkv.is_cpu()
                && d % RowCode.LANES == 0
                && d <= LARGEST
                && qkv.is_contiguous()
                && Ops.type(qkv) == ScalarType.Float
                && Ops.type(k) == ScalarType.Float
                && k.is_contiguous()
                && v.is_contiguous();
        return fits ? code((int) d) : null;
    }

    private static long[] places(Tensor qkv, Tensor k, Tensor v, Tensor y) {
        long bytes = k.size(2) * k.size(3) * Float.BYTES; // of a head
        return new long[] {address(qkv), address(k), bytes, address(v), bytes, address(y)};
    }

    private static long partBytes(Tensor k) {
        return k.size(1) * k.size(3) * Float.BYTES;
    }

    /** A step in a program. */
    static final class Recorded {
        private final LongPointer places;

        Recorded(LongPointer places) {
            this.places = places;
        }

        /** @param keys that the next query sees, its own among them */
        void length(long keys) {
            places.put(Argument.LENGTH.ordinal(), keys);
            places.put(Argument.SCORE_BYTES.ordinal(), width(keys) * Float.BYTES);
        }
    }

    /** Records {@link #step} for as many keys as there is room for. @param y fp32 [h d]; @return null where there is no code for it */
    static @Nullable Recorded record(CodeSequence sequence, Tensor qkv, Tensor k, Tensor v, double scale, Tensor y) {
        MachineCode code = stepCode(qkv, k, v);
        if (code == null) {
            return null;
        }
        long heads = k.size(1);
        LongPointer places = sequence.step(code);
        long scores = sequence.room(heads * width(k.size(2)) * Float.BYTES);
        put(places, scores, heads, k.size(2), places(qkv, k, v, y), scale, partBytes(k));
        return new Recorded(places);
    }

    private static long address(Tensor x) {
        return x.data_ptr().address();
    }

    private Tensor apply(MachineCode code, Tensor q, Tensor k, Tensor v, double scale) {
        Tensor y = Ops.empty(ScalarType.Float, q.shape());
        call(
                code,
                q.size(1),
                k.size(2),
                new long[] {
                    address(q), address(k), k.stride(1) * Float.BYTES, address(v), v.stride(1) * Float.BYTES, address(y)
                },
                scale,
                0);
        Reference.reachabilityFence(q);
        Reference.reachabilityFence(k);
        Reference.reachabilityFence(v);
        return y;
    }

    /** @param at where the query is, the keys and from one head of them to the next, the values and the same, the result */
    private void call(MachineCode code, long heads, long keys, long[] at, double scale, long partBytes) {
        long width = width(keys);
        if (room < heads * width) {
            Memory.close(scores);
            room = 2 * heads * width;
            scores = Memory.keep(new FloatPointer(room));
        }
        put(places, scores.address(), heads, keys, at, scale, partBytes);
        code.call(places);
    }

    /** Of a head's scores. */
    private static long width(long keys) {
        return (keys + RowCode.LANES - 1) / RowCode.LANES * RowCode.LANES;
    }

    private static void put(
            LongPointer places, long scores, long heads, long keys, long[] at, double scale, long partBytes) {
        places.put(
                torch.get_num_threads(),
                heads,
                at[1],
                at[2],
                keys,
                at[0],
                scores,
                width(keys) * Float.BYTES,
                at[3],
                at[4],
                at[5],
                Float.floatToIntBits((float) (scale * LOG2_E)) & 0xffffffffL,
                partBytes);
    }
}
