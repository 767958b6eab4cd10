package dev.headstart.train;

import dev.headstart.HeadstartException;
import dev.headstart.nn.Memory;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * Changes parameters by their gradients. The arithmetic is torch's; parameters without a gradient are left alone, as there. Its state belongs to it
 * until {@link #close}. Not thread-safe.
 */
public abstract class Optimizer implements AutoCloseable {
    private static final OperatorHandle NORMS = Ops.find("aten::_foreach_norm", "Scalar");
    private static final OperatorHandle STACK = Ops.find("aten::stack", "");
    private static final OperatorHandle SCALE = Ops.find("aten::_foreach_mul_", "Tensor");
    private static final IValue NONE = Memory.keep(new IValue());
    private final List<ParameterGroup> groups;
    private final Map<String, Tensor> state = new LinkedHashMap<>();

    /** @param groups what it changes; a parameter belongs to one group */
    protected Optimizer(List<ParameterGroup> groups) {
        this.groups = List.copyOf(groups);
    }

    /** Changes the parameters once. @param lr learning rate of this step */
    public final void step(double lr) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            for (ParameterGroup group : groups) {
                List<Parameter> with = new ArrayList<>();
                for (Parameter p : group.parameters()) {
                    if (p.tensor().grad().defined()) {
                        with.add(p);
                    }
                }
                if (!with.isEmpty()) {
                    step(with, group.weightDecay(), lr * group.rate());
                }
            }
        }
    }

    /** Changes parameters of one group, all of which have gradients. Called inside a scope, with grad mode off. */
    protected abstract void step(List<Parameter> parameters, double weightDecay, double lr);

    /** A state tensor of a parameter, made by {@code start} when it is not there. */
    protected final Tensor state(Parameter p, String kind, java.util.function.Supplier<Tensor> start) {
        return state.computeIfAbsent(p.name() + ":" + kind, k -> Memory.scoped(start));
    }

    /** Whether a parameter has this state already. */
    protected final boolean hasState(Parameter p, String kind) {
        return state.containsKey(p.name() + ":" + kind);
    }

    static List<Tensor> tensors(List<Parameter> parameters) {
        return parameters.stream().map(Parameter::tensor).toList();
    }

    static List<Tensor> gradients(List<Parameter> parameters) {
        return parameters.stream().map(p -> (Tensor) p.tensor().grad()).toList();
    }

    /** Everything it changes. */
    public final List<Parameter> parameters() {
        return groups.stream().flatMap(g -> g.parameters().stream()).toList();
    }

    /** Forgets the gradients (torch's {@code zero_grad(set_to_none=True)}). */
    public final void zeroGrad() {
        for (ParameterGroup group : groups) {
            for (Parameter p : group.parameters()) {
                p.tensor().mutable_grad().reset();
            }
        }
    }

    /**
     * Scales the gradients so that their common 2-norm is at most {@code maxNorm} (torch.nn.utils.clip_grad_norm_).
     *
     * @return the norm before
     */
    public final double clipGradNorm(double maxNorm) {
        try (PointerScope scope = new PointerScope()) {
            Tensor[] all = parameters().stream()
                    .map(Parameter::tensor)
                    .filter(t -> t.grad().defined())
                    .toArray(Tensor[]::new);
            return all.length == 0 ? 0 : torch.clip_grad_norm_(new TensorVector(all), maxNorm);
        }
    }

    /**
     * As {@link #clipGradNorm}, in a handful of operations over all gradients at once and without waiting for their result: for gradients on a GPU.
     *
     * @return the norm before, a scalar beside the gradients, in the caller's scope
     */
    final Tensor clipGradNormThere(double maxNorm) {
        List<Tensor> gradients = parameters().stream()
                .map(p -> (Tensor) p.tensor().grad())
                .filter(Tensor::defined)
                .toList();
        if (gradients.isEmpty()) {
            return Ops.empty(torch.ScalarType.Float).zero_();
        }
        try (NoGradGuard guard = new NoGradGuard()) {
            IValue norms = Ops.result(NORMS, Ops.list(gradients), new IValue(new Scalar(2.0)), NONE);
            Tensor norm = Ops.call(STACK, norms, new IValue(0L)).norm();
            Tensor scale = norm.add(new Scalar(1e-6))
                    .reciprocal_()
                    .mul_(new Scalar(maxNorm))
                    .clamp_max_(new Scalar(1.0));
            Ops.run(SCALE, Ops.list(gradients), new IValue(scale));
            return norm;
        }
    }

    /** Its state by name, for checkpoints; the tensors stay its own. */
    public final Map<String, Tensor> state() {
        return java.util.Collections.unmodifiableMap(state);
    }

    /**
     * Takes over a saved state.
     *
     * @param saved copied
     * @throws HeadstartException when it belongs to other parameters
     */
    public final void load(Map<String, Tensor> saved) {
        Map<String, Parameter> known = new LinkedHashMap<>();
        parameters().forEach(p -> known.put(p.name(), p));
        close();
        saved.forEach((name, t) -> {
            int colon = name.lastIndexOf(':');
            Parameter p = known.get(name.substring(0, Math.max(0, colon)));
            if (p == null
                    || t.dim() != 0
                            && !fits(
                                    name.substring(colon + 1),
                                    t.shape(),
                                    p.tensor().shape())) {
                throw new HeadstartException("optimizer state \"" + name
                        + "\" fits no trained parameter of this model; the checkpoint is of another run");
            }
            state.put(
                    name,
                    Memory.scoped(() -> Arrays.equals(t.shape(), p.tensor().shape())
                            ? torch.empty_like(p.tensor()).to(t.scalar_type()).copy_(t)
                            : staysOnCpu(name.substring(colon + 1))
                                    ? t.clone()
                                    : t.clone().to(p.tensor().device(), t.scalar_type())));
        });
    }

    /** Whether a state of this shape can belong to a parameter of that; scalars always can. */
    protected boolean fits(String kind, long[] state, long[] parameter) {
        return Arrays.equals(state, parameter);
    }

    /** Whether a state is read in Java at every step and so lies on the CPU, wherever its parameter is. */
    protected boolean staysOnCpu(String kind) {
        return false;
    }

    /** Frees the state. */
    @Override
    public void close() {
        state.values().forEach(Tensor::close);
        state.clear();
    }
}
