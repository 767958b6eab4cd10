package dev.headstart.train;

import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Adafactor (Shazeer and Stern 2018) at a given learning rate, as transformers' {@code Adafactor(relative_step=False)}: mean squares of gradients kept as
 * rows and columns alone, the update's size limited, and on request the rate multiplied by the size of what it changes. T5 is trained with it: its weights
 * begin at very different sizes (the words at 1, the queries of an attention that is not scaled at 0.01), and a rate that moves the one makes the attention
 * of the other collapse.
 */
public final class Adafactor extends Optimizer {
    private static final double CLIP_THRESHOLD = 1;
    private static final double DECAY_RATE = -0.8;
    private static final double EPS_SQUARE = 1e-30;
    private static final double EPS_SCALE = 1e-3;
    private static final long[] LAST = {-1};
    private static final long[] LAST_BUT_ONE = {-2};
    private final boolean scaleParameter;

    /** @param scaleParameter whether the rate is a part of each parameter's root mean square (at least 1e-3), as T5's recipes want it */
    public Adafactor(List<ParameterGroup> groups, boolean scaleParameter) {
        super(groups);
        this.scaleParameter = scaleParameter;
    }

    @Override
    protected void step(List<Parameter> parameters, double weightDecay, double lr) {
        parameters.forEach(p -> step(p, weightDecay, lr));
    }

    private void step(Parameter p, double weightDecay, double rate) {
        Tensor weight = p.tensor();
        Tensor gradient = weight.grad().to(ScalarType.Float);
        double count = state(p, "step", () -> Ops.empty(ScalarType.Float).zero_())
                .add_(new Scalar(1.0))
                .item_double();
        double decay = 1 - Math.pow(count, DECAY_RATE);
        Tensor squares = gradient.square().add_(new Scalar(EPS_SQUARE));
        Tensor update;
        if (weight.dim() >= 2) {
            Tensor rows = averaged(p, "exp_avg_sq_row", squares.mean(LAST), decay); // [..., R]
            Tensor columns = averaged(p, "exp_avg_sq_col", squares.mean(LAST_BUT_ONE), decay); // [..., C]
            Tensor row = rows.div(mean(rows, LAST)).rsqrt_().unsqueeze(-1);
            update = row.mul(columns.unsqueeze(-2).rsqrt()).mul_(gradient); // [..., R, C]
        } else {
            update = averaged(p, "exp_avg_sq", squares, decay).rsqrt().mul_(gradient);
        }
        update.div_(rms(update).div_(new Scalar(CLIP_THRESHOLD)).clamp_min_(new Scalar(1.0)));
        Tensor lr = scaleParameter
                ? rms(weight).clamp_min_(new Scalar(EPS_SCALE)).mul_(new Scalar(rate))
                : torch.scalar_tensor(new Scalar(rate));
        update.mul_(lr);
        if (weightDecay != 0) {
            weight.mul_(lr.mul(new Scalar(-weightDecay)).add_(new Scalar(1.0)));
        }
        weight.sub_(update);
    }

    private Tensor averaged(Parameter p, String kind, Tensor value, double decay) {
        return state(p, kind, () -> torch.zeros_like(value))
                .mul_(new Scalar(decay))
                .add_(value, new Scalar(1 - decay));
    }

    private static Tensor mean(Tensor x, long[] places) {
        return torch.mean(x, places, true, new org.bytedeco.pytorch.ScalarTypeOptional());
    }

    /** The root of the mean square, a scalar. */
    private static Tensor rms(Tensor x) {
        return x.to(ScalarType.Float).norm().div_(new Scalar(Math.sqrt(x.numel())));
    }

    @Override
    protected boolean fits(String kind, long[] state, long[] parameter) {
        int n = parameter.length;
        return switch (kind) {
            case "exp_avg_sq_row" -> n >= 2 && Arrays.equals(state, Arrays.copyOf(parameter, n - 1));
            case "exp_avg_sq_col" -> {
                long[] rest = n < 2 ? new long[0] : Arrays.copyOf(parameter, n - 1);
                if (n >= 2) {
                    rest[n - 2] = parameter[n - 1];
                }
                yield n >= 2 && Arrays.equals(state, rest);
            }
            default -> super.fits(kind, state, parameter);
        };
    }
}
