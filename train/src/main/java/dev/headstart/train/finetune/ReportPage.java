package dev.headstart.train.finetune;

import dev.headstart.train.log.HtmlReport;
import dev.headstart.train.log.HtmlReport.Chart;
import dev.headstart.train.log.HtmlReport.Series;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;

/** report.html of a fine-tuned model: curves and what made them. */
final class ReportPage {
    private ReportPage() {}

    static void write(Path file, FineTuneOptions o, FineTuneTask task, FineTune.Report report, History history) {
        String main = task.mainMetric();
        HtmlReport page = new HtmlReport(o.task + ": " + o.model)
                .subtitle("fine-tuned, " + o.mode.name().toLowerCase(Locale.ROOT) + ", on " + o.train.getFileName())
                .headline(main, shown(report.result().metrics().getOrDefault(main, Double.NaN)))
                .fact("training examples", String.format(Locale.ROOT, "%,d", report.trainExamples()))
                .fact("validation examples", String.format(Locale.ROOT, "%,d", report.evalExamples()))
                .fact(
                        "parameters trained",
                        String.format(Locale.ROOT, "%,d of %,d", report.trainedParameters(), report.parameters()))
                .fact(
                        "steps",
                        report.result().steps() + ", best " + report.result().bestStep())
                .fact("time of the steps", TrainingLog.time(history.seconds()))
                .fact("tokens", String.format(Locale.ROOT, "%,d", history.tokens()))
                .fact("ended by", report.result().reason());
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
                        "tokens/s",
                        List.of(Series.line("tokens/s", x, values(history, History.Step::tokensPerSecond))))
                .smoothed()
                .fromZero());
        table(page, "Validation", report.result().metrics());
        if (!report.test().isEmpty()) {
            table(page, "Test (" + report.testExamples() + " examples that chose nothing)", report.test());
        }
        List<List<String>> arguments = new ArrayList<>();
        o.arguments.toMap().forEach((k, v) -> arguments.add(List.of(k, String.valueOf(v))));
        page.table("Arguments", List.of("argument", "value"), arguments);
        if (o.command != null) {
            page.code("Command", o.command);
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
