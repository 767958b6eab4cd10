package dev.headstart.train.metrics;

import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.function.ToDoubleFunction;

/** Confidence intervals by the percentile bootstrap (Efron 1979): the metric on resamples of the examples with replacement. Seeded. */
public final class Bootstrap {
    private Bootstrap() {}

    /**
     * An interval.
     *
     * @param low lower end; NaN when the metric is undefined on all resamples
     * @param high upper end
     */
    public record Interval(double low, double high) {}

    /**
     * The central interval of the metric's values.
     *
     * @param examples how many there are
     * @param metric the metric of the examples with the given indexes; NaN (undefined on this resample) is left out
     * @param resamples how many resamples to draw; 1000 is common
     * @param confidence 0.95 for the interval from the 2.5 to the 97.5 percentile
     * @param seed same seed, same interval
     */
    public static Interval interval(
            int examples, ToDoubleFunction<int[]> metric, int resamples, double confidence, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        double[] values = new double[resamples];
        int[] chosen = new int[examples];
        for (int r = 0; r < resamples; r++) {
            for (int i = 0; i < examples; i++) {
                chosen[i] = random.nextInt(examples);
            }
            values[r] = metric.applyAsDouble(chosen);
        }
        double[] defined =
                Arrays.stream(values).filter(v -> !Double.isNaN(v)).sorted().toArray();
        double tail = (1 - confidence) / 2;
        return new Interval(percentile(defined, tail), percentile(defined, 1 - tail));
    }

    /** Linear interpolation between the closest ranks, as numpy.percentile. */
    static double percentile(double[] sorted, double q) {
        if (sorted.length == 0) {
            return Double.NaN;
        }
        double at = q * (sorted.length - 1);
        int below = (int) Math.floor(at);
        int above = Math.min(below + 1, sorted.length - 1);
        return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
    }
}
