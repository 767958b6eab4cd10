package dev.headstart.models;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.io.Safetensors;
import dev.headstart.io.StagedFile;
import dev.headstart.nn.Kernels;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Memory;
import dev.headstart.nn.ModelState;
import dev.headstart.nn.Natives;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Precision;
import dev.headstart.nn.Recompute;
import dev.headstart.nn.Weights;
import dev.headstart.text.Encoded;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A model with its weights. Safe to call from many threads while it is in inference mode; {@link #close} waits for running calls, later calls throw
 * IllegalStateException. In inference mode (the state after loading) results carry no gradients unless the call asks for them; in training mode they
 * do.
 *
 * @param <O> what forward returns
 */
public abstract class PreTrainedModel<O extends ModelOutput> implements AutoCloseable {
    private final ConfigJson config;
    private final ModelState state;
    private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
    private boolean closed;

    /** @param w the weights that the subclass builds its layers from; @param config config.json */
    protected PreTrainedModel(Weights w, ConfigJson config) {
        this.config = config;
        this.state = w.state();
    }

    /** Computes the outputs, inside a scope that frees what is made on the way. */
    protected abstract O compute(Inputs in);

    /**
     * Runs the model.
     *
     * @param in tensors under the names of transformers' forward arguments; they stay the caller's
     * @return the outputs, to be closed by the caller
     * @throws HeadstartException when an argument is missing, unknown, or of a shape or type that the model cannot take
     */
    public O forward(Inputs in) {
        in.checkTokens();
        return call(in.gradients(), () -> {
            Inputs placed = place(in);
            O out;
            try {
                out = compute(placed);
            } catch (RuntimeException e) {
                throw e.getClass() == RuntimeException.class ? refused(placed, e) : e;
            }
            placed.checkAllUsed(getClass().getSimpleName());
            return out;
        });
    }

    /** JavaCPP throws plain RuntimeExceptions for what libtorch says; their first line is the message, C++ frames follow. */
    private HeadstartException refused(Inputs in, RuntimeException e) {
        String said = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
        return new HeadstartException(
                getClass().getSimpleName() + " cannot compute with these inputs (" + in.describe() + "): " + said
                        + "; check their shapes and types",
                e);
    }

    /** Runs the model on tokenized text. */
    public O forward(Encoded encoded) {
        try (PointerScope scope = new PointerScope()) {
            return forward(Inputs.of(encoded));
        }
    }

    /**
     * Runs {@code body} as one call: not while the model closes, in a scope of its own, without gradients in inference mode. The tensors of the
     * output outlive the scope.
     */
    protected final <R extends ModelOutput> R call(boolean gradients, Supplier<R> body) {
        return within(gradients, () -> {
            Recompute.begin();
            try (@Nullable PointerScope scope = Recompute.active() ? null : new PointerScope()) { // layers run again
                R out = body.get();
                out.tensors().values().forEach(Memory::keep);
                return out;
            }
        });
    }

    /** Runs {@code body} as one call, or as one step of a longer one: as {@link #call}, but in the caller's scope. */
    protected final <R> R within(boolean gradients, Supplier<R> body) {
        lock.readLock().lock();
        try {
            if (closed) {
                throw new IllegalStateException(getClass().getSimpleName() + " is closed");
            }
            NoGradGuard guard = state.training() || gradients ? null : new NoGradGuard();
            try {
                return body.get();
            } finally {
                Memory.close(guard);
            }
        } finally {
            lock.readLock().unlock();
        }
    }

    final Inputs place(Inputs in) {
        Parameter any = state.parameters().values().iterator().next();
        if (!any.tensor().is_cuda()) {
            return in.replace(in.tensors());
        }
        Map<String, Tensor> moved = new LinkedHashMap<>();
        ScalarType type = Ops.type(any.tensor());
        in.tensors().forEach((name, t) -> { // embeddings in the weights' type, as a table would give them
            ScalarType own = name.endsWith("inputs_embeds") && any.tensor().is_floating_point() ? type : Ops.type(t);
            moved.put(name, t.to(any.tensor().device(), own));
        });
        return in.replace(moved);
    }

    /** config.json. */
    public final ConfigJson config() {
        return config;
    }

    /** Whether the weights are stored in few bits, with kernels of their own. */
    public final boolean quantized() {
        return config.node().has("quantization_config");
    }

    /** Parameters and buffers by name, tied ones once. They belong to the model. */
    public final Map<String, Parameter> namedParameters() {
        return Collections.unmodifiableMap(state.parameters());
    }

    /** What the layers share. */
    public final ModelState state() {
        return state;
    }

    /** Most tokens the model is made for, as config.json says; families whose position table is shifted say so themselves. */
    public int maxLength() {
        return config.integer("max_position_embeddings", config.integer("n_positions", Integer.MAX_VALUE));
    }

    /** Whether nothing can be computed beyond {@link #maxLength} (a position table), rather than only with loss of quality (rotary, relative). */
    public final boolean maxLengthIsHard() {
        return state.positionsEnd();
    }

    /** Whether on the CPU padding costs its embeddings alone where {@link Inputs#withLengths} tells it, so that a batch is as large as its texts are long. */
    public boolean leavesOutPadding() {
        return false;
    }

    /** Every Linear layer, with its path. */
    public final List<Linear> linears() {
        return Collections.unmodifiableList(state.linears());
    }

    /** Number of elements of all parameters, tied ones once. */
    public final long numParameters() {
        long plain = state.parameters().values().stream()
                .filter(p -> !p.isBuffer())
                .mapToLong(Parameter::elements)
                .sum();
        long packed = state.linears().stream()
                .filter(l -> l.weight().tensor().numel() == 0)
                .mapToLong(l -> l.in() * l.out())
                .sum();
        return plain + packed;
    }

    /** Training mode: dropout drops, results carry gradients, plain kernels. Parameters that are not frozen require gradients. */
    public final void train() {
        exclusive(() -> {
            Natives.blasThreads(true);
            state.training(true);
            Stream.concat(state.parameters().values().stream(), state.added().values().stream())
                    .filter(p -> !p.isBuffer() && p.tensor().is_floating_point() && !p.isFrozen())
                    .forEach(p -> p.tensor().set_requires_grad(true));
        });
    }

    /**
     * For training mode under bf16 autocast, on the CPU: frozen weights of Linear layers keep only the bf16 form that autocast would make of them at every
     * step. Leaving training mode, saving, and an adapter's changes read them again from the checkpoint, which must stay as it is meanwhile.
     * Losses and gradients are the same, bit for bit; without autocast the model cannot compute so.
     *
     * @throws HeadstartException when the checkpoint cannot be read any more
     */
    public final void lowerFrozen() {
        exclusive(() -> {
            if (!state.training()) {
                throw new IllegalStateException("lowerFrozen() is for training; call train() first");
            }
            state.lowerFrozen();
        });
    }

    /** Inference mode, the state after loading. */
    public final void eval() {
        exclusive(() -> state.training(false));
    }

    /** Takes the parameters whose names start with {@code prefix} out of training, or puts them back. */
    public final void freeze(String prefix, boolean frozen) {
        exclusive(() -> state.parameters().values().stream()
                .filter(p -> p.name().startsWith(prefix))
                .forEach(p -> p.freeze(frozen)));
    }

    /** Whether the weights lie on a GPU. */
    public final boolean onGpu() {
        Map<String, Parameter> all = state.parameters();
        return all.values().stream()
                .filter(Parameter::isRead)
                .findFirst()
                .orElseGet(() -> all.values().iterator().next())
                .tensor()
                .is_cuda();
    }

    /**
     * Converts the model in place, as {@code torch.nn.Module.to}: parameters and buffers of floating-point numbers to a type, or all of them to a
     * device. Optimizers made before hold the old weights: make them afterwards.
     *
     * @param dtypeOrDevice {@code float32}, {@code bfloat16}, {@code float16}, {@code float64}, or {@code cpu}, {@code cuda}, {@code cuda:N}
     * @throws IllegalStateException while calls run, or while layers are packed ({@link #optimize}); nothing is changed then
     * @throws HeadstartException when there is no such type, or no such device here
     */
    public final void to(String dtypeOrDevice) {
        boolean toDevice = dtypeOrDevice.matches("cpu|cuda(:\\d{1,3})?");
        String dtype = toDevice
                ? null
                : LoadOptions.defaults().withDtype(dtypeOrDevice).dtype();
        if (!lock.writeLock().tryLock()) {
            throw new IllegalStateException(getClass().getSimpleName()
                    + " is computing: to(\"" + dtypeOrDevice
                    + "\") would change the weights under it; wait for the call's end");
        }
        try {
            if (closed) {
                throw new IllegalStateException(getClass().getSimpleName() + " is closed");
            }
            try (PointerScope scope = new PointerScope()) {
                if (dtype == null) {
                    state.to(null, Models.device(dtypeOrDevice));
                } else {
                    state.to(Ops.typeNamed(dtype), null);
                    config.node().remove("torch_dtype"); // its name before transformers 5
                    config.node().put("dtype", dtype);
                }
            }
        } finally {
            lock.writeLock().unlock();
        }
    }

    /** Whether activations take oneDNN's own order in training under autocast on the CPU, which reads weights in the plain one. */
    protected boolean trainsInBlocks() {
        return false;
    }

    /**
     * Brings the weights of convolutions into the order in which they train fastest: channels innermost, as torch's
     * {@code module.to(memory_format=torch.channels_last)}, unless activations take {@linkplain dev.headstart.nn.BlockedLayout oneDNN's own}. Shapes and
     * values stay; optimizers made before hold the old weights.
     *
     * @param bf16 whether the training will be under autocast
     */
    public final void layOutForTraining(boolean bf16) {
        if (bf16 && !onGpu() && trainsInBlocks()) {
            return;
        }
        exclusive(() -> state.parameters().values().stream()
                .filter(p -> p.tensor().dim() == 4)
                .forEach(p -> Memory.scoped(() -> p.set(p.tensor().detach().contiguous(MemoryFormat.ChannelsLast)))));
    }

    /**
     * Packs the Linear layers for fast inference at the given precision and frees the originals, and folds batch normalizations and activations into convolutions; {@link #train} undoes it. On a GPU the plain kernels
     * are the fast ones and nothing is packed: bf16 makes the weights bf16, for good, as {@link #to} does.
     *
     * @throws HeadstartException on a GPU for int8 and int4, which have kernels for the CPU alone
     */
    public final void optimize(Precision precision) {
        exclusive(() -> {
            if (state.training()) {
                throw new IllegalStateException("optimize() is for inference; call eval() first");
            }
            if (onGpu()) {
                onGpu(precision);
                return;
            }
            Natives.blasThreads(false);
            // the largest first, which is held twice while it is packed: weights that are read one by one are not there
            // yet
            Memory.Trim trim = new Memory.Trim();
            for (boolean shared : new boolean[] {true, false}) {
                for (Linear l : state.linears()) {
                    if (state.isShared(l.weight()) == shared) {
                        trim.before(l.in() * l.out());
                        if (this instanceof GenerativeModel
                                && !l.name().contains("encoder.")) { // an encoder reads many tokens at once
                            Kernels.packForDecoding(l, precision, shared);
                        } else {
                            Kernels.pack(l, precision, shared);
                        }
                    }
                }
            }
            if (precision == Precision.BF16) {
                state.halveTables();
            }
            state.foldNorms(quantized() ? Precision.INT8 : precision);
        });
    }

    private void onGpu(Precision precision) {
        if (precision == Precision.BF16) {
            state.to(ScalarType.BFloat16, null);
        } else if (precision != Precision.FP32 && !quantized()) { // a quantized folder was read as plain numbers
            throw Models.onCpuAlone(precision);
        }
    }

    /**
     * Writes config.json, model.safetensors and, of a model that generates, generation_config.json in Hugging Face layout.
     *
     * @param folder made when it is not there
     */
    public final void savePretrained(Path folder) {
        exclusive(() -> {
            boolean lowered = state.restoreFrozen();
            try (PointerScope scope = new PointerScope()) {
                Files.createDirectories(folder);
                Map<String, Tensor> tensors = new LinkedHashMap<>();
                state.parameters().forEach((name, p) -> tensors.put(name, p.values()));
                state.linears().forEach(l -> tensors.put(l.weight().name(), l.plainWeight()));
                Safetensors.write(folder.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
                config.node().remove("quantization_config"); // the weights are plain again
                saveConfig(folder);
                if (this instanceof GenerativeModel generative) {
                    byte[] own = generative.generationConfig().toJson().getBytes(StandardCharsets.UTF_8);
                    StagedFile.write(folder.resolve("generation_config.json"), out -> out.write(ByteBuffer.wrap(own)));
                }
            } catch (IOException e) {
                throw new HeadstartException(folder + ": cannot be written: " + e.getMessage(), e);
            }
            if (lowered) {
                state.lowerFrozen();
            }
        });
    }

    /** Writes config.json alone. @param folder made when it is not there */
    public final void saveConfig(Path folder) {
        config.node().putArray("architectures").add(getClass().getSimpleName());
        if (state.untied()
                && !config.modelType().equals("t5")) { // which scales by it; both tables in the file say the same
            config.node().put("tie_word_embeddings", false);
        }
        byte[] json = (config.node().toPrettyString() + "\n").getBytes(StandardCharsets.UTF_8);
        StagedFile.write(folder.resolve("config.json"), out -> out.write(ByteBuffer.wrap(json)));
    }

    /** Runs {@code body} while no call runs: for changes of layers and weights. */
    public final void exclusive(Runnable body) {
        lock.writeLock().lock();
        try {
            if (closed) {
                throw new IllegalStateException(getClass().getSimpleName() + " is closed");
            }
            body.run();
        } finally {
            lock.writeLock().unlock();
        }
    }

    /** Waits for running calls and frees the weights. Calling it again does nothing. */
    @Override
    public void close() {
        lock.writeLock().lock();
        try {
            if (!closed) {
                closed = true;
                state.close();
            }
        } finally {
            lock.writeLock().unlock();
        }
    }
}
