package dev.headstart.nn;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** What one call was asked to show of its inside: hidden states and attention weights, collected on the way. */
public final class Trace {
    private final @Nullable List<Tensor> hiddenStates;
    private final @Nullable List<Tensor> attentions;
    private final @Nullable PointerScope scope =
            PointerScope.getInnerScope(); // the call's, which outlives the layers' own

    /** @param hiddenStates whether to collect the layers' outputs; @param attentions whether to collect attention weights */
    public Trace(boolean hiddenStates, boolean attentions) {
        this.hiddenStates = hiddenStates ? new ArrayList<>() : null;
        this.attentions = attentions ? new ArrayList<>() : null;
    }

    /** A trace that collects nothing. */
    public static Trace none() {
        return new Trace(false, false);
    }

    /** Records a hidden state, [B, S, H], if asked for, and passes it on. */
    public Tensor hidden(Tensor x) {
        if (hiddenStates != null) {
            hiddenStates.add(outlive(x));
        }
        return x;
    }

    /** Records attention weights, [B, h, S, S], if asked for. */
    public void attention(Tensor weights) {
        if (attentions != null) {
            attentions.add(outlive(weights));
        }
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
