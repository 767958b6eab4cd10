package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.layer_norm;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.jspecify.annotations.Nullable;

/** Normalization over the last dimension (Ba et al. 2016), as {@code torch.nn.LayerNorm}. */
public final class LayerNorm {
    private static final TensorOptional NONE = none();
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
        return layer_norm(x, shape, weight.optional(), bias == null ? NONE : bias.optional(), eps, true);
    }

    private static TensorOptional none() {
        return Memory.keep(new TensorOptional());
    }
}
