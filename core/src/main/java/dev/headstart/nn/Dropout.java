package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.dropout;

import org.bytedeco.pytorch.Tensor;

/** Zeroes elements with probability p while the model trains and scales the rest by 1 / (1 - p), as {@code torch.nn.Dropout}. */
public final class Dropout {
    private final double p;
    private final ModelState state;

    Dropout(double p, ModelState state) {
        this.p = p;
        this.state = state;
    }

    /** Shape is kept; the same tensor while the model does not train. */
    public Tensor forward(Tensor x) {
        return p > 0 && state.training() ? dropout(x, p, true) : x;
    }

    /** The probability in force now: p while training, else 0. */
    public double active() {
        return state.training() ? p : 0;
    }
}
