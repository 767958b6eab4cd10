package dev.headstart.train.metrics;

import dev.headstart.train.metrics.Classification.Prf;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;

/**
 * ROUGE-N, ROUGE-L and ROUGE-Lsum (Lin 2004) of one prediction, equal to the Python package rouge-score. A corpus score is the mean over
 * the examples.
 */
public final class Rouge {
    private Rouge() {}

    /** Lower-case runs of a-z and 0-9; with the stemmer, words of more than three letters are stemmed. */
    static List<String> tokenize(String text, boolean stem) {
        List<String> tokens = new ArrayList<>();
        for (String t : text.toLowerCase(Locale.ROOT).split("[^a-z0-9]+")) {
            if (!t.isEmpty()) {
                tokens.add(stem && t.length() > 3 ? PorterStemmer.stem(t) : t);
            }
        }
        return tokens;
    }

    private static Prf scores(double hits, int predicted, int actual) {
        double p = predicted == 0 ? 0 : hits / predicted;
        double r = actual == 0 ? 0 : hits / actual;
        return new Prf(p, r, p + r == 0 ? 0 : 2 * p * r / (p + r), actual);
    }

    /**
     * Overlap of n-grams.
     *
     * @param n 1 or 2 for ROUGE-1 and ROUGE-2
     * @param stem whether words are stemmed first (Porter)
     */
    public static Prf ngram(String reference, String prediction, int n, boolean stem) {
        Map<List<String>, Integer> r = counts(tokenize(reference, stem), n);
        Map<List<String>, Integer> p = counts(tokenize(prediction, stem), n);
        long hits = 0;
        for (Map.Entry<List<String>, Integer> e : r.entrySet()) {
            hits += Math.min(e.getValue(), p.getOrDefault(e.getKey(), 0));
        }
        return scores(hits, sum(p), sum(r));
    }

    private static Map<List<String>, Integer> counts(List<String> tokens, int n) {
        Map<List<String>, Integer> counts = new HashMap<>();
        for (int i = 0; i + n <= tokens.size(); i++) {
            counts.merge(List.copyOf(tokens.subList(i, i + n)), 1, Integer::sum);
        }
        return counts;
    }

    private static int sum(Map<List<String>, Integer> counts) {
        return counts.values().stream().mapToInt(Integer::intValue).sum();
    }

    /** Longest common subsequence of the whole texts. */
    public static Prf longest(String reference, String prediction, boolean stem) {
        List<String> r = tokenize(reference, stem);
        List<String> p = tokenize(prediction, stem);
        return scores(r.isEmpty() || p.isEmpty() ? 0 : table(r, p)[r.size()][p.size()], p.size(), r.size());
    }

    /** Summary level: sentences are lines; each reference sentence counts the union of its common subsequences with all predicted ones. */
    public static Prf longestOfSummary(String reference, String prediction, boolean stem) {
        List<List<String>> r = sentences(reference, stem);
        List<List<String>> p = sentences(prediction, stem);
        int actual = r.stream().mapToInt(List::size).sum();
        int predicted = p.stream().mapToInt(List::size).sum();
        if (actual == 0 || predicted == 0) {
            return scores(0, predicted, actual);
        }
        Map<String, Integer> leftActual = new HashMap<>();
        Map<String, Integer> leftPredicted = new HashMap<>();
        r.forEach(s -> s.forEach(t -> leftActual.merge(t, 1, Integer::sum)));
        p.forEach(s -> s.forEach(t -> leftPredicted.merge(t, 1, Integer::sum)));
        int hits = 0;
        for (List<String> sentence : r) {
            TreeSet<Integer> union = new TreeSet<>();
            p.forEach(candidate -> union.addAll(common(sentence, candidate)));
            for (int i : union) {
                String t = sentence.get(i);
                if (leftActual.getOrDefault(t, 0) > 0 && leftPredicted.getOrDefault(t, 0) > 0) {
                    hits++;
                    leftActual.merge(t, -1, Integer::sum);
                    leftPredicted.merge(t, -1, Integer::sum);
                }
            }
        }
        return scores(hits, predicted, actual);
    }

    private static List<List<String>> sentences(String text, boolean stem) {
        return Arrays.stream(text.split("\n"))
                .filter(s -> !s.isEmpty())
                .map(s -> tokenize(s, stem))
                .toList();
    }

    private static int[][] table(List<String> a, List<String> b) {
        int[][] t = new int[a.size() + 1][b.size() + 1];
        for (int i = 1; i <= a.size(); i++) {
            for (int j = 1; j <= b.size(); j++) {
                t[i][j] = a.get(i - 1).equals(b.get(j - 1)) ? t[i - 1][j - 1] + 1 : Math.max(t[i - 1][j], t[i][j - 1]);
            }
        }
        return t;
    }

    /** Places in {@code a} of one longest common subsequence; of several, the one that rouge-score finds. */
    private static List<Integer> common(List<String> a, List<String> b) {
        int[][] t = table(a, b);
        List<Integer> places = new ArrayList<>();
        int i = a.size();
        int j = b.size();
        while (i > 0 && j > 0) {
            if (a.get(i - 1).equals(b.get(j - 1))) {
                places.add(--i);
                j--;
            } else if (t[i][j - 1] > t[i - 1][j]) {
                j--;
            } else {
                i--;
            }
        }
        Collections.reverse(places);
        return places;
    }
}
