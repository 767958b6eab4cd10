package dev.headstart.nn;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/** What the layers of one model share: its parameters by name, its Linear layers, and whether it is training. */
public final class ModelState {
    private final Map<String, Parameter> parameters = new LinkedHashMap<>();
    private final Map<String, String> tied = new LinkedHashMap<>();
    private final List<Linear> linears = new ArrayList<>();
    private final List<ConvNorm> convNorms = new ArrayList<>();
    private final Map<String, Parameter> added = new LinkedHashMap<>();
    private volatile boolean training;

    /** Parameters and buffers by full path, in the order in which the layers were built; tied ones once. */
    public Map<String, Parameter> parameters() {
        return parameters;
    }

    /** Names that share another parameter's tensor: {@code cls.predictions.decoder.weight} -> {@code bert.embeddings.word_embeddings.weight}. */
    public Map<String, String> tied() {
        return tied;
    }

    /** Every Linear, for adapters, quantization and packing. */
    public List<Linear> linears() {
        return linears;
    }

    /** Every convolution with its batch normalization. */
    public List<ConvNorm> convNorms() {
        return convNorms;
    }

    /** Folds every batch normalization into its convolution, for inference in fp32. */
    public void foldNorms() {
        convNorms.forEach(ConvNorm::fold);
    }

    /** Parameters that an adapter put on top, by name: trained and freed with the model, not saved with it. */
    public Map<String, Parameter> added() {
        return added;
    }

    /** Puts a parameter on top of the model ({@link #added}). @param value its start; stays the caller's */
    public Parameter add(String name, Tensor value) {
        Parameter p = new Parameter(name, value, false, false, true);
        added.put(name, p);
        return p;
    }

    /** Frees the parameters on top of the model; nothing may use them any more. */
    public void removeAdded() {
        added.values().forEach(Parameter::close);
        added.clear();
    }

    /** A dropout that follows this model's training mode. */
    public Dropout dropout(double p) {
        return new Dropout(p, this);
    }

    /** Returns every Linear and every folded convolution to its plain kernel, which changes of weights need. */
    public void unpack() {
        linears.forEach(Linear::unpack);
        convNorms.forEach(ConvNorm::unfold);
    }

    /** Whether a Linear's weight is read elsewhere too (tied to an embedding). */
    public boolean isShared(Parameter parameter) {
        return tied.containsValue(parameter.name());
    }

    /** Whether dropout drops and batch normalization takes the batch's statistics. */
    public boolean training() {
        return training;
    }

    /** Switches between training and inference; Linear layers return to their plain kernel for training. */
    public void training(boolean on) {
        if (on) {
            unpack();
        }
        training = on;
    }

    /** Frees every native tensor. */
    public void close() {
        linears.forEach(Linear::close);
        convNorms.forEach(ConvNorm::unfold);
        parameters.values().forEach(Parameter::close);
        parameters.clear();
        removeAdded();
    }
}
