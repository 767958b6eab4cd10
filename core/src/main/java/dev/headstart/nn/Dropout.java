package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.dropout;

import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.ShortPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Zeroes elements with probability p while the model trains and scales the rest by 1 / (1 - p), as {@code torch.nn.Dropout}. On the CPU the mask comes
 * from a counter-based generator (SplitMix64, Steele et al. 2014) that torch's generator seeds: torch's own draws one number of its Mersenne Twister an
 * element, on one thread, which took a twelfth of a fine-tuning step.
 */
public final class Dropout {
    private static final int CHUNK = 4096;
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
        return state.training() ? p : 0;
    }

    /** Drops whether a model trains or not. @param p in (0, 1] */
    static Tensor drop(Tensor x, double p) {
        ScalarType type = Ops.type(x);
        if (x.is_cuda() || p >= 1 || !(type == ScalarType.Float || type == ScalarType.BFloat16)) {
            return dropout(x, p, true);
        }
        Tensor mask = Memory.local(() -> {
            Tensor seed = Ops.empty(ScalarType.Long, 1).random_();
            return fill(Ops.empty(type, x.shape()), type, p, seed.item_long());
        });
        return x.mul(mask);
    }

    /** 0 with probability p (in steps of 2^-16), else 1 / (1 - p). */
    private static Tensor fill(Tensor mask, ScalarType type, double p, long seed) {
        int threshold = Math.max(1, (int) Math.round(p * 65536));
        float kept = (float) (1 / (1 - p));
        long n = mask.numel();
        if (type == ScalarType.Float) {
            float[] values = new float[(int) Math.min(CHUNK, (n + 3) & ~3L)];
            FloatPointer to = new FloatPointer(mask.data_ptr());
            for (long at = 0; at < n; at += CHUNK) {
                floats(values, seed + (at >> 2) * GAMMA, threshold, kept);
                to.position(at).put(values, 0, (int) Math.min(CHUNK, n - at));
            }
        } else {
            short one = bf16(kept);
            short[] values = new short[(int) Math.min(CHUNK, (n + 3) & ~3L)];
            ShortPointer to = new ShortPointer(mask.data_ptr());
            for (long at = 0; at < n; at += CHUNK) {
                shorts(values, seed + (at >> 2) * GAMMA, threshold, one);
                to.position(at).put(values, 0, (int) Math.min(CHUNK, n - at));
            }
        }
        return mask;
    }

    private static void floats(float[] values, long start, int threshold, float kept) {
        for (int i = 0; i < values.length; i += 4) {
            long r = mix(start + (i >> 2) * GAMMA);
            values[i] = (r & 0xFFFF) < threshold ? 0 : kept;
            values[i + 1] = (r >>> 16 & 0xFFFF) < threshold ? 0 : kept;
            values[i + 2] = (r >>> 32 & 0xFFFF) < threshold ? 0 : kept;
            values[i + 3] = r >>> 48 < threshold ? 0 : kept;
        }
    }

    private static void shorts(short[] values, long start, int threshold, short kept) {
        for (int i = 0; i < values.length; i += 4) {
            long r = mix(start + (i >> 2) * GAMMA);
            values[i] = (r & 0xFFFF) < threshold ? 0 : kept;
            values[i + 1] = (r >>> 16 & 0xFFFF) < threshold ? 0 : kept;
            values[i + 2] = (r >>> 32 & 0xFFFF) < threshold ? 0 : kept;
            values[i + 3] = r >>> 48 < threshold ? 0 : kept;
        }
    }

    private static long mix(long z) {
        z = (z ^ z >>> 30) * 0xBF58476D1CE4E5B9L;
        z = (z ^ z >>> 27) * 0x94D049BB133111EBL;
        return z ^ z >>> 31;
    }

    /** To the nearest bfloat16, as torch rounds. */
    private static short bf16(float v) {
        int bits = Float.floatToIntBits(v);
        return (short) (bits + 0x7FFF + (bits >>> 16 & 1) >>> 16);
    }
}
