package dev.headstart.train;

import dev.headstart.nn.Memory;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import java.util.List;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW, in torch's fused kernel. */
public final class AdamW extends Optimizer {
    private static final OperatorHandle KERNEL = Ops.find("aten::_fused_adamw_", "");
    private static final OperatorHandle ADD = Ops.find("aten::_foreach_add_", "Scalar");
    private static final IValue NONE = Memory.keep(new IValue());
    private final double beta1;
    private final double beta2;
    private final double eps;

    /** torch's and transformers' defaults: betas 0.9 and 0.999, eps 1e-8. */
    public AdamW(List<ParameterGroup> groups) {
        this(groups, 0.9, 0.999, 1e-8);
    }

    /** @param beta1 decay of the mean; @param beta2 decay of the mean square; @param eps added to the root */
    public AdamW(List<ParameterGroup> groups, double beta1, double beta2, double eps) {
        super(groups);
        this.beta1 = beta1;
        this.beta2 = beta2;
        this.eps = eps;
    }

    @Override
    protected void step(List<Parameter> parameters, double weightDecay, double lr) {
        List<Tensor> means = parameters.stream()
                .map(p -> state(p, "exp_avg", () -> torch.zeros_like(p.tensor())))
                .toList();
        List<Tensor> squares = parameters.stream()
                .map(p -> state(p, "exp_avg_sq", () -> torch.zeros_like(p.tensor())))
                .toList();
        List<Tensor> steps = parameters.stream()
                .map(p -> state(
                        p,
                        "step",
                        () -> Ops.empty(ScalarType.Float).zero_().to(p.tensor().device(), ScalarType.Float)))
                .toList();
        if (steps.get(0).is_cuda()) {
            Ops.run(ADD, Ops.list(steps), new IValue(ONE));
        } else {
            for (Tensor s : steps) {
                s.add_(ONE);
            }
        }
        Ops.run(
                KERNEL,
                Ops.list(tensors(parameters)),
                Ops.list(gradients(parameters)),
                Ops.list(means),
                Ops.list(squares),
                Ops.list(List.of()),
                Ops.list(steps),
                new IValue(lr),
                new IValue(beta1),
                new IValue(beta2),
                new IValue(weightDecay),
                new IValue(eps),
                new IValue(false), // amsgrad
                new IValue(false), // maximize
                NONE,
                NONE);
    }

    private static final org.bytedeco.pytorch.Scalar ONE = Memory.keep(new org.bytedeco.pytorch.Scalar(1.0));
}
