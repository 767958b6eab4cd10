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

    /**
     * The trainings of one model in one mode at one size: their means.
     *
     * @param examples training examples
     * @param spread standard deviation of the metric over the seeds; 0 for one seed
     */
    private record Point(
            Way way,
            int size,
            double examples,
            double value,
            double spread,
            int seeds,
            double minutes,
            double memory,
            double energy,
            double steps,
            double tokens,
            double trained) {}

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
        groups.values().forEach(g -> points.add(point(g)));
    }

    private Point point(List<Outcome> group) {
        Cell cell = group.get(0).cell();
        double mean = mean(group, Outcome::value);
        double variance = group.size() < 2
                ? 0
                : group.stream().mapToDouble(o -> Math.pow(o.value() - mean, 2)).sum() / (group.size() - 1);
        return new Point(
                new Way(name(cell), cell.mode()),
                cell.size(),
                mean(group, o -> o.number("train_samples")),
                mean,
                Math.sqrt(variance),
                group.size(),
                mean(group, Outcome::minutes),
                mean(group, o -> o.number("peak_memory_mb")),
                mean(group, o -> o.number("energy_wh")),
                mean(group, o -> o.number("steps")),
                mean(group, o -> o.number("tokens")),
                mean(group, o -> o.number("trained_parameters")));
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

    private static double mean(List<Outcome> group, ToDoubleFunction<Outcome> f) {
        return group.stream().mapToDouble(f).average().orElse(Double.NaN);
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
        page.chart(sized(ways, "Time", "minutes", Point::minutes, several).fromZero());
        page.chart(sized(ways, "Peak memory", "MB", Point::memory, several).fromZero());
        page.chart(sized(ways, "Energy", "Wh", Point::energy, several).fromZero());
        table(page);
        if (command != null) {
            page.code("Command", command);
        }
        page.write(file);
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
        List<List<String>> rows = new ArrayList<>();
        for (Point p : points) {
            rows.add(List.of(
                    p.way().model(),
                    p.way().mode().title(),
                    count(p.examples()),
                    shown(p.value()) + (p.seeds() > 1 ? String.format(Locale.ROOT, " ±%.4f", p.spread()) : ""),
                    number(p.minutes() < 10 ? "%.2f" : "%.1f", p.minutes()),
                    number("%,.0f", p.memory()),
                    number("%.2f", p.energy()),
                    number("%,.0f", p.steps()),
                    number("%,.0f", p.tokens()),
                    number("%,.0f", p.trained())));
        }
        page.table(
                "All trainings",
                List.of(
                        "model",
                        "trained",
                        "examples",
                        split + " " + metric,
                        "minutes",
                        "peak MB",
                        "Wh",
                        "steps",
                        "tokens",
                        "parameters trained"),
                rows);
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
