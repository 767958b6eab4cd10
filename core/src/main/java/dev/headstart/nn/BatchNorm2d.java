package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.batch_norm;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Batch normalization over [B, C, H, W] (Ioffe and Szegedy 2015), as {@code torch.nn.BatchNorm2d}: in training the batch's mean and (biased) variance
 * normalise, and the running ones move towards them (the variance unbiased); in inference, and in training while its weight is
 * {@linkplain Parameter#freeze frozen} (unless {@link ModelState#letFrozenNormsFollow}), the running ones normalise and stay.
 */
public final class BatchNorm2d {
    private final Parameter weight;
    private final Parameter bias;
    private final Parameter mean;
    private final Parameter variance;
    private final @Nullable Parameter batches;
    private final double momentum;
    private final double eps;
    private final ModelState state;

    BatchNorm2d(
            Parameter weight,
            Parameter bias,
            Parameter mean,
            Parameter variance,
            @Nullable Parameter batches,
            double momentum,
            double eps,
            ModelState state) {
        this.weight = weight;
        this.bias = bias;
        this.mean = mean;
        this.variance = variance;
        this.batches = batches;
        this.momentum = momentum;
        this.eps = eps;
        this.state = state;
    }

    /** @param x [B, C, H, W]; @return [B, C, H, W] */
    public Tensor forward(Tensor x) {
        boolean learns = state.training() && learns();
        if (learns && batches != null) {
            batches.tensor().add_(new Scalar(1));
        }
        return batch_norm(
                x,
                weight.optional(),
                bias.optional(),
                mean.optional(),
                variance.optional(),
                learns,
                momentum,
                eps,
                true);
    }

    /** Whether the batch's own statistics normalise, in training. */
    boolean learns() {
        return !weight.isFrozen() || state.frozenNormsFollow();
    }

    /** Scale and shift that this layer amounts to in inference: y = x scale + shift, each [C]. Made in the caller's scope. */
    public Tensor[] affine() {
        Tensor scale =
                weight.tensor().div(variance.tensor().add(new Scalar(eps)).sqrt()); // [C]
        return new Tensor[] {scale, bias.tensor().sub(mean.tensor().mul(scale))};
    }
}
