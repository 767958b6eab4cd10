package dev.headstart.train.metrics;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Corpus chrF2 (Popovic 2015) equal to sacrebleu's default: character n-grams up to 6 without white space, recall weighted with beta 2,
 * effective order. From 0 to 100.
 */
public final class Chrf {
    private static final int ORDER = 6;
    private static final double BETA2 = 4;

    private Chrf() {}

    /** For each order n-grams of the hypothesis, of the reference, and matches; of several references the one with the best score. */
    public static long[] statistics(String hypothesis, List<String> references) {
        List<Map<String, Integer>> h = ngrams(hypothesis);
        long[] best = new long[3 * ORDER];
        double bestScore = -1;
        for (String reference : references) {
            List<Map<String, Integer>> r = ngrams(reference);
            long[] s = new long[3 * ORDER];
            for (int n = 0; n < ORDER; n++) {
                Map<String, Integer> ref = r.get(n);
                long count = 0;
                long match = 0;
                for (Map.Entry<String, Integer> e : h.get(n).entrySet()) {
                    count += e.getValue();
                    match += Math.min(e.getValue(), ref.getOrDefault(e.getKey(), 0));
                }
                s[3 * n] = ref.isEmpty() ? 0 : count;
                s[3 * n + 1] =
                        ref.values().stream().mapToLong(Integer::longValue).sum();
                s[3 * n + 2] = match;
            }
            double score = score(s);
            if (score > bestScore) {
                bestScore = score;
                best = s;
            }
        }
        return best;
    }

    private static List<Map<String, Integer>> ngrams(String text) {
        int[] chars = text.codePoints().filter(c -> !PythonText.isSpace(c)).toArray();
        List<Map<String, Integer>> orders = new java.util.ArrayList<>();
        for (int n = 1; n <= ORDER; n++) {
            Map<String, Integer> counts = new HashMap<>();
            for (int i = 0; i + n <= chars.length; i++) {
                counts.merge(new String(chars, i, n), 1, Integer::sum);
            }
            orders.add(counts);
        }
        return orders;
    }

    /** The score of segments whose {@link #statistics} sum to this. */
    public static double score(long[] s) {
        double precision = 0;
        double recall = 0;
        int effective = 0;
        for (int n = 0; n < ORDER; n++) {
            double hyp = s[3 * n];
            double ref = s[3 * n + 1];
            if (hyp > 0 && ref > 0) {
                precision += s[3 * n + 2] / hyp;
                recall += s[3 * n + 2] / ref;
                effective++;
            }
        }
        if (effective == 0 || precision + recall == 0) {
            return 0;
        }
        precision /= effective;
        recall /= effective;
        return 100 * (1 + BETA2) * precision * recall / (BETA2 * precision + recall);
    }

    /** The corpus score; one list of references a segment. */
    public static double corpus(List<String> hypotheses, List<List<String>> references) {
        Metrics.sameLength(references.size(), hypotheses.size());
        long[] sum = new long[3 * ORDER];
        for (int i = 0; i < hypotheses.size(); i++) {
            long[] s = statistics(hypotheses.get(i), references.get(i));
            for (int k = 0; k < sum.length; k++) {
                sum[k] += s[k];
            }
        }
        return score(sum);
    }
}
