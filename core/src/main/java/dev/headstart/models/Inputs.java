package dev.headstart.models;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.headstart.HeadstartException;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Trace;
import dev.headstart.text.Encoded;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** The arguments of one forward call under transformers' names, and what else the caller wants to see. One object for one call at a time. */
public final class Inputs {
    private final Map<String, Tensor> tensors;
    private final boolean hiddenStates;
    private final boolean attentions;
    private final boolean gradients;
    private final JsonNode kwargs;
    private final int @Nullable [] lengths;
    private final Set<String> asked = new TreeSet<>();

    private Inputs(
            Map<String, Tensor> tensors,
            boolean hiddenStates,
            boolean attentions,
            boolean gradients,
            JsonNode kwargs,
            int @Nullable [] lengths) {
        this.tensors = tensors;
        this.hiddenStates = hiddenStates;
        this.attentions = attentions;
        this.gradients = gradients;
        this.kwargs = kwargs;
        this.lengths = lengths;
    }

    /** Tensors by argument name; they stay the caller's. */
    public static Inputs of(Map<String, Tensor> tensors) {
        return new Inputs(
                new LinkedHashMap<>(tensors), false, false, false, JsonNodeFactory.instance.objectNode(), null);
    }

    /** Tokenized text. The tensors are made in the caller's scope. */
    public static Inputs of(Encoded encoded) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        encoded.modelInputs().forEach((name, rows) -> tensors.put(name, Tensors.int64(rows)));
        return of(tensors);
    }

    /** One more tensor. */
    public Inputs with(String name, Tensor value) {
        Map<String, Tensor> all = new LinkedHashMap<>(tensors);
        all.put(name, value);
        return replace(all);
    }

    /** Asks for hidden states. */
    public Inputs withHiddenStates(boolean on) {
        return new Inputs(tensors, on, attentions, gradients, kwargs, lengths);
    }

    /** Asks for attention weights. */
    public Inputs withAttentions(boolean on) {
        return new Inputs(tensors, hiddenStates, on, gradients, kwargs, lengths);
    }

    /** Asks for a differentiable result although the model is in inference mode (explanations). */
    public Inputs withGradients(boolean on) {
        return new Inputs(tensors, hiddenStates, attentions, on, kwargs, lengths);
    }

    /** Arguments that are no tensors, a JSON object. */
    public Inputs withKwargs(JsonNode object) {
        return new Inputs(tensors, hiddenStates, attentions, gradients, object, lengths);
    }

    /**
     * Allows the model to leave out padding: only the first {@code lengths[row]} positions of each row count, and what the outputs hold at the
     * others is of no interest (models that make use of it leave zeros there).
     *
     * @param lengths one a row, as attention_mask says too
     */
    public Inputs withLengths(int[] lengths) {
        return new Inputs(tensors, hiddenStates, attentions, gradients, kwargs, lengths.clone());
    }

    /** The same call with other tensors. */
    Inputs replace(Map<String, Tensor> others) {
        return new Inputs(others, hiddenStates, attentions, gradients, kwargs, lengths);
    }

    /** Every tensor by name. */
    public Map<String, Tensor> tensors() {
        return tensors;
    }

    /** A tensor that must be there. @throws HeadstartException naming it and what was given */
    public Tensor required(String name) {
        Tensor t = optional(name);
        if (t == null) {
            throw new HeadstartException(
                    "input " + name + " is missing; given: " + String.join(", ", tensors.keySet()));
        }
        return t;
    }

    /** A tensor that may be absent. */
    public @Nullable Tensor optional(String name) {
        asked.add(name);
        return tensors.get(name);
    }

    /** A whole number among the arguments that are no tensors. */
    public long kwarg(String name, long absent) {
        asked.add(name);
        return kwargs.hasNonNull(name) ? kwargs.get(name).asLong() : absent;
    }

    /** A flag among the arguments that are no tensors. */
    public boolean kwarg(String name, boolean absent) {
        asked.add(name);
        return kwargs.hasNonNull(name) ? kwargs.get(name).asBoolean() : absent;
    }

    /** A new trace that collects what this call asks for. */
    public Trace trace() {
        return new Trace(hiddenStates, attentions);
    }

    /** How many positions of each row count, where the others are of no interest; else null. */
    int @Nullable [] lengths() {
        return lengths;
    }

    /** Whether hidden states are asked for. */
    public boolean hiddenStates() {
        return hiddenStates;
    }

    /** Whether attention weights are asked for. */
    public boolean attentions() {
        return attentions;
    }

    /** Whether a differentiable result is asked for. */
    public boolean gradients() {
        return gradients;
    }

    /**
     * Fails when token ids are no whole numbers or not [batch, length] (or [batch, choices, length]), or when a mask is of another length: some
     * operators would take such a mask and compute nonsense.
     */
    void checkTokens() {
        for (String prefix : new String[] {"", "decoder_"}) {
            Tensor ids = tensors.get(prefix + "input_ids");
            if (ids == null) {
                continue;
            }
            long[] shape = ids.shape();
            if (ids.is_floating_point() || shape.length < 2 || shape.length > 3 || shape[shape.length - 1] == 0) {
                throw new HeadstartException("input " + prefix
                        + "input_ids: expected whole numbers of shape [batch, length], found " + describe(ids));
            }
            for (String name : new String[] {prefix + "attention_mask", prefix + "token_type_ids"}) {
                Tensor beside = tensors.get(name);
                if (beside != null && beside.dim() == shape.length && !fits(beside.shape(), shape)) {
                    throw new HeadstartException("input " + name + ": expected the shape of " + prefix + "input_ids, "
                            + Arrays.toString(shape) + ", found " + describe(beside));
                }
            }
        }
    }

    /** Equal, or one row for all. */
    private static boolean fits(long[] shape, long[] ids) {
        int last = ids.length - 1;
        boolean oneForAll = Arrays.stream(shape, 0, last).allMatch(n -> n == 1);
        return shape[last] == ids[last] && (oneForAll || Arrays.equals(shape, ids));
    }

    private static String describe(Tensor t) {
        return Arrays.toString(t.shape()) + " " + Ops.type(t).name().toLowerCase(Locale.ROOT);
    }

    /** Every tensor's name, shape and type, for messages. */
    String describe() {
        return tensors.entrySet().stream()
                .map(e -> e.getKey() + " " + describe(e.getValue()))
                .collect(Collectors.joining(", "));
    }

    /** Fails when the caller gave an argument that the model did not look at. */
    void checkAllUsed(String model) {
        Set<String> unknown = new TreeSet<>(tensors.keySet());
        kwargs.fieldNames().forEachRemaining(unknown::add);
        unknown.removeAll(asked);
        if (!unknown.isEmpty()) {
            throw new HeadstartException(
                    model + " takes no " + String.join(", ", unknown) + "; it takes " + String.join(", ", asked));
        }
    }
}
