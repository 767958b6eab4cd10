package dev.headstart.train;

import dev.headstart.nn.Memory;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import java.util.List;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** Stochastic gradient descent with momentum and (coupled) weight decay, as torch.optim.SGD, in torch's fused kernel. */
public final class Sgd extends Optimizer {
    private static final OperatorHandle KERNEL = Ops.find("aten::_fused_sgd_", "");
    private static final String BUFFER = "momentum_buffer";
    private static final IValue NONE = Memory.keep(new IValue());
    private final double momentum;
    private final double dampening;
    private final boolean nesterov;

    /** @param momentum 0 for none */
    public Sgd(List<ParameterGroup> groups, double momentum) {
        this(groups, momentum, 0, false);
    }

    /** @param momentum 0 for none; @param dampening of the momentum; @param nesterov whether Nesterov's momentum is used */
    public Sgd(List<ParameterGroup> groups, double momentum, double dampening, boolean nesterov) {
        super(groups);
        this.momentum = momentum;
        this.dampening = dampening;
        this.nesterov = nesterov;
    }

    @Override
    protected void step(List<Parameter> parameters, double weightDecay, double lr) {
        if (momentum == 0) {
            run(parameters, weightDecay, lr, false);
            return;
        }
        List<Parameter> fresh =
                parameters.stream().filter(p -> !hasState(p, BUFFER)).toList();
        List<Parameter> known =
                parameters.stream().filter(p -> hasState(p, BUFFER)).toList();
        run(fresh, weightDecay, lr, true);
        run(known, weightDecay, lr, false);
    }

    private void run(List<Parameter> parameters, double weightDecay, double lr, boolean first) {
        if (parameters.isEmpty()) {
            return;
        }
        List<Tensor> buffers = momentum == 0
                ? List.of()
                : parameters.stream()
                        .map(p -> state(p, BUFFER, () -> torch.zeros_like(p.tensor())))
                        .toList();
        Ops.run(
                KERNEL,
                Ops.list(tensors(parameters)),
                Ops.list(gradients(parameters)),
                Ops.list(buffers),
                new IValue(weightDecay),
                new IValue(momentum),
                new IValue(lr),
                new IValue(dampening),
                new IValue(nesterov),
                new IValue(false), // maximize
                new IValue(first),
                NONE,
                NONE);
    }
}
