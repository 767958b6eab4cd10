package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.rms_norm;

import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Root mean square normalization over the last dimension (Zhang and Sennrich 2019), computed in fp32 as transformers does. */
public final class RmsNorm {
    private static final ScalarTypeOptional NO_TYPE = Memory.keep(new ScalarTypeOptional());
    private static final Scalar ONE = Memory.keep(new Scalar(1.0));
    private final Parameter weight;
    private final double epsilon;
    private final Scalar eps;
    private final DoubleOptional optionalEps;
    private final long[] shape;
    private final boolean offset;

    /** @param offset whether the stored weight is counted from 1, as Gemma stores it */
    RmsNorm(Parameter weight, double eps, boolean offset) {
        this.weight = weight;
        this.epsilon = eps;
        this.eps = Memory.keep(new Scalar(eps));
        this.optionalEps = Memory.keep(new DoubleOptional(eps));
        this.shape = new long[] {weight.size(0)};
        this.offset = offset;
    }

    /** @param x [..., d]; @return x / sqrt(mean(x^2) + eps) * weight, [..., d] */
    public Tensor forward(Tensor x) {
        ScalarType type = Ops.type(x);
        if (!GradMode.is_enabled() && Few.readable(x) && Few.readable(weight.tensor())) {
            return Few.like(x, normalize(Few.read(x), Few.read(weight.tensor())));
        }
        boolean fused = !GradMode.is_enabled() || x.is_cuda(); // whose gradient is fused too
        if (fused && type == ScalarType.Float && !offset && Ops.type(weight.tensor()) == type) {
            return rms_norm(x, shape, weight.optional(), optionalEps); // one call in place of five
        }
        Tensor wide = type == ScalarType.Float ? x : x.to(ScalarType.Float);
        Tensor mean = wide.square().mean(new long[] {-1}, true, NO_TYPE);
        Tensor normed = wide.mul(mean.add(eps).rsqrt());
        if (offset) { // Gemma: (x normed) * (1 + w) in fp32, then to the type
            Tensor w = weight.tensor();
            Tensor gain = (Ops.type(w) == ScalarType.Float ? w : w.to(ScalarType.Float)).add(ONE);
            return normed.mul(gain).to(type);
        }
        return weight.tensor().mul(type == ScalarType.Float ? normed : normed.to(type));
    }

    /** Normalizes rows in place, in Java. @param x the rows, one after the other; @param w the stored weight */
    private float[] normalize(float[] x, float[] w) {
        int d = w.length;
        float from = offset ? 1 : 0;
        for (int r = 0; r < x.length; r += d) {
            float scale = (float) (1 / Math.sqrt(Few.squares(x, r, r + d) / d + epsilon));
            for (int i = 0; i < d; i++) {
                x[r + i] = x[r + i] * scale * (from + w[i]);
            }
        }
        return x;
    }
}
