package dev.headstart.train.tokenizer;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The unigram language model's training (Kudo 2018, as in SentencePiece): starts from all frequent pieces of words, and in turns estimates
 * their probabilities by expectation maximisation and drops those whose loss costs the least.
 */
final class UnigramTrainer {
    private static final int MAX_PIECE = 16;
    private static final int SEEDS = 500_000;
    private static final int MAX_COUNTED = 3_000_000;
    private static final double SHRINK = 0.75;

    private final List<String> words;
    private final long[] counts;
    private final int size;
    private final Set<String> required = new HashSet<>();
    private Map<String, Double> scores = new HashMap<>();

    /**
     * @param words with their blank written as U+2581
     * @param counts how often each occurs
     * @param size pieces wanted, special tokens not counted
     */
    UnigramTrainer(List<String> words, long[] counts, int size) {
        this.words = words;
        this.counts = counts;
        this.size = size;
    }

    /** Pieces with their log probabilities, the likeliest first. */
    Map<String, Double> run() {
        seed();
        while (true) {
            for (int i = 0; i < 2; i++) maximise(expect());
            if (scores.size() <= size * 1.1 || scores.size() <= required.size()) break;
            int before = scores.size();
            prune();
            if (scores.size() >= before) break;
        }
        List<Map.Entry<String, Double>> all = new ArrayList<>(scores.entrySet());
        all.sort(Map.Entry.<String, Double>comparingByValue(Comparator.reverseOrder())
                .thenComparing(Map.Entry.comparingByKey()));
        Map<String, Double> chosen = new LinkedHashMap<>();
        for (var e : all) if (required.contains(e.getKey())) chosen.put(e.getKey(), e.getValue());
        for (var e : all) if (chosen.size() < size) chosen.putIfAbsent(e.getKey(), e.getValue());
        List<Map.Entry<String, Double>> sorted = new ArrayList<>(chosen.entrySet());
        sorted.sort(Map.Entry.<String, Double>comparingByValue(Comparator.reverseOrder())
                .thenComparing(Map.Entry.comparingByKey()));
        Map<String, Double> result = new LinkedHashMap<>();
        sorted.forEach(e -> result.put(e.getKey(), e.getValue()));
        return result;
    }

    private void seed() {
        Map<String, Long> pieces = new HashMap<>();
        Map<String, Long> letters = new HashMap<>();
        for (int w = 0; w < words.size(); w++) {
            int[] at = boundaries(words.get(w));
            for (int i = 0; i + 1 < at.length; i++) {
                letters.merge(words.get(w).substring(at[i], at[i + 1]), counts[w], Long::sum);
                for (int j = i + 2; j < at.length && j - i <= MAX_PIECE; j++) {
                    pieces.merge(words.get(w).substring(at[i], at[j]), counts[w], Long::sum);
                }
            }
            if (pieces.size() > MAX_COUNTED) pieces.values().removeIf(n -> n < 2);
        }
        required.addAll(letters.keySet());
        List<Map.Entry<String, Long>> frequent = new ArrayList<>(pieces.entrySet());
        frequent.removeIf(e -> e.getValue() < 2);
        frequent.sort(Comparator.<Map.Entry<String, Long>>comparingLong(
                        e -> -e.getValue() * e.getKey().length())
                .thenComparing(Map.Entry.comparingByKey()));
        double total = 0;
        Map<String, Double> weights = new HashMap<>();
        for (var e : letters.entrySet()) weights.put(e.getKey(), (double) e.getValue());
        for (var e : frequent.subList(0, Math.min(SEEDS, frequent.size())))
            weights.put(e.getKey(), (double) e.getValue() * e.getKey().length());
        for (double weight : weights.values()) total += weight;
        double logTotal = Math.log(total);
        weights.replaceAll((piece, weight) -> Math.log(weight) - logTotal);
        scores = weights;
    }

    private static int[] boundaries(String word) {
        int points = word.codePointCount(0, word.length());
        int[] at = new int[points + 1];
        for (int i = 1; i <= points; i++) at[i] = word.offsetByCodePoints(at[i - 1], 1);
        return at;
    }

    /** Expected count of each piece over all ways to split all words (forward and backward sums). */
    private Map<String, Double> expect() {
        Map<String, Double> expected = new HashMap<>();
        for (int w = 0; w < words.size(); w++) {
            String word = words.get(w);
            int[] at = boundaries(word);
            int n = at.length - 1;
            double[] forward = new double[n + 1];
            double[] backward = new double[n + 1];
            Arrays.fill(forward, Double.NEGATIVE_INFINITY);
            Arrays.fill(backward, Double.NEGATIVE_INFINITY);
            forward[0] = 0;
            backward[n] = 0;
            String[][] piece = new String[n][];
            double[][] score = new double[n][];
            for (int i = 0; i < n; i++) {
                int most = Math.min(MAX_PIECE, n - i);
                piece[i] = new String[most];
                score[i] = new double[most];
                for (int k = 0; k < most; k++) {
                    piece[i][k] = word.substring(at[i], at[i + k + 1]);
                    score[i][k] = scores.getOrDefault(piece[i][k], Double.NEGATIVE_INFINITY);
                    forward[i + k + 1] = logSum(forward[i + k + 1], forward[i] + score[i][k]);
                }
            }
            for (int i = n - 1; i >= 0; i--) {
                for (int k = 0; k < score[i].length; k++)
                    backward[i] = logSum(backward[i], score[i][k] + backward[i + k + 1]);
            }
            for (int i = 0; i < n; i++) {
                for (int k = 0; k < score[i].length; k++) {
                    double log = forward[i] + score[i][k] + backward[i + k + 1] - forward[n];
                    if (log > -30) expected.merge(piece[i][k], counts[w] * Math.exp(log), Double::sum);
                }
            }
        }
        return expected;
    }

    private static double logSum(double a, double b) {
        if (a == Double.NEGATIVE_INFINITY) return b;
        if (b == Double.NEGATIVE_INFINITY) return a;
        return Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
    }

    /** Bayesian maximisation: rare pieces lose more than their share, and those below half an occurrence go. */
    private void maximise(Map<String, Double> expected) {
        Map<String, Double> kept = new HashMap<>();
        double total = 0;
        for (var e : expected.entrySet()) {
            boolean needed = required.contains(e.getKey());
            if (e.getValue() < 0.5 && !needed) continue;
            double count = Math.max(e.getValue(), 0.5);
            kept.put(e.getKey(), count);
            total += count;
        }
        for (String letter : required) {
            if (kept.putIfAbsent(letter, 0.5) == null) total += 0.5;
        }
        double norm = digamma(total);
        kept.replaceAll((piece, count) -> digamma(count) - norm);
        scores = kept;
    }

    private static double digamma(double value) {
        double x = value;
        double sum = 0;
        for (; x < 7; x++) sum -= 1 / x;
        x -= 0.5;
        double square = 1 / (x * x);
        return sum
                + Math.log(x)
                + square * (1.0 / 24 - square * (7.0 / 960 - square * (31.0 / 8064 - square * 127.0 / 30720)));
    }

    /** Keeps the pieces whose replacement by others would cost the most likelihood. */
    private void prune() {
        Map<String, Double> used = new HashMap<>();
        double total = 0;
        for (int w = 0; w < words.size(); w++) {
            for (String piece : best(words.get(w), false)) used.merge(piece, (double) counts[w], Double::sum);
            total += counts[w];
        }
        double sum = used.values().stream().mapToDouble(Double::doubleValue).sum();
        double logSum = Math.log(sum);
        Map<String, Double> losses = new HashMap<>();
        Set<String> kept = new HashSet<>(required);
        for (String piece : scores.keySet()) {
            if (required.contains(piece)) continue;
            double count = used.getOrDefault(piece, 0.0);
            if (count == 0) continue; // never chosen: goes at no cost
            List<String> instead = best(piece, true);
            if (instead.isEmpty()) {
                kept.add(piece);
                continue;
            }
            double logWith = Math.log(count) - logSum;
            double logWithoutSum = Math.log(sum + count * (instead.size() - 1));
            double logWithout = 0;
            for (String other : instead) logWithout += Math.log(used.getOrDefault(other, 0.0) + count) - logWithoutSum;
            losses.put(piece, count / total * (logWith - logWithout));
        }
        List<Map.Entry<String, Double>> byLoss = new ArrayList<>(losses.entrySet());
        byLoss.sort(Map.Entry.<String, Double>comparingByValue(Comparator.reverseOrder())
                .thenComparing(Map.Entry.comparingByKey()));
        int wanted = Math.max((int) (size * 1.1), (int) (SHRINK * scores.size()));
        for (var e : byLoss) if (kept.size() < wanted) kept.add(e.getKey());
        scores.keySet().retainAll(kept);
    }

    /** The likeliest split (Viterbi). @param without whether the word itself may not be a piece; then empty when there is no other way */
    private List<String> best(String word, boolean without) {
        int[] at = boundaries(word);
        int n = at.length - 1;
        double[] score = new double[n + 1];
        int[] from = new int[n + 1];
        Arrays.fill(score, Double.NEGATIVE_INFINITY);
        score[0] = 0;
        for (int i = 0; i < n; i++) {
            if (score[i] == Double.NEGATIVE_INFINITY) continue;
            for (int j = i + 1; j <= n && j - i <= MAX_PIECE; j++) {
                if (without && i == 0 && j == n) continue;
                Double s = scores.get(word.substring(at[i], at[j]));
                if (s != null && score[i] + s > score[j]) {
                    score[j] = score[i] + s;
                    from[j] = i;
                }
            }
        }
        List<String> pieces = new ArrayList<>();
        if (score[n] == Double.NEGATIVE_INFINITY) return pieces;
        for (int j = n; j > 0; j = from[j]) pieces.add(word.substring(at[from[j]], at[j]));
        return pieces;
    }
}
