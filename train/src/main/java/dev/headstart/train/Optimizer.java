package dev.headstart.train;

import dev.headstart.HeadstartException;
import dev.headstart.nn.Memory;
import dev.headstart.nn.Parameter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * Changes parameters by their gradients. The arithmetic is torch's; parameters without a gradient are left alone, as there. Its state belongs to it
 * until {@link #close}. Not thread-safe.
 */
public abstract class Optimizer implements AutoCloseable {
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
                            : t.dim() == 0 ? t.clone() : t.clone().to(p.tensor().device(), t.scalar_type())));
        });
    }

    /** Whether a state of this shape can belong to a parameter of that; scalars always can. */
    protected boolean fits(String kind, long[] state, long[] parameter) {
        return Arrays.equals(state, parameter);
    }

    /** Frees the state. */
    @Override
    public void close() {
        state.values().forEach(Tensor::close);
        state.clear();
    }
}
