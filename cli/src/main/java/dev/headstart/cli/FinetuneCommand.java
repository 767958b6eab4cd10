package dev.headstart.cli;

import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.train.Schedule;
import dev.headstart.train.Trainer;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.finetune.FineTune;
import dev.headstart.train.finetune.FineTuneOptions;
import dev.headstart.train.vision.ImageFineTune;
import dev.headstart.train.vision.ImageFineTuneOptions;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Adapts a pre-trained model to a task's data. */
@Command(
        name = "finetune",
        description = "Fine-tunes a pre-trained model on your data; the result is an ordinary model folder.")
final class FinetuneCommand implements Runnable {
    @Spec
    private @Nullable CommandSpec spec;

    @Option(
            names = "--task",
            required = true,
            description =
                    "text-classification, token-classification, question-answering, sentence-embedding, fill-mask, image-classification.")
    private String task = "";

    @Option(names = "--model", paramLabel = "ID", description = "Folder or id.")
    private String model = "";

    @Mixin
    private ImageTrainingOptions images = new ImageTrainingOptions();

    @Option(
            names = "--train",
            required = true,
            paramLabel = "FILE",
            description = "csv, tsv, jsonl, json, conll or Parquet; images: also class folders, or FILE.npz#SPLIT.")
    private Path train = Path.of("");

    @Option(
            names = "--validation",
            paramLabel = "FILE",
            description = "Data to evaluate on; default: a part of --train is set aside.")
    private @Nullable Path validation;

    @Option(
            names = "--validation-split",
            paramLabel = "PART",
            description = "Part set aside without --validation (${DEFAULT-VALUE}).")
    private double validationSplit = 0.1;

    @Option(
            names = "--test",
            paramLabel = "FILE",
            description = "Data to evaluate on once, after training; chooses nothing.")
    private @Nullable Path test;

    @Option(
            names = "--label-names",
            split = ",",
            paramLabel = "A,B,...",
            description = "Names for the classes, in the order of the labels in the data.")
    private List<String> labelNames = List.of();

    @Option(
            names = {"--output", "--output-dir"},
            required = true,
            paramLabel = "DIR",
            description = "Folder to make.")
    private Path output = Path.of("");

    @Option(
            names = {"--overwrite", "--overwrite-output-dir"},
            description = "Write into a folder that is not empty.")
    private boolean overwrite;

    @Option(names = "--resume", description = "Go on from the last complete checkpoint in --output.")
    private boolean resume;

    @Option(names = "--mode", description = "full, head (features computed once) or lora (${DEFAULT-VALUE}).")
    private FineTuneOptions.Mode mode = FineTuneOptions.Mode.FULL;

    @Option(
            names = {"--learning-rate", "--lr"},
            description = "Highest learning rate; default 5e-5 (full), 1e-3 (head), 2e-4 (lora).")
    private @Nullable Double learningRate;

    @Option(
            names = {"--lr-scheduler-type", "--schedule"},
            description =
                    "linear, cosine, cosine_with_restarts, polynomial, constant, constant_with_warmup, inverse_sqrt (${DEFAULT-VALUE}).")
    private String schedule = "linear";

    @Option(names = "--warmup-steps", description = "Steps in which the rate rises from 0.")
    private long warmupSteps;

    @Option(names = "--warmup-ratio", description = "Part of all steps in which the rate rises from 0.")
    private double warmupRatio;

    @Option(
            names = {"--epochs", "--num-train-epochs"},
            description = "Passes over the data (${DEFAULT-VALUE}).")
    private double epochs = 3;

    @Option(names = "--max-steps", description = "Number of steps; wins over --epochs.")
    private long maxSteps = -1;

    @Option(
            names = {"--batch-size", "--per-device-train-batch-size"},
            description = "Examples in a batch (${DEFAULT-VALUE}).")
    private int batchSize = 16;

    @Option(names = "--eval-batch-size", description = "Examples in a batch of evaluation (${DEFAULT-VALUE}).")
    private int evalBatchSize = 32;

    @Option(names = "--gradient-accumulation-steps", description = "Batches that make one step (${DEFAULT-VALUE}).")
    private int accumulation = 1;

    @Option(names = "--max-grad-norm", description = "Clip gradients to this norm; 0: not (${DEFAULT-VALUE}).")
    private double maxGradNorm = 1;

    @Option(names = "--weight-decay", description = "Of all but biases and normalizations (${DEFAULT-VALUE}).")
    private double weightDecay;

    @Option(
            names = {"--optim", "--optimizer"},
            description = "adamw or sgd (${DEFAULT-VALUE}).")
    private String optimizer = "adamw";

    @Option(names = "--momentum", description = "Of sgd (${DEFAULT-VALUE}).")
    private double momentum = 0.9;

    @Option(names = "--nesterov", description = "Nesterov's momentum (sgd).")
    private boolean nesterov;

    @Option(
            names = {"--label-smoothing", "--label-smoothing-factor"},
            description = "In [0, 1).")
    private double labelSmoothing;

    @Option(names = "--class-weights", description = "balanced, or one number a class separated by commas.")
    private @Nullable String classWeights;

    @Option(
            names = "--problem-type",
            description =
                    "single_label_classification, multi_label_classification or regression; default: by the labels.")
    private @Nullable String problemType;

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

    @Option(names = "--seed", description = "Seed of everything random (${DEFAULT-VALUE}).")
    private long seed = 42;

    @Option(names = "--precision", description = "fp32 or bf16 (autocast; weights stay fp32) (${DEFAULT-VALUE}).")
    private String precision = "fp32";

    @Option(
            names = {"--max-length", "--max-seq-length"},
            description = "Cut texts to so many tokens; default: the model's limit.")
    private int maxLength;

    @Option(names = "--max-train-samples", description = "Use the first rows only.")
    private int maxTrain;

    @Option(names = "--max-eval-samples", description = "Use the first rows only.")
    private int maxEval;

    @Option(names = "--lora-r", description = "Rank (${DEFAULT-VALUE}).")
    private int loraRank = 8;

    @Option(names = "--lora-alpha", description = "Scale times rank (${DEFAULT-VALUE}).")
    private double loraAlpha = 16;

    @Option(names = "--lora-dropout", description = "Before the delta (${DEFAULT-VALUE}).")
    private double loraDropout;

    @Option(
            names = "--lora-target-modules",
            split = ",",
            description = "Layer names, or all-linear; default: the family's.")
    private List<String> loraTargets = List.of();

    @Option(names = "--lora-merge", description = "Write a whole model instead of an adapter.")
    private boolean loraMerge;

    @Option(names = "--source-prefix", description = "Text to text: what stands before every source.")
    private String sourcePrefix = "";

    @Option(
            names = "--max-target-length",
            description = "Text to text: targets are cut to so many tokens (${DEFAULT-VALUE}).")
    private int maxTargetLength = 128;

    @Option(
            names = "--mixing-temperature",
            description =
                    "Text to text with a column task: a task of n rows is drawn in proportion to n^(1/T) (${DEFAULT-VALUE}).")
    private double mixingTemperature = 1;

    @Option(names = "--no-generation-metrics", description = "Text to text: evaluate the loss alone, generate nothing.")
    private boolean noGenerationMetrics;

    @Option(
            names = "--loss",
            description =
                    "sentence-embedding: multiple-negatives-ranking, cosent or cosine; default: by the columns (pairs and triplets, or scores).")
    private @Nullable String loss;

    @Option(
            names = "--matryoshka-dims",
            split = ",",
            description = "sentence-embedding: train the vectors' first N elements too, for each N.")
    private List<Integer> matryoshka = List.of();

    @Option(names = "--lora-half", description = "Write the adapter in 16 bit: half the file.")
    private boolean loraHalf;

    @Option(names = "--mlm-probability", description = "Part of the tokens that is predicted (${DEFAULT-VALUE}).")
    private double mlmProbability = 0.15;

    @Option(names = "--doc-stride", description = "Tokens that pieces of a long context share (${DEFAULT-VALUE}).")
    private int docStride = 128;

    @Option(
            names = "--column",
            paramLabel = "ROLE=NAME",
            description = "Which column is what: text=body, label=stars, ...")
    private Map<Columns.Role, String> columns = Map.of();

    @Option(names = "--offline", description = "Fetch nothing.")
    private boolean offline;

    @Override
    public void run() {
        if (!precision.equals("fp32") && !precision.equals("bf16")) {
            throw new HeadstartException("--precision must be fp32 or bf16, found " + precision);
        }
        double rate = learningRate != null
                ? learningRate
                : switch (mode) {
                    case FULL -> 5e-5;
                    case HEAD -> 1e-3;
                    case LORA -> 2e-4;
                };
        TrainingArguments arguments = TrainingArguments.defaults()
                .learningRate(rate)
                .schedule(Schedule.of(schedule))
                .warmupSteps(warmupSteps)
                .warmupRatio(warmupRatio)
                .epochs(epochs)
                .maxSteps(maxSteps)
                .batchSize(batchSize)
                .gradientAccumulationSteps(accumulation)
                .maxGradNorm(maxGradNorm)
                .weightDecay(weightDecay)
                .optimizer(optimizer)
                .momentum(momentum)
                .nesterov(nesterov)
                .earlyStopping(patience, 0)
                .evalSteps(evalSteps)
                .saveSteps(saveSteps)
                .saveTotalLimit(saveTotalLimit)
                .bf16(precision.equals("bf16"))
                .seed(seed);
        if (task.equals("image-classification")) {
            ImageFineTune job = new ImageFineTune(images(arguments));
            run(job::requestStop, () -> job.run().result());
            return;
        }
        if (model.isEmpty()) {
            throw new HeadstartException("--model is missing; give the folder or id of a pre-trained model");
        }
        FineTuneOptions options = new FineTuneOptions(task, model, train, output)
                .validation(validation)
                .validationSplit(validationSplit)
                .test(test)
                .labelNames(labelNames)
                .mode(mode)
                .arguments(arguments)
                .overwrite(overwrite)
                .resume(resume)
                .evalBatchSize(evalBatchSize)
                .maxLength(maxLength)
                .maxSamples(maxTrain, maxEval)
                .problemType(problemType)
                .labelSmoothing(labelSmoothing)
                .classWeights(classWeights)
                .lora(loraRank, loraAlpha, loraDropout, loraTargets, loraMerge)
                .loraHalf(loraHalf)
                .sentenceLoss(loss, matryoshka)
                .mlmProbability(mlmProbability)
                .sourcePrefix(sourcePrefix)
                .maxTargetLength(maxTargetLength)
                .mixingTemperature(mixingTemperature)
                .generationMetrics(!noGenerationMetrics)
                .docStride(docStride)
                .offline(offline)
                .command(commandLine());
        columns.forEach(options::column);
        FineTune job = new FineTune(options);
        run(job::requestStop, () -> job.run().result());
    }

    private ImageFineTuneOptions images(TrainingArguments arguments) {
        ImageFineTuneOptions options = new ImageFineTuneOptions(train, output)
                .validation(validation)
                .validationSplit(validationSplit)
                .mode(mode)
                .arguments(arguments)
                .overwrite(overwrite)
                .resume(resume)
                .evalBatchSize(evalBatchSize)
                .maxSamples(maxTrain, maxEval)
                .labelSmoothing(labelSmoothing)
                .lora(loraRank, loraAlpha, loraDropout, loraTargets, loraMerge)
                .offline(offline)
                .command(commandLine());
        columns.forEach(options::column);
        images.start(options, model);
        return options;
    }

    /** Trains; Ctrl-C ends it with a checkpoint. */
    private void run(Runnable requestStop, Supplier<Trainer.Result> job) {
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
            Trainer.Result result = job.get();
            if (result.reason().equals("interrupted")) {
                throw new HeadstartException("interrupted after step " + result.steps() + "; the checkpoint is in "
                        + output + ", go on with --resume");
            }
            System.out.println(output);
        } finally {
            done.countDown();
        }
    }

    /** The command as typed, paths by their last name. */
    private String commandLine() {
        StringBuilder b = new StringBuilder("headstart");
        for (String argument :
                Objects.requireNonNull(spec).commandLine().getParseResult().originalArgs()) {
            String shown =
                    argument.startsWith("/") ? String.valueOf(Path.of(argument).getFileName()) : argument;
            b.append(' ').append(shown.matches("[\\w./:=,@+-]*") ? shown : "'" + shown + "'");
        }
        return b.toString();
    }
}
