package dev.headstart.train.metrics;

import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * How well scores put what is relevant first, for the candidates of one query; equal to scikit-learn's average_precision_score and ndcg_score and to
 * sentence-transformers' mean reciprocal rank. Candidates of equal score share their places, but in the reciprocal rank, where the first given is first.
 */
public final class Ranking {
    private Ranking() {}

    /** Mean over the relevant candidates of the precision at their places; NaN without any. */
    public static double averagePrecision(boolean[] relevant, double[] scores) {
        int[] order = order(scores);
        double found = 0;
        double sum = 0;
        long all = IntStream.range(0, relevant.length).filter(i -> relevant[i]).count();
        for (int i = 0; i < order.length; ) {
            int end = sameScore(order, scores, i);
            long here = 0;
            for (int k = i; k < end; k++) {
                here += relevant[order[k]] ? 1 : 0;
            }
            found += here;
            sum += here * found / end;
            i = end;
        }
        return all == 0 ? Double.NaN : sum / all;
    }

    /** 1 / place of the first relevant candidate among the first {@code k}, else 0. */
    public static double reciprocalRank(boolean[] relevant, double[] scores, int k) {
        int[] order = order(scores);
        for (int i = 0; i < Math.min(k, order.length); i++) {
            if (relevant[order[i]]) {
                return 1.0 / (i + 1);
            }
        }
        return 0;
    }

    /** Discounted gain of the first {@code k}, as a share of the best possible (Järvelin and Kekäläinen 2002); 0 where nothing is relevant. */
    public static double ndcg(double[] gains, double[] scores, int k) {
        double best = gain(gains, gains, k);
        return best == 0 ? 0 : gain(gains, scores, k) / best;
    }

    private static double gain(double[] gains, double[] scores, int k) {
        int[] order = order(scores);
        double sum = 0;
        for (int i = 0; i < order.length; ) {
            int end = sameScore(order, scores, i);
            double mean =
                    Arrays.stream(order, i, end).mapToDouble(j -> gains[j]).sum() / (end - i);
            for (int place = i; place < Math.min(end, k); place++) {
                sum += mean * Math.log(2) / Math.log(place + 2.0);
            }
            i = end;
        }
        return sum;
    }

    /** Indexes by falling score, equal ones in their order. */
    private static int[] order(double[] scores) {
        return IntStream.range(0, scores.length)
                .boxed()
                .sorted(Comparator.comparingDouble(i -> -scores[i]))
                .mapToInt(i -> i)
                .toArray();
    }

    private static int sameScore(int[] order, double[] scores, int from) {
        int end = from + 1;
        while (end < order.length && scores[order[end]] == scores[order[from]]) {
            end++;
        }
        return end;
    }
}
