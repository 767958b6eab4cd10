package dev.headstart.train.metrics;

import java.util.Arrays;

/** Scores of numbers: errors, correlations, areas under curves, calibration, perplexity. */
public final class Metrics {
    private Metrics() {}

    static void sameLength(int references, int predictions) {
        if (references != predictions) {
            throw new IllegalArgumentException(
                    "expected as many predictions as references (" + references + "), found " + predictions);
        }
    }

    /** Mean squared error. */
    public static double mse(double[] references, double[] predictions) {
        sameLength(references.length, predictions.length);
        double sum = 0;
        for (int i = 0; i < references.length; i++) {
            double d = references[i] - predictions[i];
            sum += d * d;
        }
        return sum / references.length;
    }

    /** Mean absolute error. */
    public static double mae(double[] references, double[] predictions) {
        sameLength(references.length, predictions.length);
        double sum = 0;
        for (int i = 0; i < references.length; i++) {
            sum += Math.abs(references[i] - predictions[i]);
        }
        return sum / references.length;
    }

    /** Coefficient of determination (scikit-learn's r2_score); when all references are equal, 1 for perfect predictions and 0 for others; NaN of fewer than two. */
    public static double r2(double[] references, double[] predictions) {
        double mean = Arrays.stream(references).average().orElse(Double.NaN);
        double total = 0;
        for (double r : references) {
            total += (r - mean) * (r - mean);
        }
        if (references.length < 2) {
            return Double.NaN;
        }
        double error = mse(references, predictions) * references.length;
        return total == 0 ? (error == 0 ? 1 : 0) : 1 - error / total;
    }

    /** Pearson correlation (scipy.stats.pearsonr); NaN when one side is constant. */
    public static double pearson(double[] x, double[] y) {
        sameLength(x.length, y.length);
        double mx = Arrays.stream(x).average().orElse(Double.NaN);
        double my = Arrays.stream(y).average().orElse(Double.NaN);
        double xy = 0;
        double xx = 0;
        double yy = 0;
        for (int i = 0; i < x.length; i++) {
            double dx = x[i] - mx;
            double dy = y[i] - my;
            xy += dx * dy;
            xx += dx * dx;
            yy += dy * dy;
        }
        return xx == 0 || yy == 0 ? Double.NaN : Math.max(-1, Math.min(1, xy / Math.sqrt(xx) / Math.sqrt(yy)));
    }

    /** Spearman rank correlation, equal values share their mean rank (scipy.stats.spearmanr). */
    public static double spearman(double[] x, double[] y) {
        return pearson(ranks(x), ranks(y));
    }

    /** Ranks from 1; equal values share their mean rank. */
    public static double[] ranks(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int n = 0;
        double[] mean = new double[sorted.length];
        for (int i = 0; i < sorted.length; ) {
            int j = i;
            while (j + 1 < sorted.length && sorted[j + 1] == sorted[i]) {
                j++;
            }
            sorted[n] = sorted[i]; // n <= i: the distinct values gather at the front
            mean[n++] = (i + j) / 2.0 + 1;
            i = j + 1;
        }
        double[] ranks = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            ranks[i] = mean[Arrays.binarySearch(sorted, 0, n, values[i] == 0 && n > 0 ? zero(sorted, n) : values[i])];
        }
        return ranks;
    }

    /** 0.0 and -0.0 are equal, but not to a binary search. */
    private static double zero(double[] sorted, int n) {
        return Arrays.binarySearch(sorted, 0, n, -0.0) >= 0 ? -0.0 : 0.0;
    }

    /**
     * Area under the ROC curve of a binary classifier (scikit-learn's roc_auc_score); NaN when only one class occurs.
     *
     * @param references whether each example is positive
     * @param scores higher is more positive; any scale
     */
    public static double auc(boolean[] references, double[] scores) {
        sameLength(references.length, scores.length);
        double[] ranks = ranks(scores);
        double positives = 0;
        double sum = 0;
        for (int i = 0; i < references.length; i++) {
            if (references[i]) {
                positives++;
                sum += ranks[i];
            }
        }
        double negatives = references.length - positives;
        return positives == 0 || negatives == 0
                ? Double.NaN
                : (sum - positives * (positives + 1) / 2) / (positives * negatives);
    }

    /**
     * Mean over classes of each class against the rest (roc_auc_score with multi_class="ovr").
     *
     * @param probabilities [examples][classes]
     * @param weighted by the classes' frequency in the references instead of equally
     * @return NaN when a class does not occur
     */
    public static double aucOneVsRest(int[] references, double[][] probabilities, boolean weighted) {
        sameLength(references.length, probabilities.length);
        int classes = probabilities.length == 0 ? 0 : probabilities[0].length;
        double sum = 0;
        double total = 0;
        for (int c = 0; c < classes; c++) {
            boolean[] is = new boolean[references.length];
            double[] score = new double[references.length];
            double count = 0;
            for (int i = 0; i < references.length; i++) {
                is[i] = references[i] == c;
                score[i] = probabilities[i][c];
                count += is[i] ? 1 : 0;
            }
            double w = weighted ? count : 1;
            sum += w * auc(is, score);
            total += w;
        }
        return total == 0 ? Double.NaN : sum / total;
    }

    /**
     * Expected calibration error (Guo et al. 2017): mean gap between confidence and accuracy over equal-width bins of the confidence, weighted
     * by the bins' sizes. Bins are (0, 1/n], (1/n, 2/n], ...
     *
     * @param confidences probability of the predicted class
     * @param correct whether the prediction is right
     * @param bins number of bins; 15 in the paper
     */
    public static double ece(double[] confidences, boolean[] correct, int bins) {
        sameLength(confidences.length, correct.length);
        double[] confidence = new double[bins];
        double[] right = new double[bins];
        for (int i = 0; i < confidences.length; i++) {
            int b = Math.max(0, Math.min(bins - 1, (int) Math.ceil(confidences[i] * bins) - 1));
            confidence[b] += confidences[i];
            right[b] += correct[i] ? 1 : 0;
        }
        double gap = 0;
        for (int b = 0; b < bins; b++) {
            gap += Math.abs(confidence[b] - right[b]);
        }
        return confidences.length == 0 ? Double.NaN : gap / confidences.length;
    }

    /**
     * Perplexity of a language model.
     *
     * @param negativeLogLikelihood sum over tokens, natural logarithm
     * @param tokens how many
     */
    public static double perplexity(double negativeLogLikelihood, long tokens) {
        return tokens == 0 ? Double.NaN : Math.exp(negativeLogLikelihood / tokens);
    }
}
