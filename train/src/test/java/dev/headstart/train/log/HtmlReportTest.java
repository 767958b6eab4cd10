package dev.headstart.train.log;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.headstart.train.log.HtmlReport.Chart;
import dev.headstart.train.log.HtmlReport.Series;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HtmlReportTest {
    private static HtmlReport sample() {
        Random r = new Random(1);
        double[] steps = IntStream.rangeClosed(1, 3000).asDoubleStream().toArray();
        double[] loss = IntStream.rangeClosed(1, 3000)
                .mapToDouble(i -> 0.2 + 2 * Math.exp(-i / 500.0) + 0.1 * r.nextGaussian())
                .toArray();
        double[] lr = IntStream.rangeClosed(1, 3000)
                .mapToDouble(i -> 3e-5 * Math.min(i / 300.0, (3000 - i) / 2700.0))
                .toArray();
        double[] speed = IntStream.rangeClosed(1, 3000)
                .mapToDouble(i -> 350 + 20 * r.nextGaussian())
                .toArray();
        double[] epochs = {500, 1000, 1500, 2000, 2500, 3000};
        return new HtmlReport("bert-base-uncased on SST-2")
                .subtitle("fine-tuning, text-classification")
                .fact(
                        "command",
                        "headstart finetune --task text-classification --model bert-base-uncased --train <train.tsv>")
                .fact("data", "6,920 rows")
                .headline("accuracy", "0.9193")
                .headline("minutes", "41.2")
                .chart(Chart.of(
                                "Loss",
                                "step",
                                "loss",
                                List.of(
                                        Series.line("train", steps, loss),
                                        new Series(
                                                "validation",
                                                epochs,
                                                new double[] {1.0, 0.6, 0.42, 0.36, Double.NaN, 0.34},
                                                true)))
                        .smoothed())
                .chart(Chart.of(
                        "Accuracy on validation",
                        "step",
                        "accuracy",
                        List.of(new Series(
                                "accuracy", epochs, new double[] {0.81, 0.87, 0.9, 0.911, 0.915, 0.919}, true))))
                .chart(Chart.of("Learning rate", "step", "learning rate", List.of(Series.line("lr", steps, lr))))
                .chart(Chart.of("Throughput", "step", "tokens/s", List.of(Series.line("tokens/s", steps, speed)))
                        .smoothed()
                        .fromZero())
                .table(
                        "Metrics",
                        List.of("metric", "value", "95 % interval"),
                        List.of(
                                List.of("accuracy", "0.9193", "[0.906, 0.931]"),
                                List.of("f1_macro", "0.9190", "[0.905, 0.931]")))
                .text("Remarks", "Nothing was cut.");
    }

    /** Values of an axis of powers are its marks where their texts have room. */
    @Test
    void marksDoNotRunIntoEachOther() {
        double[] apart = {100, 300, 1000};
        assertThat(powers(apart)).contains(">300</text>");
        double[] close = {0.137, 0.23, 1.72, 2.13, 4.89};
        assertThat(powers(close)).contains(">2</text>", ">0.5</text>").doesNotContain(">1.72</text>", ">2.13</text>");
    }

    private static String powers(double[] x) {
        return new HtmlReport("powers")
                .chart(Chart.of("Accuracy", "minutes", "accuracy", List.of(Series.line("a", x, x)))
                        .logarithmic())
                .html();
    }

    /** Steps are whole: a run of few, or a single evaluation, has no marks between them. */
    @Test
    void stepsHaveNoHalves() {
        for (double[] steps : new double[][] {{1, 2, 3, 4}, {4}}) {
            double[] hundreds = Arrays.stream(steps).map(x -> 100 * x).toArray();
            String page = new HtmlReport("few")
                    .chart(Chart.of("Loss", "step", "loss", List.of(Series.line("train", steps, hundreds))))
                    .html();
            assertThat(page).contains(">4</text>").doesNotContain(">1.5</text>", ">3.6</text>", ">4.0</text>");
        }
    }

    @Test
    void standsAlone(@TempDir Path dir) throws IOException {
        Path file = dir.resolve("report.html");
        sample().write(file);
        String html = Files.readString(file);
        assertThat(html).doesNotContainPattern("(src|href)=").doesNotContain("http://", "https://", "NaN");
        assertThat(html).doesNotContainPattern("=[^\"'\\s>]+/>"); // an unquoted value would swallow the slash
        assertThat(html).contains("&lt;train.tsv&gt;").doesNotContain("<train.tsv>");
        assertThat(Pattern.compile("<svg ").matcher(html).results()).hasSize(4);
        assertThat(Pattern.compile("<div").matcher(html).results().count())
                .isEqualTo(Pattern.compile("</div>").matcher(html).results().count());
        assertThat(html.length()).isLessThan(400_000);
        String copy = System.getProperty("headstart.report");
        if (copy != null) {
            sample().write(Path.of(copy));
        }
    }

    @Test
    void ticksAreRound() {
        assertThat(HtmlReport.step(0.3)).isEqualTo(0.5, within(1e-12));
        assertThat(HtmlReport.step(20)).isEqualTo(20, within(1e-12));
        assertThat(HtmlReport.tick(2e-5, 1e-5)).isEqualTo("2e\u22125");
        assertThat(HtmlReport.tick(-0.25, 0.05)).isEqualTo("\u22120.25");
        assertThat(HtmlReport.tick(15_000, 5_000)).isEqualTo("15k");
        assertThat(HtmlReport.tick(2_000_000, 1_000_000)).isEqualTo("2e6");
    }

    @Test
    void axesOfPowersHaveRoundMarksOrTheValuesThemselves() {
        assertThat(HtmlReport.logTicks(2, Math.log10(6920)).values())
                .containsExactly("100", "200", "500", "1k", "2k", "5k");
        assertThat(HtmlReport.logTicks(-3, 5).values())
                .contains("0.001", "1", "100k")
                .hasSize(9);
        double[] sizes = {100, 1000, 6920};
        String html = new HtmlReport("x")
                .chart(Chart.of("a", "examples", "y", List.of(new Series("s", sizes, new double[] {1, 2, 3}, true)))
                        .logarithmic())
                .html();
        assertThat(html).contains("data-log=\"1\"", ">6,920</text>", "[6920,3]").doesNotContain("NaN");
        Pattern dot = Pattern.compile("<circle[^>]* cx=\"([\\d.]+)\"");
        List<Double> at = dot.matcher(html)
                .results()
                .map(m -> Double.parseDouble(m.group(1)))
                .toList();
        double factor = (at.get(1) - at.get(0)) / (at.get(2) - at.get(1));
        assertThat(factor).isEqualTo(1 / Math.log10(6.92), within(0.01));
    }

    @Test
    void longCurvesKeepTheirPeaks() {
        double[] x = IntStream.range(0, 100_000).asDoubleStream().toArray();
        double[] y = new double[x.length];
        y[77_777] = 9;
        Series s = HtmlReport.thinned(Series.line("s", x, y));
        assertThat(s.x().length).isLessThanOrEqualTo(1200);
        assertThat(s.y()).contains(9);
        assertThat(HtmlReport.runningMean(new double[] {4, 4, 4})[2]).isEqualTo(4, within(1e-12));
    }

    @Test
    void emptyAndSinglePoints() {
        String html = new HtmlReport("x")
                .chart(Chart.of("none", "step", "y", List.of(Series.line("a", new double[0], new double[0]))))
                .chart(Chart.of("one", "step", "y", List.of(Series.line("a", new double[] {3}, new double[] {7}))))
                .html();
        assertThat(html).contains("no values").doesNotContain("NaN", "Infinity");
    }
}
