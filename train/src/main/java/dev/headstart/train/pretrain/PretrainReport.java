package dev.headstart.train.pretrain;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.io.StagedFile;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.Throughput;
import dev.headstart.train.finetune.DataHash;
import dev.headstart.train.finetune.History;
import dev.headstart.train.finetune.TrainingLog;
import dev.headstart.train.finetune.Usage;
import dev.headstart.train.log.HtmlReport;
import dev.headstart.train.log.HtmlReport.Chart;
import dev.headstart.train.log.HtmlReport.Series;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Model card (README.md) and page with curves (report.html) of a finished run. */
final class PretrainReport {
    private static final Logger LOG = LoggerFactory.getLogger(PretrainReport.class);
    private static final ObjectMapper JSON = new ObjectMapper();
    private final PretrainOptions options;
    private final PreTrainedModel<?> model;
    private final Tokenizer tokenizer;
    private final Corpus corpus;
    private final Pretrain.Report report;
    private final Usage usage;
    private final int blockSize;
    private String speed = "";

    PretrainReport(
            PretrainOptions options,
            PreTrainedModel<?> model,
            Tokenizer tokenizer,
            Corpus corpus,
            Pretrain.Report report,
            Usage usage,
            int blockSize) {
        this.options = options;
        this.model = model;
        this.tokenizer = tokenizer;
        this.corpus = corpus;
        this.report = report;
        this.usage = usage;
        this.blockSize = blockSize;
    }

    /** Writes both. @param log what the run logged */
    void write(Path log) {
        History history = History.read(log);
        double rate = history.tokens() / Math.max(1e-9, history.seconds());
        if (options.objective != PretrainOptions.Objective.SPAN_CORRUPTION) { // whose two halves see different tokens
            boolean all = options.objective == PretrainOptions.Objective.CLM;
            speed = " The steps alone: "
                    + Throughput.describe(
                            model, rate, blockSize, all ? 1 : options.mlmProbability, options.arguments.bf16())
                    + ".";
            LOG.info("{}", speed.strip());
        }
        byte[] card = card().getBytes(StandardCharsets.UTF_8);
        StagedFile.write(options.output.resolve("README.md"), out -> out.write(ByteBuffer.wrap(card)));
        html(log);
    }

    private String name() {
        Path name = options.output.toAbsolutePath().normalize().getFileName();
        return name == null ? "model" : name.toString();
    }

    private String goal() {
        return switch (options.objective) {
            case CLM -> "the next token (causal language modelling)";
            case MLM -> "masked words";
            case MLM_NSP -> "masked words and next sentences, as BERT";
            case SPAN_CORRUPTION -> "missing spans, as T5";
        };
    }

    private String card() {
        StringBuilder b = new StringBuilder("---\npipeline_tag: ")
                .append(
                        switch (options.objective) {
                            case CLM -> "text-generation";
                            case MLM, MLM_NSP -> "fill-mask";
                            case SPAN_CORRUPTION -> "text2text-generation";
                        })
                .append("\nlibrary_name: transformers\ntags:\n- headstart\n---\n\n# ")
                .append(name())
                .append("\n\n");
        b.append(model.getClass().getSimpleName())
                .append(String.format(Locale.ROOT, " with %,d parameters, ", report.parameters()))
                .append(options.isNew() ? "trained from nothing on " : "trained further from " + options.init + " on ")
                .append(goal())
                .append(". Tokenizer: ")
                .append(String.format(Locale.ROOT, "%,d", tokenizer.vocabSize()))
                .append(" tokens")
                .append(
                        options.tokenizer == null || options.tokenizer.matches("wordpiece|bpe|unigram|char")
                                ? ", learnt on the same data"
                                : "")
                .append(".\n\n## Evaluation\n\n| metric | value |\n|---|---|\n");
        report.result().metrics().forEach((k, v) -> b.append(String.format(Locale.ROOT, "| %s | %.4f |\n", k, v)));
        b.append(String.format(
                Locale.ROOT,
                "\nOn held-out text (the last %.4g %% of every document, %,d of its %,d tokens), with the weights of step %d"
                        + " of %d.\n\n",
                options.validationSplit * 100,
                Math.min(options.evalTokens, report.evalTokens()),
                report.evalTokens(),
                report.result().bestStep(),
                report.result().steps()));
        b.append(String.format(
                Locale.ROOT,
                "## Data\n\n%,d tokens of training text, %d files:\n\n| file | bytes | sha256 |\n|---|---|---|\n",
                report.trainTokens(),
                corpus.files().size()));
        for (Path file : corpus.files()) {
            b.append("| ").append(file.getFileName()).append(hash(file)).append(" |\n");
        }
        b.append("\n## Training\n\n");
        if (options.command != null) {
            b.append("    ").append(options.command).append("\n\n");
        }
        b.append("| argument | value |\n|---|---|\n");
        arguments()
                .forEach(row -> b.append("| ")
                        .append(row.get(0))
                        .append(" | ")
                        .append(row.get(1))
                        .append(" |\n"));
        b.append('\n').append(effort()).append("\n\n").append(machine()).append("\n");
        return b.toString();
    }

    private List<List<String>> arguments() {
        List<List<String>> rows = new ArrayList<>();
        rows.add(List.of("objective", options.objective.id()));
        for (Map.Entry<String, Object> e : options.arguments.toMap().entrySet()) {
            rows.add(List.of(e.getKey(), String.valueOf(e.getValue())));
        }
        if (options.dropout != null) {
            rows.add(List.of("dropout", String.valueOf(options.dropout)));
        }
        return rows;
    }

    private String effort() {
        return String.format(
                        Locale.ROOT,
                        "Trained in %s (%,.0f tokens/s), %.2f epochs, ended by: %s. Whole run: %s, energy %s.",
                        TrainingLog.time(report.result().seconds()),
                        report.result().tokens()
                                / Math.max(1e-9, report.result().seconds()),
                        report.result().epochs(),
                        report.result().reason(),
                        TrainingLog.time(usage.seconds()),
                        usage.energy())
                + speed;
    }

    private String machine() {
        return Usage.software() + "; " + usage.hardware() + ".";
    }

    private static String hash(Path file) {
        try {
            return " | " + Files.size(file) + " | `" + DataHash.of(file) + "`";
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be read again for its checksum: " + e.getMessage(), e);
        }
    }

    // === Page ===

    private static final class Curve {
        private final List<double[]> points = new ArrayList<>();

        void add(double x, JsonNode y) {
            if (y.isNumber()) {
                points.add(new double[] {x, y.asDouble()});
            }
        }

        Series series(String name, boolean dots) {
            double[] x = points.stream().mapToDouble(p -> p[0]).toArray();
            double[] y = points.stream().mapToDouble(p -> p[1]).toArray();
            return new Series(name, x, y, dots);
        }
    }

    private void html(Path log) {
        Curve loss = new Curve();
        Curve held = new Curve();
        Curve rate = new Curve();
        Curve speed = new Curve();
        Curve accuracy = new Curve();
        Curve next = new Curve();
        try (BufferedReader in = Files.newBufferedReader(log)) {
            for (String text = in.readLine(); text != null; text = in.readLine()) {
                JsonNode line = JSON.readTree(text);
                double step = line.path("step").asDouble();
                loss.add(step, line.path("loss"));
                held.add(step, line.path("eval_loss"));
                rate.add(step, line.path("learning_rate"));
                speed.add(step, line.path("tokens_per_second"));
                accuracy.add(step, line.path("eval_accuracy"));
                next.add(step, line.path("eval_nsp_accuracy"));
            }
        } catch (IOException e) {
            throw new HeadstartException(log + ": cannot be read: " + e.getMessage(), e);
        }
        HtmlReport page = new HtmlReport(name()).subtitle("Pre-trained on " + goal());
        report.result().metrics().forEach((k, v) -> page.headline(k, String.format(Locale.ROOT, "%.4g", v)));
        page.fact(
                        "model",
                        model.getClass().getSimpleName()
                                + String.format(Locale.ROOT, ", %,d parameters", report.parameters()))
                .fact(
                        "data",
                        String.format(
                                Locale.ROOT,
                                "%,d tokens in %d file%s",
                                report.trainTokens(),
                                corpus.files().size(),
                                corpus.files().size() == 1 ? "" : "s"))
                .fact("effort", effort())
                .fact("machine", machine());
        page.chart(
                Chart.of("Loss", "step", "loss", List.of(loss.series("training", false), held.series("held out", true)))
                        .smoothed());
        if (!accuracy.points.isEmpty()) {
            List<Series> both = new ArrayList<>(List.of(accuracy.series("tokens", true)));
            if (!next.points.isEmpty()) {
                both.add(next.series("next sentence", true));
            }
            page.chart(Chart.of("Accuracy on held-out text", "step", "accuracy", both));
        }
        page.chart(Chart.of("Learning rate", "step", "rate", List.of(rate.series("rate", false)))
                .fromZero());
        page.chart(Chart.of("Throughput", "step", "tokens/s", List.of(speed.series("tokens/s", false)))
                .smoothed()
                .fromZero());
        page.table("Arguments", List.of("argument", "value"), arguments());
        if (options.command != null) {
            page.code("Command", options.command);
        }
        page.write(options.output.resolve("report.html"));
    }
}
