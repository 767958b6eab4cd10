package dev.headstart.cli;

import dev.headstart.data.Columns;
import dev.headstart.data.OnError;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.finetune.FineTune;
import dev.headstart.train.finetune.FineTuneOptions;
import dev.headstart.train.vision.ImageFineTune;
import dev.headstart.train.vision.ImageFineTuneOptions;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Adapts a pre-trained model to a task's data. */
@Command(
        name = "finetune",
        customSynopsis = "headstart finetune --task TASK --model ID --train FILE --output DIR [OPTIONS]",
        description = "Fine-tunes a pre-trained model on your data; the result is an ordinary model folder.")
final class FinetuneCommand implements Runnable, HeadstartCommand.Headed {
    @Spec
    private @Nullable CommandSpec spec;

    @Option(
            names = "--task",
            required = true,
            completionCandidates = Names.TrainedTasks.class,
            description = "${COMPLETION-CANDIDATES}.")
    private String task = "";

    @Option(names = "--model", paramLabel = "ID", description = "Folder or id.")
    private String model = "";

    @Option(names = "--tokenizer", paramLabel = "ID", description = "Folder or id, where it is not the model's.")
    private @Nullable String tokenizer;

    @Mixin
    private TrainingOptions training = new TrainingOptions();

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

    @Mixin
    private DeviceOption device = new DeviceOption();

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Option(names = "--mode", description = "full (default), head (features computed once) or lora.")
    private FineTuneOptions.Mode mode = FineTuneOptions.Mode.FULL;

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
            names = {"--max-length", "--max-seq-length"},
            description = "Cut texts to so many tokens; default: the model's limit.")
    private int maxLength;

    @Option(names = "--max-train-samples", description = "Use so many rows only, drawn with a fixed seed.")
    private int maxTrain;

    @Option(names = "--max-eval-samples", description = "Use so many rows only, drawn with a fixed seed.")
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
            paramLabel = "T",
            description = "Text to text: with a column task, one of e rows is drawn in proportion to min(e, K)^(1/T)"
                    + " (${DEFAULT-VALUE}).")
    private double mixingTemperature = 1;

    @Option(
            names = "--mixing-limit",
            paramLabel = "K",
            description = "Text to text: rows from which on a task counts as no larger (${DEFAULT-VALUE}).")
    private long mixingLimit = 1L << 21;

    @Option(names = "--no-generation-metrics", description = "Text to text: evaluate the loss alone, generate nothing.")
    private boolean noGenerationMetrics;

    @Option(
            names = "--loss",
            description =
                    "Sentence embedding: multiple-negatives-ranking, cosent or cosine; default: by the columns (pairs"
                            + " and triplets, or scores).")
    private @Nullable String loss;

    @Option(
            names = "--matryoshka-dims",
            split = ",",
            description = "Sentence embedding: train the vectors' first N elements too, for each N.")
    private List<Integer> matryoshka = List.of();

    @Option(names = "--lora-half", description = "Write the adapter in 16 bit: half the file.")
    private boolean loraHalf;

    @Option(
            names = "--mlm-probability",
            description = "Masked words: part of the tokens that is predicted (${DEFAULT-VALUE}).")
    private double mlmProbability = 0.15;

    @Option(
            names = "--doc-stride",
            description = "Question answering: tokens that pieces of a long context share (${DEFAULT-VALUE}).")
    private int docStride = 128;

    @Option(
            names = "--column",
            paramLabel = "ROLE=NAME",
            description = "Which column is what: text=body, label=stars, ...")
    private Map<Columns.Role, String> columns = Map.of();

    @Option(
            names = "--on-error",
            paramLabel = "skip|fail",
            description = "What to do with rows and images that cannot be read. Default: fail.")
    private OnError onError = OnError.FAIL;

    @Option(names = "--offline", description = "Fetch nothing.")
    private boolean offline;

    @Override
    public String heading(OptionSpec option) {
        String name = option.longestName();
        String about = String.join(" ", option.description());
        if (name.startsWith("--lora-")) {
            return "LoRA";
        }
        if (about.startsWith("Images: ")) {
            return "Images";
        }
        if (about.startsWith("Text to text: ")
                || about.startsWith("Sentence embedding: ")
                || Set.of("--mlm-probability", "--doc-stride").contains(name)) {
            return "Single tasks";
        }
        return TrainingOptions.has(option) ? "Training" : "";
    }

    @Override
    public void run() {
        if (!task.equals(Names.IMAGES)) {
            HeadstartCommand.named(spec, () -> FineTune.knownTask(task));
        }
        TrainingArguments arguments = training.arguments(
                switch (mode) {
                    case FULL -> 5e-5;
                    case HEAD -> 1e-3;
                    case LORA -> 2e-4;
                });
        if (task.equals(Names.IMAGES)) {
            ImageFineTune job = new ImageFineTune(images(arguments));
            TrainingOptions.run(output.folder, job::requestStop, () -> job.run().result());
            return;
        }
        boolean fresh = images.fresh(model);
        FineTuneOptions options = new FineTuneOptions(task, model, train, output.folder)
                .validation(validation)
                .validationSplit(validationSplit)
                .test(test)
                .onError(onError)
                .labelNames(labelNames)
                .mode(mode)
                .fresh(fresh)
                .arguments(arguments)
                .overwrite(output.overwrite)
                .resume(output.resume)
                .evalBatchSize(training.evalBatchSize())
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
                .mixing(mixingTemperature, mixingLimit)
                .generationMetrics(!noGenerationMetrics)
                .docStride(docStride)
                .offline(offline)
                .device(device.checked())
                .tokenizer(tokenizer)
                .ema(images.ema)
                .command(training.commandLine());
        if (images.config != null) {
            options.fromNothing(Path.of(images.config));
        }
        columns.forEach(options::column);
        FineTune job = new FineTune(options);
        TrainingOptions.run(output.folder, job::requestStop, () -> job.run().result());
    }

    private ImageFineTuneOptions images(TrainingArguments arguments) {
        ImageFineTuneOptions options = new ImageFineTuneOptions(train, output.folder)
                .validation(validation)
                .test(test)
                .validationSplit(validationSplit)
                .mode(mode)
                .arguments(arguments)
                .overwrite(output.overwrite)
                .resume(output.resume)
                .evalBatchSize(training.evalBatchSize())
                .maxSamples(maxTrain, maxEval)
                .labelSmoothing(labelSmoothing)
                .lora(loraRank, loraAlpha, loraDropout, loraTargets, loraMerge)
                .offline(offline)
                .device(device.checked())
                .onError(onError)
                .command(training.commandLine());
        columns.forEach(options::column);
        images.start(options, model);
        return options;
    }
}
