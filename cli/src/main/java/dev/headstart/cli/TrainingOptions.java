package dev.headstart.cli;

import dev.headstart.HeadstartException;
import dev.headstart.train.Schedule;
import dev.headstart.train.Trainer;
import dev.headstart.train.TrainingArguments;
import java.lang.reflect.Field;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** How training runs: the options of every command that trains, under transformers' names. */
final class TrainingOptions {
    @Spec(Spec.Target.MIXEE)
    private @Nullable CommandSpec spec;

    @Option(
            names = {"--learning-rate", "--lr"},
            description = "Highest learning rate; default: 5e-5 (full), 1e-3 (head), 2e-4 (lora), 5e-4 (pretrain).")
    private @Nullable Double learningRate;

    @Option(
            names = {"--lr-scheduler-type", "--schedule"},
            completionCandidates = Names.Schedules.class,
            description = "${COMPLETION-CANDIDATES} (${DEFAULT-VALUE}).")
    private String schedule = "linear";

    @Option(names = "--warmup-steps", description = "Steps in which the rate rises from 0.")
    private long warmupSteps;

    @Option(
            names = "--warmup-ratio",
            description = "Part of all steps in which the rate rises from 0 (${DEFAULT-VALUE}).")
    private double warmupRatio;

    @Option(
            names = {"--epochs", "--num-train-epochs"},
            description = "Passes over the data (${DEFAULT-VALUE}).")
    private double epochs = 3;

    @Option(names = "--max-steps", description = "Number of steps; wins over --epochs.")
    private long maxSteps = -1;

    @Option(names = "--min-steps", description = "At least so many steps, whatever --epochs gives.")
    private long minSteps;

    @Option(
            names = {"--batch-size", "--per-device-train-batch-size"},
            description = "Examples in a batch (${DEFAULT-VALUE}).")
    private int batchSize = 16;

    @Option(
            names = {"--eval-batch-size", "--per-device-eval-batch-size"},
            description = "Examples in a batch of evaluation (${DEFAULT-VALUE}).")
    private int evalBatchSize = 32;

    @Option(names = "--gradient-accumulation-steps", description = "Batches that make one step (${DEFAULT-VALUE}).")
    private int accumulation = 1;

    @Option(names = "--max-grad-norm", description = "Clip gradients to this norm; 0: not (${DEFAULT-VALUE}).")
    private double maxGradNorm = 1;

    @Option(names = "--weight-decay", description = "Of all but biases and normalizations (${DEFAULT-VALUE}).")
    private double weightDecay;

    @Option(
            names = {"--optim", "--optimizer"},
            description = "adamw, adafactor (T5's) or sgd (${DEFAULT-VALUE}).")
    private String optimizer = "adamw";

    @Option(names = "--adam-beta1", description = "Decay of AdamW's means (${DEFAULT-VALUE}).")
    private double beta1 = 0.9;

    @Option(names = "--adam-beta2", description = "Decay of AdamW's mean squares (${DEFAULT-VALUE}).")
    private double beta2 = 0.999;

    @Option(names = "--adam-epsilon", description = "Added to the root of AdamW's mean squares (${DEFAULT-VALUE}).")
    private double epsilon = 1e-8;

    @Option(names = "--momentum", description = "Of sgd (${DEFAULT-VALUE}).")
    private double momentum = 0.9;

    @Option(names = "--nesterov", description = "Nesterov's momentum (sgd).")
    private boolean nesterov;

    @Option(
            names = "--scale-parameter",
            negatable = true,
            defaultValue = "true",
            fallbackValue = "true",
            description =
                    "Adafactor's learning rate is a part of each parameter's size: 1e-2 to train T5 from nothing, 1e-3"
                            + " to fine-tune it.")
    private boolean scaleParameter = true;

    @Option(
            names = {"--early-stopping", "--early-stopping-patience"},
            description = "Evaluations without improvement after which to stop; 0: never.")
    private int patience;

    @Option(names = "--eval-steps", description = "Steps between evaluations; 0: after each epoch.")
    private int evalSteps;

    @Option(names = "--save-steps", description = "Steps between checkpoints; 0: after each evaluation.")
    private int saveSteps;

    @Option(names = "--save-total-limit", description = "Checkpoints kept besides the best (${DEFAULT-VALUE}).")
    private int saveTotalLimit = 2;

    @Option(
            names = "--no-checkpoints",
            description = "Write no checkpoints: nothing can be resumed, the last weights are taken.")
    private boolean noCheckpoints;

    @Option(
            names = "--gradient-checkpointing",
            description = "Compute each layer again for its gradients: less memory, more time, the same numbers.")
    private boolean gradientCheckpointing;

    @Option(names = "--seed", description = "Seed of everything random (${DEFAULT-VALUE}).")
    private long seed = 42;

    @Option(names = "--precision", description = "fp32 or bf16 (autocast; weights stay fp32) (${DEFAULT-VALUE}).")
    private String precision = "fp32";

    /** Fine-tuning's defaults. */
    TrainingOptions() {}

    /** Defaults for training from nothing. */
    static TrainingOptions forPretraining() {
        TrainingOptions options = new TrainingOptions();
        options.schedule = "cosine";
        options.warmupRatio = 0.05;
        options.epochs = 1;
        options.evalBatchSize = 16;
        options.weightDecay = 0.1;
        options.beta2 = 0.99;
        return options;
    }

    /** The arguments that the options make. @param rate learning rate unless one is given */
    TrainingArguments arguments(double rate) {
        if (!precision.equals("fp32") && !precision.equals("bf16")) {
            throw new HeadstartException("--precision must be fp32 or bf16, found " + precision);
        }
        return TrainingArguments.defaults()
                .learningRate(learningRate != null ? learningRate : rate)
                .schedule(Schedule.of(schedule))
                .warmupSteps(warmupSteps)
                .warmupRatio(warmupRatio)
                .epochs(epochs)
                .maxSteps(maxSteps)
                .minSteps(minSteps)
                .checkpoints(!noCheckpoints)
                .gradientCheckpointing(gradientCheckpointing)
                .batchSize(batchSize)
                .gradientAccumulationSteps(accumulation)
                .maxGradNorm(maxGradNorm)
                .weightDecay(weightDecay)
                .optimizer(optimizer)
                .momentum(momentum)
                .nesterov(nesterov)
                .scaleParameter(scaleParameter)
                .adam(beta1, beta2, epsilon)
                .earlyStopping(patience, 0)
                .evalSteps(evalSteps)
                .saveSteps(saveSteps)
                .saveTotalLimit(saveTotalLimit)
                .bf16(precision.equals("bf16"))
                .seed(seed);
    }

    /** Examples of one forward pass in evaluation. */
    int evalBatchSize() {
        return evalBatchSize;
    }

    /** Trains and prints the folder; Ctrl-C ends training with a checkpoint. */
    static void run(Path output, Runnable requestStop, Supplier<Trainer.Result> job) {
        interruptibly(requestStop, () -> {
            Trainer.Result result = job.get();
            if (result.reason().equals("interrupted")) {
                throw new HeadstartException("interrupted after step " + result.steps() + "; the checkpoint is in "
                        + output + ", go on with --resume");
            }
            System.out.println(output);
        });
    }

    /** Runs a job; Ctrl-C asks it to stop and waits until it has. */
    static void interruptibly(Runnable requestStop, Runnable job) {
        CountDownLatch done = new CountDownLatch(1);
        Thread onInterrupt = new Thread(() -> {
            requestStop.run();
            try {
                done.await(5, TimeUnit.MINUTES); // the step that runs ends, then a checkpoint is written
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        Runtime.getRuntime().addShutdownHook(onInterrupt);
        try {
            job.run();
        } finally {
            done.countDown();
        }
    }

    /** Whether an option is one of these. */
    static boolean has(OptionSpec option) {
        return option.userObject() instanceof Field field && field.getDeclaringClass() == TrainingOptions.class;
    }

    /** The command as typed, paths by their last name. */
    String commandLine() {
        return commandLine(Objects.requireNonNull(spec));
    }

    /** The command as typed, paths by their last name. */
    static String commandLine(CommandSpec spec) {
        StringBuilder b = new StringBuilder("headstart");
        for (String argument : spec.root().commandLine().getParseResult().originalArgs()) {
            String shown = Arrays.stream(argument.split(",", -1))
                    .map(part ->
                            part.startsWith("/") ? String.valueOf(Path.of(part).getFileName()) : part)
                    .collect(Collectors.joining(","));
            b.append(' ').append(shown.matches("[\\w./:=,@+-]*") ? shown : "'" + shown + "'");
        }
        return b.toString();
    }
}
