package dev.headstart.train.finetune;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.ReadOptions;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.pipeline.SentenceEmbeddingPipeline;
import dev.headstart.pipeline.Tasks;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.metrics.Evaluation;
import java.util.ArrayList;
import java.util.List;

/** How good a model is on data with right answers. */
public final class ModelEvaluation {
    private ModelEvaluation() {}

    /** The tasks at which a model can be evaluated. */
    public static List<String> tasks() {
        return FineTuneTask.names(true);
    }

    /** A task's name, as it was given. @throws HeadstartException listing the tasks there are, when it is none of them */
    public static String knownTask(String name) {
        FineTuneTask.require(name, true);
        return name;
    }

    /**
     * Runs a model over data and compares, for sentence-similarity the cosine of the embeddings with scores, for text to text what the model writes with
     * the targets. Labels of the data are names of the model's classes, or their numbers.
     *
     * @param options one of {@link #tasks}, model, columns, evaluation batch size, lengths; the data is what would be trained on
     * @throws HeadstartException when data and model do not fit
     */
    public static Evaluation run(FineTuneOptions options, Evaluation.Options how) {
        LoadOptions load = LoadOptions.defaults()
                .withOffline(options.offline ? Boolean.TRUE : null)
                .withDevice(options.device)
                .withPrecision(options.precision)
                .packed();
        if (options.task.equals("sentence-similarity") || options.task.equals("sentence-embedding")) {
            return similarity(options, load, how);
        }
        FineTuneTask task = FineTuneTask.measured(options);
        try (Tokenizer found = Tokenizer.fromPretrained(options.model, load);
                PreTrainedModel<?> model = FineTune.load(task.head(), options.model, load)) {
            Tokenizer tokenizer = FineTune.fitted(task, model, found);
            task.labels(model.config().id2label());
            List<Row> rows = task.readForEvaluation();
            TextData data = task.examples(rows, tokenizer, FineTune.maxLength(options, tokenizer, model, task));
            return task.evaluation(model, data, how);
        }
    }

    private static Evaluation similarity(FineTuneOptions options, LoadOptions load, Evaluation.Options how) {
        List<Row> rows;
        Columns columns;
        List<Double> scores = new ArrayList<>();
        try (RowReader reader =
                RowReader.open(options.train, ReadOptions.defaults().withOnError(options.onError))) {
            columns = Columns.infer(reader, options.columns, List.of(Role.TEXT, Role.TEXT_PAIR, Role.SCORE), List.of());
            rows = new ArrayList<>();
            for (Row row : reader.readAll()) {
                try {
                    scores.add(row.number(columns.get(Role.SCORE)));
                    rows.add(row);
                } catch (HeadstartException e) {
                    reader.problems().report("bad score", String.valueOf(e.getMessage()));
                }
            }
            if (reader.problems().skipped() > 0) {
                FineTuneTask.LOG.warn("{}: {}", options.train, reader.problems().summary());
            }
        }
        if (rows.isEmpty()) {
            throw new HeadstartException(options.train + ": no examples; expected at least one row of data");
        }
        double[] gold = scores.stream().mapToDouble(Double::doubleValue).toArray();
        try (SentenceEmbeddingPipeline pipeline = (SentenceEmbeddingPipeline)
                Tasks.find("sentence-embedding").open(options.model, PipelineOptions.DEFAULT.withLoad(load))) {
            List<float[]> first = pipeline.apply(
                    rows.stream().map(r -> r.text(columns.get(Role.TEXT))).toList());
            List<float[]> second = pipeline.apply(
                    rows.stream().map(r -> r.text(columns.get(Role.TEXT_PAIR))).toList());
            double[] found = new double[gold.length];
            for (int i = 0; i < found.length; i++) {
                found[i] = cosine(first.get(i), second.get(i));
            }
            return Evaluation.regression(gold, found, how);
        }
    }

    static double cosine(float[] a, float[] b) {
        double dot = 0;
        double aa = 0;
        double bb = 0;
        for (int i = 0; i < a.length; i++) {
            dot += (double) a[i] * b[i];
            aa += (double) a[i] * a[i];
            bb += (double) b[i] * b[i];
        }
        return dot / Math.max(1e-12, Math.sqrt(aa * bb));
    }
}
