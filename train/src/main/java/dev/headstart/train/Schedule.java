package dev.headstart.train;

import dev.headstart.HeadstartException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** How the learning rate runs over the steps, under transformers' names (transformers.SchedulerType). */
public enum Schedule {
    /** Down to 0 in a straight line after the warmup. */
    LINEAR,
    /** Down to 0 along half a cosine after the warmup. */
    COSINE,
    /** A cosine that starts again at each of its cycles. */
    COSINE_WITH_RESTARTS,
    /** Down to 1e-7 along a polynomial of power 1. */
    POLYNOMIAL,
    /** The same throughout, without warmup. */
    CONSTANT,
    /** The same after the warmup. */
    CONSTANT_WITH_WARMUP,
    /** By 1 / sqrt(step) after the warmup. */
    INVERSE_SQRT;

    private static final double POLYNOMIAL_END = 1e-7;

    /** By name, any case. @throws HeadstartException naming what there is */
    public static Schedule of(String name) {
        try {
            return valueOf(name.toUpperCase(Locale.ROOT).replace('-', '_'));
        } catch (IllegalArgumentException e) {
            throw new HeadstartException(
                    "unknown learning rate schedule \"" + name + "\"; known: " + String.join(", ", ids()), e);
        }
    }

    /** All names. */
    public static List<String> ids() {
        return Arrays.stream(values()).map(Schedule::id).toList();
    }

    /** transformers' name. */
    public String id() {
        return name().toLowerCase(Locale.ROOT);
    }

    /**
     * The learning rate of a step.
     *
     * @param peak the highest rate
     * @param step from 0
     * @param warmup steps in which the rate rises from 0
     * @param total all steps
     */
    public double rate(double peak, long step, long warmup, long total) {
        if (this == CONSTANT) {
            return peak;
        }
        if (step < warmup) {
            return peak * step / Math.max(1, warmup);
        }
        double progress = (double) (step - warmup) / Math.max(1, total - warmup);
        return switch (this) {
            case LINEAR -> peak * Math.max(0, 1 - progress);
            case COSINE -> peak * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
            case COSINE_WITH_RESTARTS ->
                progress >= 1 ? 0 : peak * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * (progress % 1))));
            case POLYNOMIAL ->
                progress > 1 ? POLYNOMIAL_END : (peak - POLYNOMIAL_END) * (1 - progress) + POLYNOMIAL_END;
            case INVERSE_SQRT -> {
                double timescale = warmup > 0 ? warmup : 10_000;
                yield peak / Math.sqrt((step + timescale - warmup) / timescale);
            }
            default -> peak;
        };
    }
}
