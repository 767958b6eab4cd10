package dev.headstart.train.compare;

import dev.headstart.train.compare.Comparison.Outcome;
import dev.headstart.train.log.HtmlReport;
import dev.headstart.train.log.HtmlReport.Chart;
import dev.headstart.train.log.HtmlReport.Series;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/** compare.html: what the head start bought, as sentences, curves and a table. Several seeds are averaged. */
final class ComparePage {
    private final String task;
    private final List<Outcome> outcomes;
    private final int planned;
    private final String budget;
    private final @Nullable String command;
    private final String metric;
    private final String split;
    private final boolean up;
    private final List<Point> points = new ArrayList<>();
    private String files = "";

    /** The trainings of one model in one mode at one size, by seed; its figures are their means. */
    private record Point(Way way, int size, List<Outcome> seeds) {
        double value() {
            return mean(Outcome::value);
        }

        /** Standard deviation over the seeds; 0 for one seed. */
        double spread() {
            double mean = value();
            double squares = seeds.stream()
                    .mapToDouble(o -> Math.pow(o.value() - mean, 2))
                    .sum();
            return seeds.size() < 2 ? 0 : Math.sqrt(squares / (seeds.size() - 1));
        }

        double minutes() {
            return mean(Outcome::minutes);
        }

        double number(String name) {
            return mean(o -> o.number(name));
        }

        double examples() {
            return number("train_samples");
        }

        private double mean(ToDoubleFunction<Outcome> f) {
            return seeds.stream().mapToDouble(f).average().orElse(Double.NaN);
        }
    }

    /** A model in a mode: one curve. */
    private record Way(String model, Cell.Mode mode) {
        boolean scratch() {
            return mode == Cell.Mode.SCRATCH;
        }
    }

    ComparePage(String task, List<Outcome> outcomes, int planned, String budget, @Nullable String command) {
        this.task = task;
        this.outcomes = outcomes;
        this.planned = planned;
        this.budget = budget;
        this.command = command;
        Outcome first = outcomes.get(0);
        metric = first.metric();
        split = first.split();
        up = first.greaterIsBetter();
        Map<String, List<Outcome>> groups = new LinkedHashMap<>();
        for (Outcome o : outcomes) {
            groups.computeIfAbsent(
                            o.cell().model() + "\u0000" + o.cell().mode() + "\u0000"
                                    + o.cell().size(),
                            k -> new ArrayList<>())
                    .add(o);
        }
        groups.values()
                .forEach(g -> points.add(new Point(
                        new Way(name(g.get(0).cell()), g.get(0).cell().mode()),
                        g.get(0).cell().size(),
                        g)));
    }

    /** Short where that is clear. */
    private String name(Cell cell) {
        long models = outcomes.stream()
                .map(Outcome::cell)
                .filter(c -> c.shortModel().equals(cell.shortModel()))
                .map(Cell::model)
                .distinct()
                .count();
        return models > 1 ? cell.model() : cell.shortModel();
    }

    /** Names the data. */
    ComparePage data(Map<String, Path> data, Map<String, String> hashes) {
        List<String> parts = new ArrayList<>();
        data.forEach((name, file) -> {
            String sha = hashes.getOrDefault(name, "");
            parts.add(name + " " + Comparison.name(file)
                    + (sha.isEmpty() ? "" : " (sha256 " + sha.substring(0, 12) + "…)"));
        });
        files = String.join(", ", parts);
        return this;
    }

    void write(Path file) {
        List<Way> ways = points.stream().map(Point::way).distinct().toList();
        Outcome any = outcomes.get(outcomes.size() - 1);
        HtmlReport page = new HtmlReport("What the head start buys: " + task)
                .subtitle(split + " " + metric + " of " + ways.size() + " ways to train, by the number of examples"
                        + (outcomes.size() < planned
                                ? "; so far " + outcomes.size() + " of " + planned + " trainings"
                                : ""))
                .fact("data", files)
                .fact("the same for all", budget)
                .fact("hardware", any.results().path("hardware").asText())
                .fact("versions", any.results().path("software").asText())
                .fact("energy", any.results().path("energy_source").asText())
                .fact("memory", "peak resident memory of the training's own process (VmHWM), the Java heap included");
        headlines(page);
        boolean several = points.stream().map(Point::examples).distinct().count() > 1;
        page.chart(sized(ways, title(split) + " " + metric, metric, Point::value, several));
        page.chart(Chart.of(
                        title(split) + " " + metric + " against time",
                        "minutes, the whole run",
                        metric,
                        ways.stream().map(this::againstTime).toList())
                .logarithmic());
        if (alsoAccuracy()) {
            page.chart(sized(ways, title(split) + " accuracy", "accuracy", this::accuracy, several));
        }
        page.chart(sized(ways, "Time", "minutes", Point::minutes, several).fromZero());
        page.chart(sized(ways, "Peak memory", "MB", p -> p.number("peak_memory_mb"), several)
                .fromZero());
        page.chart(
                sized(ways, "Energy", "Wh", p -> p.number("energy_wh"), several).fromZero());
        table(page);
        if (command != null) {
            page.code("Command", command);
        }
        page.write(file);
    }

    /** The part of right answers stands beside another measure of a classification. */
    private boolean alsoAccuracy() {
        return !metric.equals("accuracy") && !Double.isNaN(accuracy(points.get(0)));
    }

    private double accuracy(Point p) {
        return p.number((split.equals("test") ? "test_" : "eval_") + "accuracy");
    }

    private static String title(String word) {
        return word.substring(0, 1).toUpperCase(Locale.ROOT) + word.substring(1);
    }

    private Chart sized(List<Way> ways, String title, String unit, ToDoubleFunction<Point> f, boolean log) {
        List<Series> series = new ArrayList<>();
        for (Way way : ways) {
            List<Point> own = of(way, Comparator.comparingDouble(Point::examples));
            series.add(new Series(
                    label(way),
                    own.stream().mapToDouble(Point::examples).toArray(),
                    own.stream().mapToDouble(f).toArray(),
                    true));
        }
        Chart chart = Chart.of(title, "training examples", unit, series);
        return log ? chart.logarithmic() : chart;
    }

    private Series againstTime(Way way) {
        List<Point> own = of(way, Comparator.comparingDouble(Point::minutes));
        return new Series(
                label(way),
                own.stream().mapToDouble(Point::minutes).toArray(),
                own.stream().mapToDouble(Point::value).toArray(),
                true);
    }

    private List<Point> of(Way way, Comparator<Point> order) {
        return points.stream().filter(p -> p.way().equals(way)).sorted(order).toList();
    }

    private static String label(Way way) {
        return way.model() + ", " + way.mode().title();
    }

    // === In words ===

    /** Best from scratch and best with a head start, at the smallest and the largest size that have both. */
    private void headlines(HtmlReport page) {
        List<Integer> sizes = points.stream()
                .sorted(Comparator.comparingDouble(Point::examples))
                .map(Point::size)
                .distinct()
                .filter(s -> best(s, true).isPresent() && best(s, false).isPresent())
                .toList();
        if (sizes.isEmpty()) {
            return;
        }
        for (int size : sizes.size() == 1 ? sizes : List.of(sizes.get(0), sizes.get(sizes.size() - 1))) {
            Point scratch = best(size, true).orElseThrow();
            Point ahead = best(size, false).orElseThrow();
            page.headline("from scratch, " + count(scratch.examples()) + " examples", shown(scratch.value()));
            page.headline(
                    ahead.way().model() + ", " + ahead.way().mode().title() + ", " + count(ahead.examples())
                            + " examples",
                    shown(ahead.value()));
        }
        Point most = best(sizes.get(sizes.size() - 1), true).orElseThrow();
        points.stream()
                .filter(p -> !p.way().scratch() && (up ? p.value() >= most.value() : p.value() <= most.value()))
                .min(Comparator.comparingDouble(Point::examples).thenComparingDouble(Point::minutes))
                .ifPresent(p -> page.text(
                        "In words",
                        String.format(
                                Locale.ROOT,
                                "Trained from scratch on %s examples, the best reaches %s %s %s after %s. With a head start (%s), %s"
                                        + " examples and %s are enough for %s.",
                                count(most.examples()),
                                split,
                                metric,
                                shown(most.value()),
                                time(most.minutes()),
                                label(p.way()),
                                count(p.examples()),
                                time(p.minutes()),
                                shown(p.value()))));
    }

    private Optional<Point> best(int size, boolean scratch) {
        Comparator<Point> order = Comparator.comparingDouble(Point::value);
        return points.stream()
                .filter(p -> p.size() == size && p.way().scratch() == scratch && !Double.isNaN(p.value()))
                .max(up ? order : order.reversed());
    }

    private void table(HtmlReport page) {
        Map<String, Function<Point, String>> columns = new LinkedHashMap<>();
        columns.put("model", p -> p.way().model());
        columns.put("trained", p -> p.way().mode().title());
        columns.put("examples", p -> count(p.examples()));
        columns.put(
                split + " " + metric,
                p -> shown(p.value()) + (p.seeds().size() > 1 ? String.format(Locale.ROOT, " ±%.4f", p.spread()) : ""));
        if (alsoAccuracy()) {
            columns.put(split + " accuracy", p -> shown(accuracy(p)));
        }
        columns.put("minutes", p -> number(p.minutes() < 10 ? "%.2f" : "%.1f", p.minutes()));
        columns.put("peak MB", p -> count(p.number("peak_memory_mb")));
        columns.put("Wh", p -> number("%.2f", p.number("energy_wh")));
        columns.put("steps", p -> count(p.number("steps")));
        if (points.stream().anyMatch(p -> !Double.isNaN(p.number("tokens")))) {
            columns.put("tokens", p -> count(p.number("tokens")));
        }
        columns.put("parameters trained", p -> count(p.number("trained_parameters")));
        page.table(
                "All trainings",
                List.copyOf(columns.keySet()),
                points.stream()
                        .map(p -> columns.values().stream().map(c -> c.apply(p)).toList())
                        .toList());
    }

    private static String shown(double v) {
        return number("%.4f", v);
    }

    private static String count(double n) {
        return number("%,.0f", n);
    }

    private static String number(String format, double v) {
        return Double.isNaN(v) ? "" : String.format(Locale.ROOT, format, v);
    }

    private static String time(double minutes) {
        return minutes < 1
                ? String.format(Locale.ROOT, "%.0f seconds", minutes * 60)
                : String.format(Locale.ROOT, "%.1f minutes", minutes);
    }
}
