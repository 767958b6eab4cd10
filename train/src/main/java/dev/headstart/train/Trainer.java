package dev.headstart.train;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.io.Safetensors;
import dev.headstart.io.StagedFile;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Autocast;
import dev.headstart.nn.Memory;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Recompute;
import dev.headstart.peft.LoraAdapter;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Function;
import java.util.function.Supplier;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Trains a model: steps, learning rate, evaluation, checkpoints, early stopping. Everything random in a step (order, dropout, masks) depends on the
 * seed and the step's number alone; with the weights and the optimizer's state from a checkpoint, a resumed run has the same losses as an unbroken
 * one.
 *
 * <pre>{@code
 * var result = new Trainer(model, TrainingArguments.defaults().epochs(2), data)
 *     .evaluation(m -> Map.of("accuracy", accuracy(m)))
 *     .checkpoints(Path.of("run"))
 *     .train();
 * }</pre>
 */
public final class Trainer {
    private static final Logger LOG = LoggerFactory.getLogger(Trainer.class);
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String STATE = "trainer_state.json";
    private static final String OPTIMIZER = "optimizer.safetensors";

    private final PreTrainedModel<?> model;
    private final TrainingArguments args;
    private TrainingData data;
    private final BatchPlan plan;
    private final long total;
    private final long warmup;
    private final List<TrainerCallback> callbacks = new ArrayList<>();
    private Objective objective = Objective.ofModel();
    private @Nullable Function<PreTrainedModel<?>, Map<String, Double>> evaluation;
    private @Nullable LoraAdapter adapter;
    private @Nullable Supplier<List<ParameterGroup>> groups;
    private @Nullable Checkpoints checkpoints;
    private boolean resume;
    private boolean gpu;
    private boolean ahead;
    private volatile boolean stop;

    // What a checkpoint holds besides tensors.
    private long step;
    private double best = Double.NaN;
    private long bestStep = -1;
    private int withoutImprovement;
    private Map<String, Double> lastMetrics = Map.of();
    private long savedStep = -1;
    private long evaluatedStep = -1;

    /**
     * How a run ended.
     *
     * @param steps done in all, resumed ones included
     * @param epochs passes over the data
     * @param loss mean loss of the last logging interval
     * @param metrics of the weights that the model now has; empty without evaluation
     * @param bestStep step whose weights the model now has
     * @param seconds of this run
     * @param tokens of this run
     * @param reason {@code finished}, {@code early stopping} or {@code interrupted}
     */
    public record Result(
            long steps,
            double epochs,
            double loss,
            Map<String, Double> metrics,
            long bestStep,
            double seconds,
            long tokens,
            String reason) {}

    /**
     * @param model in whatever mode; what is frozen stays as it is
     * @throws HeadstartException when the data is empty or an argument is out of range
     */
    public Trainer(PreTrainedModel<?> model, TrainingArguments arguments, TrainingData data) {
        this.model = model;
        this.args = arguments.checked();
        this.data = data;
        if (data.size() == 0) {
            throw new HeadstartException("the training data is empty; expected at least one example");
        }
        this.plan = new BatchPlan(data, args);
        this.total = args.maxSteps > 0
                ? args.maxSteps
                : Math.max(Math.max(1, args.minSteps), Math.round(args.epochs * plan.stepsPerEpoch()));
        this.warmup = args.warmupSteps > 0 ? args.warmupSteps : (long) Math.ceil(total * args.warmupRatio);
    }

    /** What is made small; the model's own loss unless set. */
    public Trainer objective(Objective value) {
        objective = value;
        return this;
    }

    /** Computes metrics, higher or lower is better as the arguments say; called in inference mode. */
    public Trainer evaluation(Function<PreTrainedModel<?>, Map<String, Double>> value) {
        evaluation = value;
        return this;
    }

    /** One more watcher. */
    public Trainer callback(TrainerCallback value) {
        callbacks.add(value);
        return this;
    }

    /** The adapter that is trained: checkpoints then hold it instead of the whole model. */
    public Trainer adapter(@Nullable LoraAdapter value) {
        adapter = value;
        return this;
    }

    /** Which parameters are trained how; all that are not frozen when training begins, in two groups by weight decay, unless set. */
    public Trainer groups(Supplier<List<ParameterGroup>> value) {
        groups = value;
        return this;
    }

    /** Where checkpoints go; none are written unless set. */
    public Trainer checkpoints(Path folder) {
        checkpoints = new Checkpoints(folder);
        return this;
    }

    /** Whether to go on from the newest complete checkpoint, if there is one. */
    public Trainer resume(boolean value) {
        resume = value;
        return this;
    }

    /** As on a GPU: batches are made ahead, losses and norm read once a step. For tests; on a GPU it is so anyway. */
    Trainer asOnGpu() {
        gpu = true;
        ahead = true;
        return this;
    }

    /** Steps of the whole run. */
    public long totalSteps() {
        return total;
    }

    /** Ends training after the step that runs now, with a checkpoint. From any thread. */
    public void requestStop() {
        stop = true;
    }

    /**
     * Trains. The model is in inference mode afterwards, with the best weights where an evaluation chose them.
     *
     * @throws HeadstartException when the loss is not a number, memory runs out, or a checkpoint cannot be written or read
     */
    public Result train() {
        long begin = System.nanoTime();
        model.train();
        boolean there = model.onGpu();
        gpu |= there;
        TrainingData plain = data;
        List<ParameterGroup> trained = groups != null
                ? groups.get()
                : ParameterGroup.split(ParameterGroup.trainable(model), args.weightDecay, ParameterGroup::isBiasOrNorm);
        if (trained.isEmpty()) {
            throw new HeadstartException("nothing to train: every parameter of the model is frozen");
        }
        try (Optimizer optimizer = optimizer(trained);
                BatchesAhead next = (there || ahead) && !data.preparesItself() ? new BatchesAhead(data, there) : null) {
            data = next != null ? next : data;
            if (resume && checkpoints != null && args.checkpoints) {
                checkpoints.latest().ifPresent(path -> restore(path, optimizer));
            }
            return run(optimizer, begin);
        } finally {
            data = plain;
            model.eval();
        }
    }

    private Optimizer optimizer(List<ParameterGroup> trained) {
        return switch (args.optimizer) {
            case "sgd" -> new Sgd(trained, args.momentum, 0, args.nesterov);
            case "adafactor" -> new Adafactor(trained, args.scaleParameter);
            default -> new AdamW(trained, args.adamBeta1, args.adamBeta2, args.adamEpsilon);
        };
    }

    private Result run(Optimizer optimizer, long begin) {
        lowerFrozen();
        callbacks.forEach(c -> c.onBegin(step + 1, total));
        long tokens = 0;
        double sum = 0;
        int counted = 0;
        String reason = "finished";
        while (step < total) {
            long started = System.nanoTime();
            double lr = args.schedule.rate(args.learningRate, step, warmup, total);
            List<int[]> batches = plan.step(step);
            Done done = guarded(optimizer, batches, lr);
            step++;
            tokens += done.tokens;
            sum += done.loss;
            counted++;
            double epoch = epoch();
            double seconds = (System.nanoTime() - started) / 1e9;
            var log = new TrainerCallback.Step(step, total, epoch, done.loss, lr, done.norm, done.tokens, seconds);
            callbacks.forEach(c -> c.onStep(log));
            if (step % args.loggingSteps == 0 && step < total) {
                sum = 0;
                counted = 0;
            }
            boolean last = step >= total;
            boolean evaluated = false;
            if (evaluation != null && !stop && (last || due(args.evalSteps, plan.stepsPerEpoch()))) {
                evaluate();
                evaluated = true;
            }
            boolean early = args.earlyStoppingPatience > 0 && withoutImprovement >= args.earlyStoppingPatience;
            boolean save =
                    args.saveSteps > 0 ? step % args.saveSteps == 0 : evaluated || step % plan.stepsPerEpoch() == 0;
            if (save || last || early || stop || (evaluated && bestStep == step)) {
                save(optimizer);
            }
            if (early || stop) {
                reason = last && !unmeasured() ? "finished" : early ? "early stopping" : "interrupted";
                break;
            }
        }
        if (step >= total && unmeasured() && !stop) { // a run that was stopped before its last evaluation goes on here
            evaluate();
        }
        if (args.loadBestModelAtEnd && checkpoints != null && bestStep > 0 && bestStep != step && !stop) {
            Path path = checkpoints.path(bestStep);
            if (Checkpoints.isComplete(path)) {
                loadWeights(path);
                LOG.info("the best weights are those of step {}", bestStep);
                lastMetrics = metricsOf(path);
            }
        } else {
            bestStep = step;
        }
        double seconds = (System.nanoTime() - begin) / 1e9;
        return new Result(
                step,
                epoch(),
                counted == 0 ? Double.NaN : sum / counted,
                lastMetrics,
                bestStep,
                seconds,
                tokens,
                reason);
    }

    /** Whether the metrics are not those of the present weights. */
    private boolean unmeasured() {
        return evaluation != null && evaluatedStep != step;
    }

    /** Under autocast a frozen weight is never needed in fp32. */
    private void lowerFrozen() {
        if (args.bf16) {
            model.lowerFrozen();
        }
    }

    private double epoch() {
        return (double) step / plan.stepsPerEpoch();
    }

    private boolean due(int every, long otherwise) {
        return step % (every > 0 ? every : otherwise) == 0;
    }

    private record Done(double loss, @Nullable Double norm, long tokens) {}

    private Done guarded(Optimizer optimizer, List<int[]> batches, double lr) {
        try {
            return step(optimizer, batches, lr);
        } catch (OutOfMemoryError e) {
            throw outOfMemory(batches, e);
        } catch (RuntimeException e) {
            if (String.valueOf(e.getMessage()).matches("(?s).*(can't allocate memory|out of memory).*")) {
                throw outOfMemory(batches, e);
            }
            throw e;
        }
    }

    private HeadstartException outOfMemory(List<int[]> batches, Throwable e) {
        int longest = 0;
        for (int[] batch : batches) {
            for (int i : batch) {
                longest = Math.max(longest, data.length(i));
            }
        }
        return new HeadstartException(
                "step " + (step + 1) + ": out of memory with batches of " + args.batchSize + " examples of up to "
                        + longest
                        + " tokens; halve the batch size and double gradient accumulation (same result), or use"
                        + " gradient checkpointing, or lower the maximum length, or train an adapter (lora)"
                        + lastGood(),
                e);
    }

    private String lastGood() {
        return savedStep > 0 && checkpoints != null
                ? "; the last good checkpoint is " + checkpoints.path(savedStep)
                : "";
    }

    private Done step(Optimizer optimizer, List<int[]> batches, double lr) {
        if (step + 1 < total) {
            data.announce(plan.step(step + 1), BatchPlan.random(args.seed, step + 1, 3));
        }
        long seed = BatchPlan.random(args.seed, step, 2).nextLong();
        torch.manual_seed(seed);
        SplittableRandom random = BatchPlan.random(args.seed, step, 3);
        long examples = batches.stream().mapToLong(b -> b.length).sum();
        double loss = 0;
        long tokens = 0;
        List<Tensor> waiting = new ArrayList<>(); // on a GPU: losses that are read with the norm, at the step's end
        for (int[] indexes : batches) {
            for (int i : indexes) {
                tokens += data.length(i);
            }
            try (PointerScope scope = new PointerScope();
                    @Nullable Recompute segments = args.gradientCheckpointing ? Recompute.open() : null) {
                Tensor value = forward(Placement.of(model, data.batch(indexes, random)));
                double part = (double) indexes.length / examples;
                if (gpu) {
                    waiting.add(Memory.scoped(
                            () -> value.detach().to(ScalarType.Float).mul(new Scalar(part))));
                } else {
                    loss += finite(value.item_double(), "the loss is ") * part;
                }
                Tensor scaled = batches.size() == 1 ? value : value.mul(new Scalar(part));
                if (segments == null) {
                    scaled.backward();
                } else {
                    segments.backward(scaled);
                }
            }
        }
        Double norm = null;
        if (gpu) {
            double[] read = read(waiting, optimizer);
            loss = finite(read[0], "the loss is ");
            norm = args.maxGradNorm > 0 ? finite(read[1], "the gradients' norm is ") : null;
        } else if (args.maxGradNorm > 0) {
            norm = finite(optimizer.clipGradNorm(args.maxGradNorm), "the gradients' norm is ");
        }
        optimizer.step(lr);
        optimizer.zeroGrad();
        return new Done(loss, norm, tokens);
    }

    /** Clips the gradients and waits for the GPU, once: the sum of the losses and, where gradients are clipped, their norm before. Closes the losses. */
    private double[] read(List<Tensor> losses, Optimizer optimizer) {
        int n = losses.size();
        try (PointerScope scope = new PointerScope()) {
            List<Tensor> all = new ArrayList<>(losses);
            if (args.maxGradNorm > 0) {
                all.add(optimizer.clipGradNormThere(args.maxGradNorm));
            }
            float[] values = Tensors.floats(torch.stack(new TensorVector(all.toArray(Tensor[]::new)), 0));
            double sum = 0;
            for (int i = 0; i < n; i++) {
                sum += values[i];
            }
            return new double[] {sum, values[values.length - 1]};
        } finally {
            losses.forEach(Tensor::close);
        }
    }

    private double finite(double value, String what) {
        if (!Double.isFinite(value)) {
            throw notFinite(what + value);
        }
        return value;
    }

    private HeadstartException notFinite(String what) {
        return new HeadstartException("step " + (step + 1) + ": " + what
                + "; training stops here, the weights are left as they were; use a lower learning rate, more warmup, or"
                + " clipping, and look at the examples of this step" + lastGood());
    }

    private Tensor forward(Map<String, Tensor> batch) {
        if (!args.bf16) {
            return objective.loss(model, batch);
        }
        DeviceType device =
                model.namedParameters().values().iterator().next().tensor().is_cuda()
                        ? DeviceType.CUDA
                        : DeviceType.CPU;
        try (Autocast cast = new Autocast(device)) {
            return objective.loss(model, batch);
        }
    }

    private void evaluate() {
        Function<PreTrainedModel<?>, Map<String, Double>> evaluator = evaluation;
        if (evaluator == null) {
            return;
        }
        model.eval();
        try {
            lastMetrics = new LinkedHashMap<>(evaluator.apply(model));
        } finally {
            model.train();
            lowerFrozen();
        }
        evaluatedStep = step;
        callbacks.forEach(c -> c.onEvaluate(step, epoch(), lastMetrics));
        String name = args.metricForBestModel == null ? "loss" : args.metricForBestModel;
        Double value = lastMetrics.get(name);
        if (value == null) {
            throw new HeadstartException("metric_for_best_model \"" + name + "\" is not among the metrics "
                    + String.join(", ", lastMetrics.keySet()));
        }
        boolean up = args.metricForBestModel != null && args.greaterIsBetter;
        double gain = Double.isNaN(best) ? Double.POSITIVE_INFINITY : up ? value - best : best - value;
        if (gain > 0) {
            best = value;
            bestStep = step;
        }
        withoutImprovement = gain > args.earlyStoppingThreshold ? 0 : withoutImprovement + 1;
    }

    // === Checkpoints ===

    private Map<String, Tensor> weights() {
        if (adapter != null) {
            return adapter.tensors();
        }
        Map<String, Tensor> all = new LinkedHashMap<>();
        model.namedParameters().forEach((name, p) -> all.put(name, p.tensor()));
        return all;
    }

    private void save(Optimizer optimizer) {
        Checkpoints where = checkpoints;
        if (where == null || !args.checkpoints || savedStep == step) {
            return;
        }
        where.write(step, staging -> {
            if (adapter != null) {
                adapter.save(staging);
            } else {
                model.savePretrained(staging);
            }
            Safetensors.write(staging.resolve(OPTIMIZER), optimizer.state(), Map.of());
            ObjectNode state = JSON.createObjectNode();
            state.put("global_step", step).put("max_steps", total).put("epoch", epoch());
            state.put("best_metric", Double.isNaN(best) ? null : best).put("best_step", bestStep);
            state.put("without_improvement", withoutImprovement).put("evaluated_step", evaluatedStep);
            state.put("examples", data.size());
            state.set("arguments", JSON.valueToTree(args.toMap()));
            state.set("metrics", JSON.valueToTree(lastMetrics));
            StagedFile.write(staging.resolve(STATE), out -> out.write(ByteBuffer.wrap(bytes(state))));
            callbacks.forEach(c -> c.onSave(step, staging));
        });
        savedStep = step;
        where.prune(args.saveTotalLimit, bestStep);
    }

    private static byte[] bytes(JsonNode node) {
        return (node.toPrettyString() + "\n").getBytes(java.nio.charset.StandardCharsets.UTF_8);
    }

    private JsonNode state(Path checkpoint) {
        try {
            return JSON.readTree(checkpoint.resolve(STATE).toFile());
        } catch (IOException e) {
            throw new HeadstartException(checkpoint + ": " + STATE + " cannot be read: " + e.getMessage(), e);
        }
    }

    private Map<String, Double> metricsOf(Path checkpoint) {
        Map<String, Double> m = new LinkedHashMap<>();
        state(checkpoint)
                .path("metrics")
                .properties()
                .forEach(e -> m.put(e.getKey(), e.getValue().asDouble()));
        return m;
    }

    private void restore(Path checkpoint, Optimizer optimizer) {
        JsonNode state = state(checkpoint);
        JsonNode now = JSON.valueToTree(args.toMap());
        state.path("arguments").properties().forEach(e -> {
            JsonNode here = now.path(e.getKey());
            if (!e.getKey().equals("gradient_checkpointing") // the same numbers with and without
                    && !here.asText().equals(e.getValue().asText())) {
                throw new HeadstartException(checkpoint + " was made with " + e.getKey() + " = "
                        + e.getValue().asText()
                        + ", this run has " + here.asText()
                        + "; resume with the same arguments, or start anew in another output folder");
            }
        });
        if (state.path("examples").asLong() != data.size()) {
            throw new HeadstartException(
                    checkpoint + " was trained on " + state.path("examples") + " examples, this run has " + data.size()
                            + "; resume with the same data, or start anew in another output folder");
        }
        loadWeights(checkpoint);
        Map<String, Tensor> saved = Safetensors.readMap(checkpoint.resolve(OPTIMIZER));
        try {
            optimizer.load(saved);
        } finally {
            saved.values().forEach(Tensor::close);
        }
        step = state.path("global_step").asLong();
        best = state.path("best_metric").isNumber() ? state.path("best_metric").asDouble() : Double.NaN;
        bestStep = state.path("best_step").asLong(-1);
        withoutImprovement = state.path("without_improvement").asInt();
        evaluatedStep = state.path("evaluated_step").asLong(step);
        lastMetrics = metricsOf(checkpoint);
        savedStep = step;
        LOG.info("resuming after step {} of {} from {}", step, total, checkpoint);
    }

    private void loadWeights(Path checkpoint) {
        Path file = checkpoint.resolve(adapter != null ? "adapter_model.safetensors" : "model.safetensors");
        Map<String, Tensor> saved = Safetensors.readMap(file);
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            weights().forEach((name, t) -> {
                Tensor value = saved.get(name);
                if (value == null || value.numel() != t.numel()) {
                    throw new HeadstartException(file + ": tensor " + name
                            + " is missing or of another shape; the checkpoint is of another model");
                }
                t.copy_(value.to(t.device(), Ops.type(t)));
            });
        } finally {
            saved.values().forEach(Tensor::close);
        }
    }
}
