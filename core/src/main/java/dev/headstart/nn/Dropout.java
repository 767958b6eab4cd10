package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.dropout;

import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.Scalar;
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
        Tensor kept = Memory.local(() -> {
            Tensor seed = Ops.empty(ScalarType.Long, 1).random_();
            return fill(Ops.empty(ScalarType.Bool, x.shape()), p, seed.item_long());
        });
        return x.mul(kept).mul_(new Scalar(1 / (1 - p))); // the backward pass needs the mask alone: a byte an element
    }

    /** 0 with probability p (in steps of 2^-16), else 1. */
    private static Tensor fill(Tensor mask, double p, long seed) {
        int threshold = Math.max(1, (int) Math.round(p * 65536));
        long n = mask.numel();
        byte[] values = new byte[(int) Math.min(CHUNK, (n + 3) & ~3L)];
        BytePointer to = new BytePointer(mask.data_ptr());
        for (long at = 0; at < n; at += CHUNK) {
            long start = seed + (at >> 2) * GAMMA;
            for (int i = 0; i < values.length; i += 4) {
                long r = mix(start + (i >> 2) * GAMMA);
                values[i] = atLeast(r & 0xFFFF, threshold);
                values[i + 1] = atLeast(r >>> 16 & 0xFFFF, threshold);
                values[i + 2] = atLeast(r >>> 32 & 0xFFFF, threshold);
                values[i + 3] = atLeast(r >>> 48, threshold);
            }
            to.position(at).put(values, 0, (int) Math.min(CHUNK, n - at));
        }
        return mask;
    }

    private static byte atLeast(long value, long threshold) {
        return (byte) (1 - ((value - threshold) >>> 63));
    }

    private static long mix(long z) {
        z = (z ^ z >>> 30) * 0xBF58476D1CE4E5B9L;
        z = (z ^ z >>> 27) * 0x94D049BB133111EBL;
        return z ^ z >>> 31;
    }
}
