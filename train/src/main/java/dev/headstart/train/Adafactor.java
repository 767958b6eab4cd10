package dev.headstart.train;

import dev.headstart.nn.Memory;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
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
    private static final OperatorHandle COPY = Ops.find("aten::_foreach_copy_", "");
    private static final ScalarTypeOptional SAME_TYPE = Memory.keep(new ScalarTypeOptional());
    private final boolean scaleParameter;
    private final boolean together;

    /** @param scaleParameter whether the rate is a part of each parameter's root mean square (at least 1e-3), as T5's recipes want it */
    public Adafactor(List<ParameterGroup> groups, boolean scaleParameter) {
        this(groups, scaleParameter, parametersOn(groups));
    }

    /** @param together whether parameters of one shape are changed in one go: a GPU takes as long to begin an operation as to finish one so small */
    Adafactor(List<ParameterGroup> groups, boolean scaleParameter, boolean together) {
        super(groups);
        this.scaleParameter = scaleParameter;
        this.together = together;
    }

    private static boolean parametersOn(List<ParameterGroup> groups) {
        return groups.stream()
                .anyMatch(g -> g.parameters().stream().anyMatch(p -> p.tensor().is_cuda()));
    }

    @Override
    protected void step(List<Parameter> parameters, double weightDecay, double lr) {
        if (!together) {
            parameters.forEach(p -> step(p, weightDecay, lr));
            return;
        }
        Map<List<Object>, List<Parameter>> alike = new LinkedHashMap<>();
        for (Parameter p : parameters) {
            List<Object> key = new ArrayList<>(List.of(count(p), Ops.type(p.tensor())));
            for (long size : p.tensor().shape()) {
                key.add(size);
            }
            alike.computeIfAbsent(key, k -> new ArrayList<>()).add(p);
        }
        alike.forEach((key, some) -> step(some, (double) key.get(0), weightDecay, lr));
    }

    /** The step that is now done for a parameter, from 1. */
    private double count(Parameter p) {
        return state(p, "step", () -> Ops.empty(ScalarType.Float).zero_())
                .add_(new Scalar(1.0))
                .item_double();
    }

    /** The arithmetic of the other, for k parameters of one shape. */
    private void step(List<Parameter> alike, double count, double weightDecay, double rate) {
        Tensor gradient = stack(gradients(alike)).to(ScalarType.Float); // [k, ...]
        double decay = 1 - Math.pow(count, DECAY_RATE);
        Tensor squares = gradient.square().add_(new Scalar(EPS_SQUARE));
        Tensor update;
        if (gradient.dim() > 2) {
            Tensor rows = averaged(alike, "exp_avg_sq_row", squares.mean(LAST), decay); // [k, ..., R]
            Tensor columns = averaged(alike, "exp_avg_sq_col", squares.mean(LAST_BUT_ONE), decay); // [k, ..., C]
            Tensor row = rows.div(mean(rows, LAST)).rsqrt_().unsqueeze(-1);
            update = row.mul(columns.unsqueeze(-2).rsqrt()).mul_(gradient); // [k, ..., R, C]
        } else {
            update = averaged(alike, "exp_avg_sq", squares, decay).rsqrt().mul_(gradient);
        }
        update.div_(rmsOfEach(update).div_(new Scalar(CLIP_THRESHOLD)).clamp_min_(new Scalar(1.0)));
        Tensor weights = stack(tensors(alike)).to(ScalarType.Float); // [k, ...]
        Tensor lr = scaleParameter
                ? rmsOfEach(weights).clamp_min_(new Scalar(EPS_SCALE)).mul_(new Scalar(rate)) // [k, 1, ...]
                : torch.scalar_tensor(new Scalar(rate));
        update.mul_(lr);
        if (weightDecay != 0) {
            weights = weights.mul(lr.mul(new Scalar(-weightDecay)).add_(new Scalar(1.0)));
        }
        copy(weights.sub(update), tensors(alike));
    }

    private Tensor averaged(List<Parameter> alike, String kind, Tensor value, double decay) {
        List<Tensor> own = IntStream.range(0, alike.size())
                .mapToObj(i -> state(alike.get(i), kind, () -> torch.zeros_like(value.select(0, i))))
                .toList();
        Tensor all = stack(own).mul_(new Scalar(decay)).add_(value, new Scalar(1 - decay));
        copy(all, own);
        return all;
    }

    private static Tensor stack(List<Tensor> alike) {
        return torch.stack(new TensorVector(alike.toArray(Tensor[]::new)), 0);
    }

    private static void copy(Tensor stacked, List<Tensor> to) {
        List<Tensor> parts = IntStream.range(0, to.size())
                .mapToObj(i -> stacked.select(0, i))
                .toList();
        Ops.run(COPY, Ops.list(to), Ops.list(parts), new IValue(false));
    }

    /** The root of the mean square of each x[i], [k, 1, ...]. */
    private static Tensor rmsOfEach(Tensor x) {
        if (x.dim() == 1) {
            return x.abs();
        }
        long[] places = IntStream.range(1, (int) x.dim()).asLongStream().toArray();
        return torch.linalg_vector_norm(x, new Scalar(2.0), places, true, SAME_TYPE)
                .div_(new Scalar(Math.sqrt((double) x.numel() / x.size(0))));
    }

    private void step(Parameter p, double weightDecay, double rate) {
        Tensor weight = p.tensor();
        Tensor gradient = weight.grad().to(ScalarType.Float);
        double decay = 1 - Math.pow(count(p), DECAY_RATE);
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
        return torch.mean(x, places, true, SAME_TYPE);
    }

    /** The root of the mean square, a scalar. */
    private static Tensor rms(Tensor x) {
        return x.to(ScalarType.Float).norm().div_(new Scalar(Math.sqrt(x.numel())));
    }

    @Override
    protected boolean staysOnCpu(String kind) {
        return kind.equals("step");
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
