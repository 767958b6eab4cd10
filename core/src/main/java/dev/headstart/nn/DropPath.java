package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.rand;

import java.util.Arrays;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Stochastic depth (Huang et al. 2016): while the model trains, a residual branch is left out for a sample with probability p. */
public final class DropPath {
    private final double p;
    private final ModelState state;

    DropPath(double p, ModelState state) {
        this.p = p;
        this.state = state;
    }

    /** Whether samples lose the branch now. */
    public boolean active() {
        return p > 0 && state.training();
    }

    /** @param x [B, ...]; @return the same shape, each sample either 0 or scaled by 1 / (1 - p) */
    public Tensor forward(Tensor x) {
        if (!active()) {
            return x;
        }
        long[] shape = new long[(int) x.dim()];
        Arrays.fill(shape, 1);
        shape[0] = x.size(0);
        Tensor keep = rand(
                        shape,
                        Ops.options(ScalarType.Float, x.device())) // a GPU's own generator, which recomputing sets back
                .to(Ops.type(x))
                .add(new Scalar(1 - p))
                .floor(); // [B, 1, ...]
        return x.div(new Scalar(1 - p)).mul(keep);
    }
}
