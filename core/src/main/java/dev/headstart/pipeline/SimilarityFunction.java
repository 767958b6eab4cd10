package dev.headstart.pipeline;

import dev.headstart.HeadstartException;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** How near two vectors are; more is nearer (sentence-transformers SimilarityFunction). */
public enum SimilarityFunction {
    /** Cosine of the angle, in [-1, 1]. */
    COSINE {
        @Override
        public double of(float[] a, float[] b) {
            return DOT.of(a, b) / (length(a) * length(b));
        }
    },
    /** Scalar product. */
    DOT {
        @Override
        public double of(float[] a, float[] b) {
            double sum = 0;
            for (int i = 0; i < same(a, b); i++) {
                sum += (double) a[i] * b[i];
            }
            return sum;
        }
    },
    /** Euclidean distance, negated. */
    EUCLIDEAN {
        @Override
        public double of(float[] a, float[] b) {
            double sum = 0;
            for (int i = 0; i < same(a, b); i++) {
                sum += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
            }
            return -Math.sqrt(sum);
        }
    },
    /** Sum of the absolute differences, negated. */
    MANHATTAN {
        @Override
        public double of(float[] a, float[] b) {
            double sum = 0;
            for (int i = 0; i < same(a, b); i++) {
                sum += Math.abs((double) a[i] - b[i]);
            }
            return -sum;
        }
    };

    /** @param a [D]; @param b [D]; @throws IllegalArgumentException when their lengths differ */
    public abstract double of(float[] a, float[] b);

    /** By sentence-transformers' name: cosine, dot, euclidean, manhattan. @throws HeadstartException naming those */
    public static SimilarityFunction named(String name) {
        for (SimilarityFunction f : values()) {
            if (f.toString().equals(name)) {
                return f;
            }
        }
        throw new HeadstartException("similarity_fn_name \"" + name + "\" is not known; known: "
                + Arrays.stream(values()).map(SimilarityFunction::toString).collect(Collectors.joining(", ")));
    }

    /** sentence-transformers' name. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }

    private static double length(float[] a) {
        return Math.max(1e-12, Math.sqrt(DOT.of(a, a)));
    }

    private static int same(float[] a, float[] b) {
        if (a.length != b.length) {
            throw new IllegalArgumentException("vectors of " + a.length + " and " + b.length + " dimensions");
        }
        return a.length;
    }
}
