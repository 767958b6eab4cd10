package dev.headstart.train.metrics;

import java.util.Map;
import java.util.function.Predicate;

/**
 * Porter's suffix stripping (Porter 1980) with the extensions that NLTK has by default, which rouge-score uses. Words must be lower case.
 */
final class PorterStemmer {
    private static final Map<String, String> IRREGULAR = Map.ofEntries(
            Map.entry("sky", "sky"),
            Map.entry("skies", "sky"),
            Map.entry("dying", "die"),
            Map.entry("lying", "lie"),
            Map.entry("tying", "tie"),
            Map.entry("news", "news"),
            Map.entry("innings", "inning"),
            Map.entry("inning", "inning"),
            Map.entry("outings", "outing"),
            Map.entry("outing", "outing"),
            Map.entry("cannings", "canning"),
            Map.entry("canning", "canning"),
            Map.entry("howe", "howe"),
            Map.entry("proceed", "proceed"),
            Map.entry("exceed", "exceed"),
            Map.entry("succeed", "succeed"));

    private static final String[][] STEP2 = {
        {"ational", "ate"},
        {"tional", "tion"},
        {"enci", "ence"},
        {"anci", "ance"},
        {"izer", "ize"},
        {"bli", "ble"},
        {"alli", "al"},
        {"entli", "ent"},
        {"eli", "e"},
        {"ousli", "ous"},
        {"ization", "ize"},
        {"ation", "ate"},
        {"ator", "ate"},
        {"alism", "al"},
        {"iveness", "ive"},
        {"fulness", "ful"},
        {"ousness", "ous"},
        {"aliti", "al"},
        {"iviti", "ive"},
        {"biliti", "ble"},
        {"fulli", "ful"}
    };
    private static final String[][] STEP3 = {
        {"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}
    };
    private static final String[] STEP4 = {
        "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate",
        "iti", "ous", "ive", "ize"
    };

    private PorterStemmer() {}

    static String stem(String word) {
        String irregular = IRREGULAR.get(word);
        if (irregular != null) {
            return irregular;
        }
        if (word.length() <= 2) {
            return word;
        }
        return step5b(step5a(step4(rules(step2(step1c(step1b(step1a(word)))), STEP3))));
    }

    private static String step1a(String w) {
        if (w.endsWith("ies")) {
            return w.length() == 4 ? cut(w, 1) : cut(w, 2);
        }
        if (w.endsWith("sses")) {
            return cut(w, 2);
        }
        return w.endsWith("s") && !w.endsWith("ss") ? cut(w, 1) : w;
    }

    private static String step1b(String w) {
        if (w.endsWith("ied")) {
            return w.length() == 4 ? cut(w, 1) : cut(w, 2);
        }
        if (w.endsWith("eed")) {
            return measure(cut(w, 3)) > 0 ? cut(w, 1) : w;
        }
        String stem;
        if (w.endsWith("ed") && hasVowel(cut(w, 2))) {
            stem = cut(w, 2);
        } else if (w.endsWith("ing") && hasVowel(cut(w, 3))) {
            stem = cut(w, 3);
        } else {
            return w;
        }
        if (stem.endsWith("at") || stem.endsWith("bl") || stem.endsWith("iz")) {
            return stem + "e";
        }
        if (endsDoubleConsonant(stem)) {
            return "lsz".indexOf(stem.charAt(stem.length() - 1)) < 0 ? cut(stem, 1) : stem;
        }
        return measure(stem) == 1 && endsCvc(stem) ? stem + "e" : stem;
    }

    private static String step1c(String w) {
        boolean change = w.endsWith("y") && w.length() > 2 && isConsonant(w, w.length() - 2);
        return change ? cut(w, 1) + "i" : w;
    }

    private static String step2(String w) {
        if (w.endsWith("alli") && measure(cut(w, 4)) > 0) {
            return step2(cut(w, 2));
        }
        String changed = rules(w, STEP2);
        if (changed.equals(w) && w.endsWith("logi") && measure(cut(w, 3)) > 0) {
            return cut(w, 1);
        }
        return changed;
    }

    /** The first rule whose suffix fits decides: it is applied when what is left has a vowel followed by a consonant. */
    private static String rules(String w, String[][] rules) {
        for (String[] rule : rules) {
            if (w.endsWith(rule[0])) {
                String stem = cut(w, rule[0].length());
                return measure(stem) > 0 ? stem + rule[1] : w;
            }
        }
        return w;
    }

    private static String step4(String w) {
        for (String suffix : STEP4) {
            if (w.endsWith(suffix)) {
                String stem = cut(w, suffix.length());
                Predicate<String> fits = s -> !suffix.equals("ion") || s.endsWith("s") || s.endsWith("t");
                return measure(stem) > 1 && fits.test(stem) ? stem : w;
            }
        }
        return w;
    }

    private static String step5a(String w) {
        if (w.endsWith("e")) {
            String stem = cut(w, 1);
            int m = measure(stem);
            if (m > 1 || (m == 1 && !endsCvc(stem))) {
                return stem;
            }
        }
        return w;
    }

    private static String step5b(String w) {
        return w.endsWith("ll") && measure(cut(w, 1)) > 1 ? cut(w, 1) : w;
    }

    private static String cut(String w, int n) {
        return w.substring(0, w.length() - n);
    }

    /** A y is a consonant at the start and after a vowel. */
    private static boolean consonantAfter(String w, int i, boolean before) {
        char c = w.charAt(i);
        return c == 'y' ? i == 0 || !before : "aeiou".indexOf(c) < 0;
    }

    private static boolean isConsonant(String w, int i) {
        boolean consonant = true;
        for (int k = 0; k <= i; k++) {
            consonant = consonantAfter(w, k, consonant);
        }
        return consonant;
    }

    private static boolean hasVowel(String w) {
        boolean consonant = true;
        for (int i = 0; i < w.length(); i++) {
            consonant = consonantAfter(w, i, consonant);
            if (!consonant) {
                return true;
            }
        }
        return false;
    }

    /** How many times a vowel is followed by a consonant: m in the paper. */
    private static int measure(String w) {
        int m = 0;
        boolean before = true;
        for (int i = 0; i < w.length(); i++) {
            boolean consonant = consonantAfter(w, i, before);
            m += !before && consonant ? 1 : 0;
            before = consonant;
        }
        return m;
    }

    private static boolean endsDoubleConsonant(String w) {
        int n = w.length();
        return n >= 2 && w.charAt(n - 1) == w.charAt(n - 2) && isConsonant(w, n - 1);
    }

    private static boolean endsCvc(String w) {
        int n = w.length();
        if (n == 2) {
            return !isConsonant(w, 0) && isConsonant(w, 1);
        }
        return n >= 3
                && isConsonant(w, n - 3)
                && !isConsonant(w, n - 2)
                && isConsonant(w, n - 1)
                && "wxy".indexOf(w.charAt(n - 1)) < 0;
    }
}
