package dev.headstart.cli;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.data.Columns;
import dev.headstart.data.OnError;
import dev.headstart.generation.GenerationConfig;
import dev.headstart.pipeline.Perplexity;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.train.finetune.FineTuneOptions;
import dev.headstart.train.finetune.ModelEvaluation;
import dev.headstart.train.metrics.Bleu;
import dev.headstart.train.metrics.Evaluation;
import dev.headstart.train.metrics.PredictionFiles;
import dev.headstart.train.metrics.SeqEval;
import dev.headstart.train.vision.ImageEvaluation;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Scores a file of predictions. */
@Command(
        name = "evaluate",
        description = "Scores predictions against references, each metric with its bootstrap interval.",
        footer = {
            "",
            "Files are csv, tsv, jsonl, json, txt, Parquet or CoNLL. Rows are matched by an id column that both files have, else by order.",
            "text-generation, fill-mask: columns nll and tokens. text-ranking: pairs with labels or scores, or queries with an answer and"
                    + " negatives. text2text-generation: a column task gives each its own figures.",
            "perplexity takes --model and --input instead: exp of the mean negative log-likelihood a token, sliding window."
        })
final class EvaluateCommand implements Runnable {
    @Spec
    private @Nullable CommandSpec spec;

    @Option(
            names = "--task",
            required = true,
            paramLabel = "TASK",
            completionCandidates = Names.ScoredTasks.class,
            description = "What is compared: ${COMPLETION-CANDIDATES}.")
    private String task = "";

    @Option(names = "--predictions", paramLabel = "FILE", description = "The predictions.")
    private @Nullable Path predictions;

    @Option(
            names = "--model",
            paramLabel = "ID",
            completionCandidates = Names.MeasuredTasks.class,
            description = "Folder or id: the model is run on --data (or --input) instead of reading predictions, at"
                    + " ${COMPLETION-CANDIDATES}.")
    private @Nullable String model;

    @Option(names = "--input", paramLabel = "FILE", description = "perplexity: the text, UTF-8.")
    private @Nullable Path input;

    @Option(
            names = "--max-length",
            paramLabel = "N",
            description =
                    "perplexity: tokens a window; --model: texts are cut to so many. Default: the model's context.")
    private int maxLength;

    @Option(
            names = "--stride",
            paramLabel = "N",
            description = "perplexity: tokens from window to window. Default: half a window.")
    private int stride;

    @Option(
            names = "--precision",
            paramLabel = "P",
            description = "Of the model: auto, fp32 (default), bf16, int8, int4.")
    private @Nullable String precision;

    @Mixin
    private DeviceOption device = new DeviceOption();

    @Option(
            names = {"--references", "--data"},
            paramLabel = "FILE",
            description = "The right answers; with --model, the data with inputs and right answers.")
    private @Nullable Path references;

    @Option(names = "--prediction-column", paramLabel = "NAME", description = "Default: by the names people use.")
    private @Nullable String predictionColumn;

    @Option(names = "--reference-column", paramLabel = "NAME", description = "Default: by the names people use.")
    private @Nullable String referenceColumn;

    @Option(
            names = "--labels",
            split = ",",
            paramLabel = "A,B,...",
            description = "All labels, in the order of the probabilities. Default: those that occur, sorted.")
    private @Nullable List<String> labels;

    @Option(
            names = "--scheme",
            paramLabel = "NAME",
            description = "Tags: default (as seqeval without mode), or strict IOB1, IOB2, IOE1, IOE2, IOBES, BILOU.")
    private String scheme = "default";

    @Option(names = "--stem", description = "ROUGE compares word stems.")
    private boolean stem;

    @Option(
            names = "--tokenize",
            paramLabel = "NAME",
            description = "BLEU: 13a, intl, char, zh or none, as sacrebleu. Default: 13a.")
    private String tokenize = "13a";

    @Option(names = "--lowercase", description = "BLEU and chrF leave case aside.")
    private boolean lowercase;

    @Option(
            names = "--resamples",
            paramLabel = "N",
            description = "Bootstrap resamples; 0 for no intervals. Default: 1000.")
    private int resamples = 1000;

    @Option(names = "--confidence", paramLabel = "P", description = "Of the intervals. Default: 0.95.")
    private double confidence = 0.95;

    @Option(names = "--seed", paramLabel = "N", description = "Of the resampling. Default: 0.")
    private long seed;

    @Option(
            names = "--column",
            paramLabel = "ROLE=NAME",
            description = "--model: which column is what: text=body, label=stars, ...")
    private Map<Columns.Role, String> columns = Map.of();

    @Option(
            names = "--kwargs",
            paramLabel = "JSON",
            description = "--model, text to text: generation parameters, such as {\"num_beams\": 4}.")
    private String kwargs = "{}";

    @Option(names = "--source-prefix", description = "--model, text to text: what stands before every source.")
    private String sourcePrefix = "";

    @Option(names = "--batch-size", paramLabel = "N", description = "--model: inputs at once. Default: 32.")
    private int batchSize = 32;

    @Option(
            names = "--on-error",
            paramLabel = "skip|fail",
            description = "--model: what to do with rows and images that cannot be read. Default: fail.")
    private @Nullable OnError onError;

    @Option(names = "--offline", description = "--model: fetch nothing.")
    private boolean offline;

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Override
    public void run() {
        if (onError != null && (model == null || task.equals(Names.PERPLEXITY))) {
            throw new ParameterException(
                    Objects.requireNonNull(spec).commandLine(),
                    "--on-error is for the examples that --model is run on, not for "
                            + (task.equals(Names.PERPLEXITY) ? task : "predictions, whose rows have partners"));
        }
        if (task.equals(Names.PERPLEXITY)) {
            perplexity();
            return;
        }
        if (model == null) {
            HeadstartCommand.named(spec, () -> PredictionFiles.Task.of(task));
        } else if (!task.equals(Names.IMAGES)) {
            HeadstartCommand.named(spec, () -> ModelEvaluation.knownTask(task));
        }
        OnError bad = onError == null ? OnError.FAIL : onError;
        if (model != null && task.equals(Names.IMAGES)) {
            LoadOptions load = LoadOptions.defaults()
                    .withPrecision(precision)
                    .withDevice(device.checked())
                    .withOffline(offline ? Boolean.TRUE : null);
            show(ImageEvaluation.run(
                    model,
                    given(references, "--data"),
                    columns,
                    bad,
                    load,
                    new Evaluation.Options(resamples, confidence, seed)));
            return;
        }
        if (model != null) {
            show(ModelEvaluation.run(
                    new FineTuneOptions(task, model, given(references, "--data"), Path.of(""))
                            .columns(columns)
                            .onError(bad)
                            .offline(offline)
                            .device(device.checked())
                            .precision(precision)
                            .sourcePrefix(sourcePrefix)
                            .generation(GenerationConfig.fromJson(kwargs), bleu(), stem)
                            .evalBatchSize(batchSize)
                            .maxLength(maxLength),
                    new Evaluation.Options(resamples, confidence, seed)));
            return;
        }
        Path predicted = given(predictions, "--predictions");
        PredictionFiles.Settings settings = new PredictionFiles.Settings(
                predictionColumn,
                referenceColumn,
                labels,
                SeqEval.scheme(scheme),
                stem,
                bleu(),
                new Evaluation.Options(resamples, confidence, seed));
        show(PredictionFiles.evaluate(PredictionFiles.Task.of(task), predicted, references, settings));
    }

    private Bleu.Settings bleu() {
        return new Bleu.Settings(Bleu.Tokenization.of(tokenize), lowercase);
    }

    private void show(Evaluation result) {
        PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
        if (json) {
            ObjectNode node = result.toJson();
            node.put("task", task)
                    .put("resamples", resamples)
                    .put("confidence", confidence)
                    .put("seed", seed);
            out.println(node);
        } else {
            out.println(task + ", " + result.examples() + " examples"
                    + (resamples > 0 ? ", " + Math.round(confidence * 100) + " % bootstrap intervals" : ""));
            out.print(result.toText());
        }
        out.flush();
    }

    private void perplexity() {
        Path file = given(input, "--input");
        LoadOptions load = LoadOptions.defaults().withPrecision(precision).withDevice(device.checked());
        Perplexity result;
        try {
            result = Perplexity.of(
                    Perplexity.read(file),
                    given(model, "--model"),
                    PipelineOptions.DEFAULT.withLoad(load),
                    maxLength,
                    stride);
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be read as UTF-8 text: " + e.getMessage(), e);
        }
        PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
        if (json) {
            out.println(JsonNodeFactory.instance
                    .objectNode()
                    .put("task", task)
                    .put("perplexity", result.perplexity())
                    .put("nll", result.nll())
                    .put("tokens", result.tokens()));
        } else {
            out.println(
                    String.format(Locale.ROOT, "perplexity %.4f over %d tokens", result.perplexity(), result.tokens()));
        }
        out.flush();
    }

    private <T> T given(@Nullable T value, String option) {
        if (value == null) {
            throw new ParameterException(
                    Objects.requireNonNull(spec).commandLine(), "--task " + task + " needs " + option);
        }
        return value;
    }
}
