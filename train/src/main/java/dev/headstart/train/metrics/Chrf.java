package dev.headstart.train.metrics;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Corpus chrF2 (Popovic 2015) equal to sacrebleu's: character n-grams up to 6 without white space, recall weighted with beta 2, effective order;
 * with words' n-grams up to 2 beside them it is chrF++ (Popovic 2017). From 0 to 100.
 */
public final class Chrf {
    private static final int ORDER = 6;
    private static final double BETA2 = 4;
    private static final String PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

    private Chrf() {}

    /** What may differ. @param wordOrder 2 for chrF++, 0 for chrF @param lowercase whether case is left aside */
    public record Settings(int wordOrder, boolean lowercase) {
        /** sacrebleu's. */
        public static final Settings DEFAULT = new Settings(0, false);
    }

    /** For each order n-grams of the hypothesis, of the reference, and matches; of several references the one with the best score. */
    public static long[] statistics(String hypothesis, List<String> references) {
        return statistics(hypothesis, references, Settings.DEFAULT);
    }

    /** The same with other settings. */
    public static long[] statistics(String hypothesis, List<String> references, Settings settings) {
        int orders = ORDER + settings.wordOrder;
        List<Map<String, Integer>> h = ngrams(hypothesis, settings);
        long[] best = new long[3 * orders];
        double bestScore = -1;
        for (String reference : references) {
            List<Map<String, Integer>> r = ngrams(reference, settings);
            long[] s = new long[3 * orders];
            for (int n = 0; n < orders; n++) {
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

    private static List<Map<String, Integer>> ngrams(String given, Settings settings) {
        String text = settings.lowercase ? given.toLowerCase(Locale.ROOT) : given;
        int[] chars = text.codePoints().filter(c -> !PythonText.isSpace(c)).toArray();
        List<Map<String, Integer>> orders = new ArrayList<>();
        for (int n = 1; n <= ORDER; n++) {
            Map<String, Integer> counts = new HashMap<>();
            for (int i = 0; i + n <= chars.length; i++) {
                counts.merge(new String(chars, i, n), 1, Integer::sum);
            }
            orders.add(counts);
        }
        List<String> words = settings.wordOrder > 0 ? words(text) : List.of();
        for (int n = 1; n <= settings.wordOrder; n++) {
            Map<String, Integer> counts = new HashMap<>();
            for (int i = 0; i + n <= words.size(); i++) {
                counts.merge(String.join(" ", words.subList(i, i + n)), 1, Integer::sum);
            }
            orders.add(counts);
        }
        return orders;
    }

    /** Words, of whose punctuation the last character stands by itself, else the first. */
    private static List<String> words(String text) {
        List<String> words = new ArrayList<>();
        for (String w : PythonText.split(text)) {
            int last = w.length() - 1;
            if (w.codePointCount(0, w.length()) == 1) {
                words.add(w);
            } else if (PUNCTUATION.indexOf(w.charAt(last)) >= 0) {
                words.add(w.substring(0, last));
                words.add(w.substring(last));
            } else if (PUNCTUATION.indexOf(w.charAt(0)) >= 0) {
                words.add(w.substring(0, 1));
                words.add(w.substring(1));
            } else {
                words.add(w);
            }
        }
        return words;
    }

    /** The score of segments whose {@link #statistics} sum to this. */
    public static double score(long[] s) {
        double precision = 0;
        double recall = 0;
        int effective = 0;
        for (int n = 0; 3 * n < s.length; n++) {
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
