package dev.headstart.nn;

import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;
import java.util.function.Predicate;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** What one call was asked to show of its inside: hidden states and attention weights, collected on the way. */
public final class Trace {
    private final @Nullable List<Tensor> hiddenStates;
    private final @Nullable List<Tensor> attentions;
    private final @Nullable PointerScope scope =
            PointerScope.getInnerScope(); // the call's, which outlives the layers' own
    private final Map<Tensor, Boolean> known = new IdentityHashMap<>();

    /** @param hiddenStates whether to collect the layers' outputs; @param attentions whether to collect attention weights */
    public Trace(boolean hiddenStates, boolean attentions) {
        this.hiddenStates = hiddenStates ? new ArrayList<>() : null;
        this.attentions = attentions ? new ArrayList<>() : null;
    }

    /** A trace that collects nothing. */
    public static Trace none() {
        return new Trace(false, false);
    }

    /** Whether it collects nothing. */
    public boolean isNone() {
        return hiddenStates == null && attentions == null;
    }

    /** Records a hidden state, [B, S, H], if asked for, and passes it on. */
    public Tensor hidden(Tensor x) {
        if (hiddenStates != null) {
            hiddenStates.add(outlive(x));
        }
        return x;
    }

    /**
     * Runs layers one after another and records what each puts out, if asked for; otherwise an output is freed as soon as the next layer has read it (of
     * training, what the backward pass needs stays).
     *
     * @param x the first layer's input, [B, S, H]
     * @param step a layer's output from its input
     * @return the last layer's output, [B, S, H]
     */
    public <L> Tensor through(List<L> layers, Tensor x, BiFunction<L, Tensor, Tensor> step) {
        if (hiddenStates != null || Recompute.active()) {
            Tensor y = x;
            for (L layer : layers) {
                y = hidden(step.apply(layer, y));
            }
            return y;
        }
        Tensor last = x;
        for (L layer : layers) {
            Tensor input = last;
            try {
                last = Memory.scoped(() -> step.apply(layer, input));
            } finally {
                if (input != x) {
                    input.close();
                }
            }
        }
        return last == x ? x : Memory.handOver(last);
    }

    /** A step that computes the first positions of a layer's output. */
    public interface Step<L> {
        /** @param x [B, S, H]; @param positions from 1 to S; @return [B, positions, H] */
        Tensor of(L layer, Tensor x, long positions);
    }

    /**
     * As {@link #through(List, Tensor, BiFunction)}, where only the first positions of the last layer's output are read: unless hidden states or attention
     * weights are asked for, that layer computes no others.
     *
     * @param first how many positions are read
     * @return [B, first or S, H]
     */
    public <L> Tensor through(List<L> layers, Tensor x, long first, Step<L> step) {
        boolean alone = first < x.size(1) && !wantsHidden() && !wantsAttention();
        int[] left = {layers.size()};
        return through(layers, x, (layer, y) -> step.of(layer, y, --left[0] == 0 && alone ? first : y.size(1)));
    }

    /** Records attention weights, [B, h, S, S], if asked for. */
    public void attention(Tensor weights) {
        if (attentions != null) {
            attentions.add(outlive(weights));
        }
    }

    /** What holds of a tensor that the call's layers share and nobody changes: found out when it is first asked. */
    boolean once(Tensor shared, Predicate<Tensor> holds) {
        return known.computeIfAbsent(shared, holds::test);
    }

    private Tensor outlive(Tensor t) {
        if (scope != null) {
            scope.attach(t);
        }
        return t;
    }

    /** Whether attention weights are asked for, which the fused kernels cannot give. */
    public boolean wantsAttention() {
        return attentions != null;
    }

    /** Whether hidden states are asked for. */
    public boolean wantsHidden() {
        return hiddenStates != null;
    }

    /** The collected hidden states, null when not asked for. */
    public @Nullable List<Tensor> hiddenStates() {
        return hiddenStates;
    }

    /** The collected attention weights, null when not asked for. */
    public @Nullable List<Tensor> attentions() {
        return attentions;
    }
}
