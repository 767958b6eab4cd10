package dev.headstart.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.train.metrics.Evaluation;
import dev.headstart.train.metrics.PredictionFiles;
import dev.headstart.train.metrics.SeqEval;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Scores a file of predictions. */
@Command(
        name = "evaluate",
        description = "Scores predictions against references, each metric with its bootstrap interval.",
        footer = {
            "",
            "Files are csv, tsv, jsonl, json, txt, Parquet or CoNLL. Rows are matched by an id column that both files have, else by order.",
            "Tasks: text-classification, multi-label-classification, regression, sentence-similarity, token-classification,",
            "question-answering, translation, summarization, text-generation (columns nll and tokens)."
        })
final class EvaluateCommand implements Runnable {
    @Spec
    private @Nullable CommandSpec spec;

    @Option(names = "--task", required = true, paramLabel = "TASK", description = "What is compared; see below.")
    private String task = "";

    @Option(names = "--predictions", required = true, paramLabel = "FILE", description = "The predictions.")
    private Path predictions = Path.of("");

    @Option(names = "--references", paramLabel = "FILE", description = "The right answers.")
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
            names = "--resamples",
            paramLabel = "N",
            description = "Bootstrap resamples; 0 for no intervals. Default: 1000.")
    private int resamples = 1000;

    @Option(names = "--confidence", paramLabel = "P", description = "Of the intervals. Default: 0.95.")
    private double confidence = 0.95;

    @Option(names = "--seed", paramLabel = "N", description = "Of the resampling. Default: 0.")
    private long seed;

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Override
    public void run() {
        PredictionFiles.Settings settings = new PredictionFiles.Settings(
                predictionColumn,
                referenceColumn,
                labels,
                SeqEval.scheme(scheme),
                stem,
                new Evaluation.Options(resamples, confidence, seed));
        Evaluation result = PredictionFiles.evaluate(PredictionFiles.Task.of(task), predictions, references, settings);
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
}
