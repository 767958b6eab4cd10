package dev.headstart.train.finetune;

import dev.headstart.train.Trainer;
import dev.headstart.train.log.HtmlReport;
import dev.headstart.train.log.HtmlReport.Chart;
import dev.headstart.train.log.HtmlReport.Series;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/** report.html of a fine-tuned model: curves and what made them. */
public final class ReportPage {
    private ReportPage() {}

    /**
     * What is told of a training.
     *
     * @param title what was trained
     * @param subtitle how, on what
     * @param metric the one that chose the weights
     * @param unit what the throughput is counted in: tokens, images
     * @param facts name and value
     * @param test metrics on data that chose nothing; empty without
     * @param arguments of the training
     * @param command as typed; null from Java
     */
    public record Training(
            String title,
            String subtitle,
            String metric,
            String unit,
            Map<String, String> facts,
            Trainer.Result result,
            Map<String, Double> test,
            int testExamples,
            Map<String, ?> arguments,
            @Nullable String command) {}

    static void write(Path file, FineTuneOptions o, FineTuneTask task, FineTune.Report report, History history) {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("training examples", count(report.trainExamples()));
        facts.put("validation examples", count(report.evalExamples()));
        facts.put("parameters trained", count(report.trainedParameters()) + " of " + count(report.parameters()));
        write(
                file,
                new Training(
                        o.task + ": " + o.model,
                        "fine-tuned, " + o.mode.name().toLowerCase(Locale.ROOT) + ", on " + o.train.getFileName(),
                        task.mainMetric(),
                        "tokens",
                        facts,
                        report.result(),
                        report.test(),
                        report.testExamples(),
                        o.arguments.toMap(),
                        o.command),
                history);
    }

    /** A whole number for people. */
    public static String count(long n) {
        return String.format(Locale.ROOT, "%,d", n);
    }

    /** Writes the page. */
    public static void write(Path file, Training t, History history) {
        String main = t.metric();
        HtmlReport page = new HtmlReport(t.title())
                .subtitle(t.subtitle())
                .headline(main, shown(t.result().metrics().getOrDefault(main, Double.NaN)));
        t.facts().forEach(page::fact);
        page.fact("steps", t.result().steps() + ", best " + t.result().bestStep())
                .fact("time of the steps", TrainingLog.time(history.seconds()))
                .fact(t.unit(), count(history.tokens()))
                .fact("ended by", t.result().reason());
        double[] x = history.steps().stream().mapToDouble(History.Step::step).toArray();
        List<Series> losses = new ArrayList<>(List.of(Series.line("training", x, values(history, History.Step::loss))));
        losses.addAll(evaluated(history, "loss", "validation"));
        page.chart(Chart.of("Loss", "step", "loss", losses).smoothed());
        List<Series> metric = evaluated(history, main, main);
        if (!metric.isEmpty()) {
            page.chart(Chart.of("Validation " + main, "step", main, metric));
        }
        page.chart(Chart.of(
                        "Learning rate",
                        "step",
                        "rate",
                        List.of(Series.line("rate", x, values(history, History.Step::learningRate))))
                .fromZero());
        page.chart(Chart.of(
                        "Throughput",
                        "step",
                        t.unit() + "/s",
                        List.of(Series.line(t.unit() + "/s", x, values(history, History.Step::tokensPerSecond))))
                .smoothed()
                .fromZero());
        table(page, "Validation", t.result().metrics());
        if (!t.test().isEmpty()) {
            table(page, "Test (" + t.testExamples() + " examples that chose nothing)", t.test());
        }
        List<List<String>> arguments = new ArrayList<>();
        t.arguments().forEach((k, v) -> arguments.add(List.of(k, String.valueOf(v))));
        page.table("Arguments", List.of("argument", "value"), arguments);
        if (t.command() != null) {
            page.code("Command", t.command());
        }
        page.write(file);
    }

    private static void table(HtmlReport page, String title, Map<String, Double> metrics) {
        List<List<String>> rows = new ArrayList<>();
        metrics.forEach((k, v) -> rows.add(List.of(k, shown(v))));
        page.table(title, List.of("metric", "value"), rows);
    }

    private static String shown(double v) {
        return String.format(Locale.ROOT, "%.4f", v);
    }

    private static double[] values(History history, ToDoubleFunction<History.Step> f) {
        return history.steps().stream().mapToDouble(f).toArray();
    }

    private static List<Series> evaluated(History history, String metric, String name) {
        double[] x = history.evaluations().keySet().stream()
                .mapToDouble(Long::doubleValue)
                .toArray();
        double[] y = history.evaluations().values().stream()
                .mapToDouble(m -> m.getOrDefault(metric, Double.NaN))
                .toArray();
        return x.length == 0 ? List.of() : List.of(new Series(name, x, y, true));
    }
}
