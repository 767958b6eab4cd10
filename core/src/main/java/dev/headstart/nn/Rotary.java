package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.cat;

import dev.headstart.HeadstartException;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Rotary position embeddings (Su et al. 2021) in transformers' layout: the first half of a head's dimensions is rotated against the second. The
 * frequencies are stretched for long contexts as the configuration says ({@code transformers.modeling_rope_utils}).
 */
public final class Rotary {
    /**
     * How the frequencies are made.
     *
     * @param type default, linear, dynamic, yarn, llama3, longrope or proportional
     * @param theta base of the frequencies
     * @param rotated dimensions of a head that are rotated
     * @param head dimensions of a head
     * @param maxPositions {@code max_position_embeddings}
     * @param factor how far the context is stretched
     * @param originalMaxPositions context of pre-training
     * @param attentionFactor multiplies cos and sin; null for what the type says
     * @param lowFreqFactor llama3
     * @param highFreqFactor llama3
     * @param betaFast yarn
     * @param betaSlow yarn
     * @param mscale yarn; 0 for none
     * @param mscaleAllDim yarn; 0 for none
     * @param truncate yarn: whether the correction range is rounded to whole dimensions
     * @param shortFactor longrope, one factor a frequency
     * @param longFactor longrope, one factor a frequency
     */
    public record Spec(
            String type,
            double theta,
            int rotated,
            int head,
            int maxPositions,
            double factor,
            int originalMaxPositions,
            @Nullable Double attentionFactor,
            double lowFreqFactor,
            double highFreqFactor,
            double betaFast,
            double betaSlow,
            double mscale,
            double mscaleAllDim,
            boolean truncate,
            double[] shortFactor,
            double[] longFactor) {}

    /** cos and sin of every position of a step, each [B or 1, S, rotated]. */
    public record Angles(Tensor cos, Tensor sin) {}

    private final Spec spec;
    private final Tensor frequencies; // [rotated / 2]
    private final @Nullable Tensor longFrequencies;
    private final Scalar scaling;

    /** @param device where angles are made */
    public Rotary(Spec spec, Device device) {
        this.spec = spec;
        double scale = scaling(spec);
        this.scaling = Memory.keep(new Scalar(scale));
        this.frequencies = Memory.scoped(() -> on(device, frequencies(spec, spec.maxPositions, false)));
        this.longFrequencies = spec.type.equals("longrope")
                ? Memory.scoped(() -> on(device, frequencies(spec, spec.maxPositions, true)))
                : null;
    }

    private static Tensor on(Device device, float[] values) {
        return Tensor.create(values).to(device, ScalarType.Float);
    }

    /**
     * The angles of a step.
     *
     * @param positions int64 [B or 1, S]
     * @param like whose type the result has
     */
    public Angles angles(Tensor positions, Tensor like) {
        Tensor f = frequencies;
        if (spec.type.equals("dynamic") || longFrequencies != null) {
            int length = (int) positions.max().item_long() + 1;
            if (longFrequencies != null) {
                f = length > spec.originalMaxPositions ? longFrequencies : frequencies;
            } else if (length > spec.maxPositions) {
                f = on(like.device(), frequencies(spec, length, false));
            }
        }
        if (f.is_cuda() != positions.is_cuda()) { // the model has moved since
            f = f.to(positions.device(), ScalarType.Float);
        }
        Tensor half = positions.to(ScalarType.Float).unsqueeze(-1).mul(f); // [B, S, rotated / 2]
        Tensor angle = cat(new TensorVector(half, half), -1); // [B, S, rotated]
        Tensor cos = angle.cos();
        Tensor sin = angle.sin();
        if (scaling.toDouble() != 1) {
            cos = cos.mul(scaling);
            sin = sin.mul(scaling);
        }
        return new Angles(cos.to(Ops.type(like)), sin.to(Ops.type(like)));
    }

    /** Turns queries or keys. @param x [B, h, S, d]; @return [B, h, S, d] */
    public static Tensor rotate(Tensor x, Angles at) {
        long d = x.size(3);
        long r = at.cos.size(-1);
        Tensor turned = r == d ? x : x.narrow(3, 0, r);
        Tensor first = turned.narrow(3, 0, r / 2);
        Tensor second = turned.narrow(3, r / 2, r - r / 2);
        Tensor swapped = cat(new TensorVector(second.neg(), first), -1); // [B, h, S, r]
        Tensor y = turned.mul(at.cos.unsqueeze(1)).add(swapped.mul(at.sin.unsqueeze(1)));
        return r == d ? y : cat(new TensorVector(y, x.narrow(3, r, d - r)), -1);
    }

    // === Frequencies: one method a type of transformers' ROPE_INIT_FUNCTIONS ===

    private static float[] frequencies(Spec s, int length, boolean longContext) {
        return switch (s.type) {
            case "default" -> plain(s.theta, s.rotated, 1);
            case "linear" -> plain(s.theta, s.rotated, s.factor);
            case "proportional" -> proportional(s);
            case "dynamic" -> dynamic(s, length);
            case "yarn" -> yarn(s);
            case "llama3" -> llama3(s);
            case "longrope" -> longrope(s, longContext);
            default ->
                throw new HeadstartException("config.json: rope_type \"" + s.type
                        + "\" is not known; known: default, linear, dynamic, yarn, llama3, longrope, proportional");
        };
    }

    private static float[] plain(double theta, int dim, double factor) {
        float[] f = new float[(dim + 1) / 2];
        for (int i = 0; i < f.length; i++) {
            f[i] = (float) (1f / (float) Math.pow(theta, (float) (2 * i) / dim)) / (float) factor;
        }
        return f;
    }

    private static float[] proportional(Spec s) {
        float[] f = new float[s.head / 2];
        for (int i = 0; i < s.rotated / 2; i++) {
            f[i] = (float) (1f / (float) Math.pow(s.theta, (float) (2 * i) / s.head)) / (float) s.factor;
        }
        return f;
    }

    private static float[] dynamic(Spec s, int length) {
        double n = Math.max(length, s.maxPositions);
        double dim = s.rotated;
        double stretched = s.theta * Math.pow(s.factor * n / s.maxPositions - (s.factor - 1), dim / (dim - 2));
        return plain(stretched, s.rotated, 1);
    }

    private static float[] yarn(Spec s) {
        int dim = s.rotated;
        double low = correctionDim(s.betaFast, s);
        double high = correctionDim(s.betaSlow, s);
        if (s.truncate) {
            low = Math.floor(low);
            high = Math.ceil(high);
        }
        low = Math.max(low, 0);
        high = Math.min(high, dim - 1);
        if (low == high) {
            high += 0.001;
        }
        float[] f = new float[dim / 2];
        for (int i = 0; i < f.length; i++) {
            float base = (float) Math.pow(s.theta, (float) (2 * i) / dim);
            float ramp = (float) Math.min(1, Math.max(0, (i - low) / (high - low)));
            f[i] = 1f / ((float) s.factor * base) * ramp + 1f / base * (1 - ramp);
        }
        return f;
    }

    private static double correctionDim(double rotations, Spec s) {
        return s.rotated * Math.log(s.originalMaxPositions / (rotations * 2 * Math.PI)) / (2 * Math.log(s.theta));
    }

    private static float[] llama3(Spec s) {
        float[] f = plain(s.theta, s.rotated, 1);
        double lowWave = s.originalMaxPositions / s.lowFreqFactor;
        double highWave = s.originalMaxPositions / s.highFreqFactor;
        for (int i = 0; i < f.length; i++) {
            double wave = 2 * Math.PI / f[i];
            if (wave > lowWave) {
                f[i] = (float) (f[i] / s.factor);
            } else if (wave >= highWave) {
                double smooth =
                        (s.originalMaxPositions / wave - s.lowFreqFactor) / (s.highFreqFactor - s.lowFreqFactor);
                f[i] = (float) ((1 - smooth) * f[i] / s.factor + smooth * f[i]);
            }
        }
        return f;
    }

    private static float[] longrope(Spec s, boolean longContext) {
        double[] factors = longContext ? s.longFactor : s.shortFactor;
        float[] f = new float[s.rotated / 2];
        if (factors.length != f.length) {
            throw new HeadstartException("config.json: rope " + (longContext ? "long_factor" : "short_factor") + " has "
                    + factors.length + " numbers, a head of " + s.rotated + " rotated dimensions needs " + f.length);
        }
        for (int i = 0; i < f.length; i++) {
            f[i] = 1f / ((float) factors[i] * (float) Math.pow(s.theta, (float) (2 * i) / s.rotated));
        }
        return f;
    }

    private static double scaling(Spec s) {
        if (s.attentionFactor != null) {
            return s.attentionFactor;
        }
        if (s.type.equals("yarn")) {
            return s.mscale != 0 && s.mscaleAllDim != 0
                    ? mscale(s.factor, s.mscale) / mscale(s.factor, s.mscaleAllDim)
                    : mscale(s.factor, 1);
        }
        if (s.type.equals("longrope") && s.factor > 1) {
            return Math.sqrt(1 + Math.log(s.factor) / Math.log(s.originalMaxPositions));
        }
        return 1;
    }

    private static double mscale(double scale, double m) {
        return scale <= 1 ? 1 : 0.1 * m * Math.log(scale) + 1;
    }
}
