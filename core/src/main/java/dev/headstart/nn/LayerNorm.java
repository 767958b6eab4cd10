package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.layer_norm;

import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.jspecify.annotations.Nullable;

/** Normalization over the last dimension (Ba et al. 2016), as {@code torch.nn.LayerNorm}. */
public final class LayerNorm {
    private static final TensorOptional NONE = none();

    /** Made when it is first asked for. */
    private static final class Made {
        static final @Nullable MachineCode NORM = NormCode.of();
    }

    private final Parameter weight;
    private final @Nullable Parameter bias;
    private final double eps;
    private final long[] shape;

    LayerNorm(Parameter weight, @Nullable Parameter bias, double eps) {
        this.weight = weight;
        this.bias = bias;
        this.eps = eps;
        this.shape = new long[] {weight.tensor().size(0)};
    }

    /** @param x [..., d]; @return [..., d] */
    public Tensor forward(Tensor x) {
        if (!GradMode.is_enabled()
                && x.numel() == shape[0]
                && Few.readable(x)
                && Few.readable(weight.tensor())
                && (bias == null || Few.readable(bias.tensor()))) {
            return Few.like(x, normalized(Few.read(x)));
        }
        return layer_norm(x, shape, weight.optional(), bias == null ? NONE : bias.optional(), eps, true);
    }

    /** Records the normalization of one row. @param x fp32 [d]; @param y fp32 [d]; @return whether it can be */
    boolean record(RowProgram program, Tensor x, Tensor y) {
        Tensor w = weight.tensor();
        Tensor b = bias == null ? null : bias.tensor();
        MachineCode code = Made.NORM;
        if (code == null || b == null || shape[0] % RowCode.LANES != 0 || !Few.readable(w) || !Few.readable(b)) {
            return false;
        }
        long constants = (long) Float.floatToIntBits((float) eps) << 32 | Float.floatToIntBits(1f / shape[0]);
        program.step(code, NormCode.Argument.values().length)
                .put(
                        1,
                        1,
                        x.data_ptr().address(),
                        shape[0] * Float.BYTES,
                        y.data_ptr().address(),
                        w.data_ptr().address(),
                        b.data_ptr().address(),
                        shape[0] / RowCode.LANES,
                        constants);
        return true;
    }

    /** One row, in place, in Java. */
    private float[] normalized(float[] x) {
        float mean = Few.sum(x) / x.length;
        for (int i = 0; i < x.length; i++) {
            x[i] -= mean;
        }
        float scale = (float) (1 / Math.sqrt(Few.squares(x, 0, x.length) / x.length + eps));
        float[] w = Few.read(weight.tensor());
        float[] b = bias == null ? new float[x.length] : Few.read(bias.tensor());
        for (int i = 0; i < x.length; i++) {
            x[i] = x[i] * scale * w[i] + b[i];
        }
        return x;
    }

    private static TensorOptional none() {
        return Memory.keep(new TensorOptional());
    }
}
