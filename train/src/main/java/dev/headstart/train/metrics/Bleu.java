package dev.headstart.train.metrics;

import dev.headstart.HeadstartException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Corpus BLEU (Papineni et al. 2002) equal to sacrebleu's: up to 4-grams, exponential smoothing; by default tokenizer 13a, case kept; several
 * references a segment are allowed. From 0 to 100.
 */
public final class Bleu {
    private static final int ORDER = 4;
    private static final Pattern SYMBOLS = Pattern.compile("([\\{-\\~\\[-` -&\\(-\\+:-@/])");
    private static final Pattern STOP_AFTER_NONDIGIT = Pattern.compile("([^0-9])([.,])");
    private static final Pattern STOP_BEFORE_NONDIGIT = Pattern.compile("([.,])([^0-9])");
    private static final Pattern DASH_AFTER_DIGIT = Pattern.compile("([0-9])(-)");

    private static final Pattern AFTER_NO_NUMBER = Pattern.compile("(\\P{N})(\\p{P})");
    private static final Pattern BEFORE_NO_NUMBER = Pattern.compile("(\\p{P})(\\P{N})");
    private static final Pattern SYMBOL = Pattern.compile("(\\p{S})");

    /** sacrebleu's ranges of Chinese characters, those included that its spelling of U+20000 and U+2F800 amounts to. */
    private static final Pattern CHINESE = Pattern.compile(
            "([\u3400-\u4db5\u4e00-\u9fa5\u9fa6-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a"
                    + "\ufa70-\ufad9\u2001-\u2a6d\u2f81-\u2fa1\uff00-\uffef\u2e80-\u2eff\u3000-\u303f\u31c0-\u31ef\u2f00-\u2fdf\u2ff0-\u2fff"
                    + "\u3100-\u312f\u31a0-\u31bf\ufe10-\ufe1f\ufe30-\ufe4f\u2600-\u26ff\u2700-\u27bf\u3200-\u32ff\u3300-\u33ff])");

    private Bleu() {}

    /** How texts are divided, by sacrebleu's names. */
    public enum Tokenization {
        /** mteval-v13a, for languages in Latin script. */
        T13A("13a"),
        /** mteval-v14: punctuation and symbols of all scripts. */
        INTL("intl"),
        /** Characters. */
        CHAR("char"),
        /** Chinese characters, the rest as 13a. */
        ZH("zh"),
        /** At white space. */
        NONE("none");

        private final String id;

        Tokenization(String id) {
            this.id = id;
        }

        /** By name. @throws HeadstartException listing the names */
        public static Tokenization of(String name) {
            for (Tokenization t : values()) {
                if (t.id.equals(name)) {
                    return t;
                }
            }
            throw new HeadstartException("--tokenize must be one of "
                    + Arrays.stream(values()).map(t -> t.id).collect(Collectors.joining(", ")) + ", found " + name);
        }
    }

    /** What may differ. @param lowercase whether case is left aside */
    public record Settings(Tokenization tokenization, boolean lowercase) {
        /** sacrebleu's. */
        public static final Settings DEFAULT = new Settings(Tokenization.T13A, false);
    }

    /** The tokens of a text. */
    static List<String> tokenize(String text, Settings settings) {
        String line = PythonText.rstrip(settings.lowercase ? text.toLowerCase(Locale.ROOT) : text);
        return switch (settings.tokenization) {
            case T13A -> {
                line = line.replace("<skipped>", "").replace("-\n", "").replace('\n', ' ');
                if (line.indexOf('&') >= 0) {
                    line = line.replace("&quot;", "\"")
                            .replace("&amp;", "&")
                            .replace("&lt;", "<")
                            .replace("&gt;", ">");
                }
                yield western(" " + line + " ");
            }
            case INTL -> {
                line = AFTER_NO_NUMBER.matcher(line).replaceAll("$1 $2 ");
                line = BEFORE_NO_NUMBER.matcher(line).replaceAll(" $1 $2");
                yield PythonText.split(SYMBOL.matcher(line).replaceAll(" $1 "));
            }
            case CHAR ->
                line.codePoints()
                        .filter(c -> !PythonText.isSpace(c))
                        .mapToObj(Character::toString)
                        .toList();
            case ZH -> western(CHINESE.matcher(PythonText.strip(line)).replaceAll(" $1 "));
            case NONE -> PythonText.split(line);
        };
    }

    private static List<String> western(String text) {
        String line = SYMBOLS.matcher(text).replaceAll(" $1 ");
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
        return statistics(hypothesis, references, Settings.DEFAULT);
    }

    /** The same with other settings. */
    public static long[] statistics(String hypothesis, List<String> references, Settings settings) {
        Map<List<String>, Integer> allowed = new HashMap<>();
        List<String> h = tokenize(hypothesis, settings);
        long closest = -1;
        for (String reference : references) {
            List<String> r = tokenize(reference, settings);
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
