package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.dropout;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Zeroes elements with probability p while the model trains and scales the rest by 1 / (1 - p), as {@code torch.nn.Dropout}. On the CPU the mask comes
 * from a counter-based generator (SplitMix64, Steele et al. 2014) that torch's generator seeds: torch's own draws one number of its Mersenne Twister an
 * element, on one thread, which took a twelfth of a fine-tuning step.
 */
public final class Dropout {
    private static final int CHUNK = 4096;
    private static final int PART = 64 * CHUNK;
    private static final long EVEN = 0x0000FFFF0000FFFFL;
    private static final long GAMMA = 0x9E3779B97F4A7C15L;
    private final double p;
    private final ModelState state;

    Dropout(double p, ModelState state) {
        this.p = p;
        this.state = state;
    }

    /** Shape is kept; the same tensor while the model does not train. */
    public Tensor forward(Tensor x) {
        return p > 0 && state.training() ? drop(x, p) : x;
    }

    /** The probability in force now: p while training, else 0. */
    public double active() {
        return p > 0 && state.training() ? p : 0;
    }

    /** Drops whether a model trains or not. @param p in (0, 1] */
    static Tensor drop(Tensor x, double p) {
        ScalarType type = Ops.type(x);
        if (x.is_cuda() || p >= 1 || !(type == ScalarType.Float || type == ScalarType.BFloat16)) {
            return dropout(x, p, true);
        }
        Tensor kept = Memory.local(() -> {
            Tensor seed = Ops.empty(ScalarType.Long, 1).random_();
            Tensor mask = Ops.empty(ScalarType.Char, x.shape()); // by a mask of Bool a product takes 4 times as long
            return fill(mask, p, seed.item_long());
        });
        return x.mul(kept).mul_(new Scalar(1 / (1 - p))); // the backward pass needs the mask alone: a byte an element
    }

    /** 0 with probability p (in steps of 2^-16), else 1. Large masks are filled by two threads or more; what they hold does not depend on that. */
    private static Tensor fill(Tensor mask, double p, long seed) {
        long threshold = Math.max(1, Math.round(p * 65536));
        long n = mask.numel();
        Pointer memory = mask.data_ptr();
        IntStream parts = IntStream.range(0, Math.toIntExact((n + PART - 1) / PART));
        (torch.get_num_threads() > 1 ? parts.parallel() : parts).forEach(part -> {
            BytePointer to = new BytePointer(memory);
            byte[] values = new byte[CHUNK];
            LongBuffer words =
                    ByteBuffer.wrap(values).order(ByteOrder.nativeOrder()).asLongBuffer();
            long[] eights = new long[CHUNK / 8];
            long end = Math.min(n, (part + 1L) * PART);
            for (long at = (long) part * PART; at < end; at += CHUNK) {
                fill(eights, seed + (at >> 2) * GAMMA, threshold);
                words.clear().put(eights);
                to.position(at).put(values, 0, (int) Math.min(CHUNK, end - at));
            }
        });
        return mask;
    }

    /** Eight bytes a number, of two random numbers: each of their 16-bit parts is compared by the carry of a sum with 2^16 - threshold. */
    private static void fill(long[] eights, long start, long threshold) {
        long add = (65536 - threshold) * 0x0000000100000001L;
        for (int i = 0; i < eights.length; i++) {
            long r = mix(start + 2 * i * GAMMA);
            long s = mix(start + (2 * i + 1) * GAMMA);
            eights[i] = (r & EVEN) + add >>> 16 & 0x0000000100000001L
                    | (r >>> 16 & EVEN) + add >>> 8 & 0x0000010000000100L
                    | (s & EVEN) + add & 0x0001000000010000L
                    | (s >>> 16 & EVEN) + add << 8 & 0x0100000001000000L;
        }
    }

    private static long mix(long z) {
        z = (z ^ z >>> 30) * 0xBF58476D1CE4E5B9L;
        z = (z ^ z >>> 27) * 0x94D049BB133111EBL;
        return z ^ z >>> 31;
    }
}
