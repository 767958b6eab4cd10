package dev.headstart.train.metrics;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * Corpus BLEU (Papineni et al. 2002) equal to sacrebleu's default: up to 4-grams, tokenizer 13a, exponential smoothing, case kept; several
 * references a segment are allowed. From 0 to 100.
 */
public final class Bleu {
    private static final int ORDER = 4;
    private static final Pattern SYMBOLS = Pattern.compile("([\\{-\\~\\[-` -&\\(-\\+:-@/])");
    private static final Pattern STOP_AFTER_NONDIGIT = Pattern.compile("([^0-9])([.,])");
    private static final Pattern STOP_BEFORE_NONDIGIT = Pattern.compile("([.,])([^0-9])");
    private static final Pattern DASH_AFTER_DIGIT = Pattern.compile("([0-9])(-)");

    private Bleu() {}

    /** The tokens of mteval-v13a. */
    static List<String> tokenize(String text) {
        String line = PythonText.rstrip(text)
                .replace("<skipped>", "")
                .replace("-\n", "")
                .replace('\n', ' ');
        if (line.indexOf('&') >= 0) {
            line = line.replace("&quot;", "\"")
                    .replace("&amp;", "&")
                    .replace("&lt;", "<")
                    .replace("&gt;", ">");
        }
        line = SYMBOLS.matcher(" " + line + " ").replaceAll(" $1 ");
        line = STOP_AFTER_NONDIGIT.matcher(line).replaceAll("$1 $2 ");
        line = STOP_BEFORE_NONDIGIT.matcher(line).replaceAll(" $1 $2");
        line = DASH_AFTER_DIGIT.matcher(line).replaceAll("$1 $2 ");
        return PythonText.split(line);
    }

    /**
     * What one segment adds to the corpus score: length, closest reference length, then for each order the matching and all n-grams.
     *
     * @param references at least one
     */
    public static long[] statistics(String hypothesis, List<String> references) {
        Map<List<String>, Integer> allowed = new HashMap<>();
        List<String> h = tokenize(hypothesis);
        long closest = -1;
        for (String reference : references) {
            List<String> r = tokenize(reference);
            ngrams(r).forEach((g, n) -> allowed.merge(g, n, Math::max));
            long gap = Math.abs(h.size() - r.size());
            long best = Math.abs(h.size() - closest);
            if (closest < 0 || gap < best || (gap == best && r.size() < closest)) {
                closest = r.size();
            }
        }
        long[] s = new long[2 + 2 * ORDER];
        s[0] = h.size();
        s[1] = closest;
        ngrams(h).forEach((g, n) -> {
            s[2 + g.size() - 1] += Math.min(n, allowed.getOrDefault(g, 0));
            s[2 + ORDER + g.size() - 1] += n;
        });
        return s;
    }

    private static Map<List<String>, Integer> ngrams(List<String> tokens) {
        Map<List<String>, Integer> counts = new HashMap<>();
        for (int n = 1; n <= ORDER; n++) {
            for (int i = 0; i + n <= tokens.size(); i++) {
                counts.merge(List.copyOf(tokens.subList(i, i + n)), 1, Integer::sum);
            }
        }
        return counts;
    }

    /** The score of segments whose {@link #statistics} sum to this. */
    public static double score(long[] s) {
        long hypothesis = s[0];
        long reference = s[1];
        double brevity =
                hypothesis >= reference ? 1 : hypothesis > 0 ? Math.exp(1 - (double) reference / hypothesis) : 0;
        boolean any = false;
        for (int n = 0; n < ORDER; n++) {
            any |= s[2 + n] > 0;
        }
        if (!any) {
            return 0;
        }
        double smooth = 1;
        double logs = 0;
        for (int n = 0; n < ORDER; n++) {
            long match = s[2 + n];
            long total = s[2 + ORDER + n];
            double precision = 0;
            if (total > 0) {
                if (match == 0) {
                    smooth *= 2;
                    precision = 100 / (smooth * total);
                } else {
                    precision = 100.0 * match / total;
                }
            }
            if (precision == 0) {
                return 0; // no segment is long enough for this order
            }
            logs += Math.log(precision);
        }
        return brevity * Math.exp(logs / ORDER);
    }

    /** The corpus score; one list of references a segment. */
    public static double corpus(List<String> hypotheses, List<List<String>> references) {
        Metrics.sameLength(references.size(), hypotheses.size());
        long[] sum = new long[2 + 2 * ORDER];
        for (int i = 0; i < hypotheses.size(); i++) {
            long[] s = statistics(hypotheses.get(i), references.get(i));
            for (int k = 0; k < sum.length; k++) {
                sum[k] += s[k];
            }
        }
        return score(sum);
    }
}
