package dev.headstart.nn;

import dev.headstart.HeadstartException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** What the layers of one model share: its parameters by name, its Linear layers, and whether it is training. */
public final class ModelState {
    /** Elements from which a table in fp32 is too much beside weights of 16 bits. */
    private static final long LARGE_TABLE = 1 << 22;

    private final Map<String, Parameter> parameters = new LinkedHashMap<>();
    private final Map<String, String> tied = new LinkedHashMap<>();
    private final List<Linear> linears = new ArrayList<>();
    private final List<ConvNorm> convNorms = new ArrayList<>();
    private final List<ConvPrograms> convPrograms = new ArrayList<>();
    private final Set<Parameter> tables = new LinkedHashSet<>();
    private final Map<String, Parameter> added = new LinkedHashMap<>();
    private final Set<Parameter> lowered = new LinkedHashSet<>();
    private @Nullable Originals originals;
    private volatile boolean training;
    private boolean positionsEnd = true;
    private boolean untied;
    private boolean frozenNormsFollow;

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

    /** The weights of every embedding. */
    Set<Parameter> tables() {
        return tables;
    }

    /**
     * For inference in 16 bits: large tables that no Linear shares stay in the 16 bits in which the checkpoint stores them, if it does, and rows are looked up in fp32
     * all the same. {@link #unpack} undoes it.
     */
    public void halveTables() {
        for (Parameter table : tables) {
            if (table.size(0) * table.size(1) >= LARGE_TABLE && linears.stream().noneMatch(l -> l.weight() == table)) {
                table.keepHalf();
            }
        }
    }

    /** Every convolution with its batch normalization. */
    public List<ConvNorm> convNorms() {
        return convNorms;
    }

    /** Says that the layers know places by rotation, distance or formula, so that no table of positions ends. */
    public void positionsDoNotEnd() {
        positionsEnd = false;
    }

    /** Whether a table of positions ends, beyond which nothing can be computed. */
    public boolean positionsEnd() {
        return positionsEnd;
    }

    /** Folds every batch normalization into its convolution, for inference. */
    public void foldNorms(Precision precision) {
        convNorms.forEach(c -> c.fold(precision));
    }

    /** Measures the ranges of the convolutions' inputs while {@code body} runs plain layers, for 8 bits. */
    public void observe(Runnable body) {
        convNorms.forEach(c -> c.observed(true));
        try {
            body.run();
        } finally {
            convNorms.forEach(c -> c.observed(false));
        }
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

    /** Says where weights can be read again. */
    void originals(Originals value) {
        originals = value;
    }

    /**
     * Leaves of the frozen weights of Linears the bfloat16 form alone, which autocast would make of them at every step: a quarter of a model's memory when an
     * adapter is trained. Only for steps under bf16 autocast on the CPU. {@link #unpack} and leaving training mode read them again from the
     * checkpoint; what the checkpoint cannot give back as it is now stays.
     */
    public void lowerFrozen() {
        Originals source = originals;
        if (source == null) {
            return;
        }
        List<Parameter> frozen = linears.stream()
                .filter(l -> l.kernelName().equals("plain"))
                .map(Linear::weight)
                .filter(p -> p.isFrozen()
                        && !isShared(p)
                        && source.names().containsKey(p.name())
                        && Ops.type(p.tensor()) == ScalarType.Float
                        && !p.tensor().is_cuda())
                .distinct()
                .toList();
        source.read(frozen, (p, value) -> {
            if (value.equal(p.tensor())) {
                p.set(value.to(ScalarType.BFloat16));
                lowered.add(p);
            }
        });
        if (!lowered.isEmpty()) {
            parameters.values().forEach(Parameter::unmap);
            Pointer.trimMemory();
        }
    }

    /**
     * Undoes {@link #lowerFrozen}.
     *
     * @return whether there was something to undo
     * @throws HeadstartException when the checkpoint is not what it was
     */
    public boolean restoreFrozen() {
        Originals source = originals;
        boolean some = !lowered.isEmpty();
        if (some && source != null) {
            lowered.removeIf(p -> Ops.type(p.tensor()) != ScalarType.BFloat16); // has got another value
            source.read(lowered, (p, value) -> {
                if (!value.to(ScalarType.BFloat16).equal(p.tensor())) {
                    throw Originals.changed(p);
                }
                p.set(value);
            });
            lowered.clear();
        }
        return some;
    }

    /** Returns every Linear and every folded convolution to its plain kernel and its weights to fp32, which changes of weights need. */
    public void unpack() {
        restoreFrozen();
        linears.forEach(Linear::unpack);
        tables.forEach(Parameter::restoreHalf);
        convNorms.forEach(ConvNorm::unfold);
    }

    /**
     * Converts every parameter and buffer in place: floating-point ones to a type, all to a device. Tied ones stay tied.
     *
     * @param type null for the type that each has
     * @param device null for the device that each is on
     * @throws IllegalStateException while kernels are packed or normalizations folded: they hold values of their own
     */
    public void to(@Nullable ScalarType type, @Nullable Device device) {
        restoreFrozen();
        Set<String> kernels = new TreeSet<>();
        linears.forEach(l -> kernels.add(l.kernelName()));
        convNorms.stream().filter(ConvNorm::folded).forEach(c -> kernels.add("folded normalization"));
        kernels.remove("plain");
        if (!kernels.isEmpty()) {
            throw new IllegalStateException("the layers are packed for inference (" + String.join(", ", kernels)
                    + "), so their weights cannot be converted: train() and eval() return to plain layers,"
                    + " or load the model with the type or device it shall have");
        }
        Stream.concat(parameters.values().stream(), added.values().stream())
                .forEach(p -> Memory.scoped(() -> {
                    p.to(device != null ? device : p.tensor().device(), type);
                }));
    }

    /** Whether a Linear's weight is read elsewhere too (tied to an embedding). */
    public boolean isShared(Parameter parameter) {
        return tied.containsValue(parameter.name());
    }

    /** Gives a Linear whose weight is tied to another's a weight of its own under its own name, which starts as a copy. */
    public void untie(Linear layer) {
        String name = layer.name() + ".weight";
        if (tied.remove(name) != null) {
            Parameter shared = layer.weight();
            Parameter own;
            try (Tensor copy = Memory.scoped(() -> shared.tensor().detach().clone())) {
                own = new Parameter(name, copy, false, shared.isHead(), false);
            }
            parameters.put(name, own);
            layer.own(own);
            untied = true;
        }
    }

    /** Whether a weight that config.json ties became one of its own. */
    public boolean untied() {
        return untied;
    }

    /** Batch normalizations whose weights are frozen take the batch's statistics in training too, as torch's do. */
    public void letFrozenNormsFollow() {
        frozenNormsFollow = true;
    }

    boolean frozenNormsFollow() {
        return frozenNormsFollow;
    }

    /** Whether dropout drops and batch normalization takes the batch's statistics. */
    public boolean training() {
        return training;
    }

    /** Switches between training and inference; Linear layers return to their plain kernel for training. */
    public void training(boolean on) {
        if (on) {
            unpack();
        } else {
            restoreFrozen();
        }
        training = on;
    }

    /** Programs of convolutions, which are freed with the model. */
    public ConvPrograms convPrograms() {
        ConvPrograms all = new ConvPrograms();
        convPrograms.add(all);
        return all;
    }

    /** Frees every native tensor. */
    public void close() {
        convPrograms.forEach(ConvPrograms::close);
        linears.forEach(Linear::close);
        convNorms.forEach(ConvNorm::unfold);
        parameters.values().forEach(Parameter::close);
        parameters.clear();
        lowered.clear();
        removeAdded();
    }
}
