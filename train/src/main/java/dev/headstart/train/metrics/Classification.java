package dev.headstart.train.metrics;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Scores of single-label classification from the confusion matrix; equal to scikit-learn's accuracy_score,
 * precision_recall_fscore_support (zero_division=0) and matthews_corrcoef. As there, averages run over the classes that occur in the
 * references or the predictions.
 */
public final class Classification {
    /** How per-class scores become one. */
    public enum Average {
        /** Mean over classes. */
        MACRO,
        /** From counts over all classes; in single-label classification the accuracy. */
        MICRO,
        /** Mean over classes, weighted by how often each occurs in the references. */
        WEIGHTED
    }

    /**
     * Precision, recall and their harmonic mean.
     *
     * @param support how often the class occurs in the references
     */
    public record Prf(double precision, double recall, double f1, long support) {
        /** From counts; 0 where a denominator is 0. */
        public static Prf of(long truePositive, long predicted, long actual) {
            double p = predicted == 0 ? 0 : (double) truePositive / predicted;
            double r = actual == 0 ? 0 : (double) truePositive / actual;
            double f = predicted + actual == 0 ? 0 : 2.0 * truePositive / (predicted + actual);
            return new Prf(p, r, f, actual);
        }

        static Prf average(List<Prf> classes, boolean weighted) {
            double p = 0;
            double r = 0;
            double f = 0;
            double total = 0;
            long support = 0;
            for (Prf c : classes) {
                double w = weighted ? c.support : 1;
                p += w * c.precision;
                r += w * c.recall;
                f += w * c.f1;
                total += w;
                support += c.support;
            }
            return total == 0 ? new Prf(0, 0, 0, support) : new Prf(p / total, r / total, f / total, support);
        }
    }

    private final long[][] confusion;
    private final long n;

    private Classification(long[][] confusion, long n) {
        this.confusion = confusion;
        this.n = n;
    }

    /**
     * Counts.
     *
     * @param references class of each example, from 0
     * @param predictions predicted class of each example
     * @param classes number of classes
     */
    public static Classification of(int[] references, int[] predictions, int classes) {
        Metrics.sameLength(references.length, predictions.length);
        int[] all = new int[references.length];
        Arrays.setAll(all, i -> i);
        return of(references, predictions, classes, all);
    }

    /** The same for the examples with these indexes, which may repeat (bootstrap). */
    public static Classification of(int[] references, int[] predictions, int classes, int[] examples) {
        long[][] m = new long[classes][classes];
        for (int i : examples) {
            m[references[i]][predictions[i]]++;
        }
        return new Classification(m, examples.length);
    }

    /** Examples of class {@code [reference][prediction]}. */
    public long[][] confusion() {
        long[][] copy = new long[confusion.length][];
        for (int i = 0; i < copy.length; i++) {
            copy[i] = confusion[i].clone();
        }
        return copy;
    }

    /** Share of right predictions. */
    public double accuracy() {
        long right = 0;
        for (int c = 0; c < confusion.length; c++) {
            right += confusion[c][c];
        }
        return n == 0 ? Double.NaN : (double) right / n;
    }

    /** Scores of one class. */
    public Prf of(int c) {
        return Prf.of(confusion[c][c], predicted(c), actual(c));
    }

    /** Scores over the classes that occur. */
    public Prf average(Average how) {
        List<Prf> occurring = new ArrayList<>();
        long right = 0;
        for (int c = 0; c < confusion.length; c++) {
            right += confusion[c][c];
            if (predicted(c) + actual(c) > 0) {
                occurring.add(of(c));
            }
        }
        return how == Average.MICRO ? Prf.of(right, n, n) : Prf.average(occurring, how == Average.WEIGHTED);
    }

    /** Matthews correlation coefficient, of any number of classes (Gorodkin 2004); 0 when undefined, as in scikit-learn. */
    public double mcc() {
        double right = 0;
        double both = 0;
        double predictedSquares = 0;
        double actualSquares = 0;
        for (int c = 0; c < confusion.length; c++) {
            double p = predicted(c);
            double a = actual(c);
            right += confusion[c][c];
            both += p * a;
            predictedSquares += p * p;
            actualSquares += a * a;
        }
        double s = n;
        double denominator = (s * s - predictedSquares) * (s * s - actualSquares);
        return denominator == 0 ? 0 : (right * s - both) / Math.sqrt(denominator);
    }

    private long actual(int c) {
        return Arrays.stream(confusion[c]).sum();
    }

    private long predicted(int c) {
        long sum = 0;
        for (long[] row : confusion) {
            sum += row[c];
        }
        return sum;
    }

    /**
     * Scores of multi-label predictions, equal to scikit-learn's on indicator matrices.
     *
     * @param references [examples][labels]
     * @param predictions [examples][labels]
     */
    public static Prf multiLabel(boolean[][] references, boolean[][] predictions, Average how, int[] examples) {
        Metrics.sameLength(references.length, predictions.length);
        int labels = references.length == 0 ? 0 : references[0].length;
        long[] hit = new long[labels];
        long[] predicted = new long[labels];
        long[] actual = new long[labels];
        for (int i : examples) {
            for (int l = 0; l < labels; l++) {
                hit[l] += references[i][l] && predictions[i][l] ? 1 : 0;
                predicted[l] += predictions[i][l] ? 1 : 0;
                actual[l] += references[i][l] ? 1 : 0;
            }
        }
        if (how == Average.MICRO) {
            return Prf.of(
                    Arrays.stream(hit).sum(),
                    Arrays.stream(predicted).sum(),
                    Arrays.stream(actual).sum());
        }
        List<Prf> each = new ArrayList<>();
        for (int l = 0; l < labels; l++) {
            each.add(Prf.of(hit[l], predicted[l], actual[l]));
        }
        return Prf.average(each, how == Average.WEIGHTED);
    }

    /** Share of examples whose labels are all right. */
    public static double subsetAccuracy(boolean[][] references, boolean[][] predictions, int[] examples) {
        long right = 0;
        for (int i : examples) {
            right += Arrays.equals(references[i], predictions[i]) ? 1 : 0;
        }
        return examples.length == 0 ? Double.NaN : (double) right / examples.length;
    }
}
