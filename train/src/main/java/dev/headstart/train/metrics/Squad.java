package dev.headstart.train.metrics;

import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;

/** Exact match and token F1 of extractive question answering, as the official SQuAD script computes them (Rajpurkar et al. 2016, 2018). */
public final class Squad {
    private static final Pattern ARTICLE = Pattern.compile("(?<![\\p{L}\\p{N}_])(a|an|the)(?![\\p{L}\\p{N}_])");
    private static final Pattern PUNCTUATION = Pattern.compile("[!-/:-@\\[-`{-~]");

    private Squad() {}

    /** Lower case, without ASCII punctuation and articles, white space normalised. */
    public static String normalize(String answer) {
        String s = PUNCTUATION.matcher(answer.toLowerCase(Locale.ROOT)).replaceAll("");
        return String.join(" ", PythonText.split(ARTICLE.matcher(s).replaceAll(" ")));
    }

    /**
     * 1 when the prediction equals one of the right answers after {@link #normalize}, else 0.
     *
     * @param answers the right answers; none when the question has no answer, which an empty prediction meets
     */
    public static double exactMatch(String prediction, List<String> answers) {
        String p = normalize(prediction);
        if (answers.isEmpty()) {
            return p.isEmpty() ? 1 : 0;
        }
        return answers.stream().anyMatch(a -> normalize(a).equals(p)) ? 1 : 0;
    }

    /** The best F1 over the right answers of the overlap of words, as bags. */
    public static double f1(String prediction, List<String> answers) {
        if (answers.isEmpty()) {
            return normalize(prediction).isEmpty() ? 1 : 0;
        }
        return answers.stream().mapToDouble(a -> f1(prediction, a)).max().orElse(0);
    }

    private static double f1(String prediction, String answer) {
        List<String> p = PythonText.split(normalize(prediction));
        List<String> a = PythonText.split(normalize(answer));
        if (p.isEmpty() || a.isEmpty()) {
            return p.equals(a) ? 1 : 0;
        }
        Map<String, Integer> left = new HashMap<>();
        a.forEach(w -> left.merge(w, 1, Integer::sum));
        int same = 0;
        for (String w : p) {
            int n = left.getOrDefault(w, 0);
            if (n > 0) {
                same++;
                left.put(w, n - 1);
            }
        }
        if (same == 0) {
            return 0;
        }
        double precision = (double) same / p.size();
        double recall = (double) same / a.size();
        return 2 * precision * recall / (precision + recall);
    }
}
