package dev.headstart.text;

import dev.headstart.HeadstartException;
import java.util.List;
import java.util.TreeSet;

/** The language codes of multilingual translation models and where they stand around a text. */
final class Languages {
    private Languages() {}

    /** The code as the vocabulary spells it. */
    static String token(TokenizerFamily family, String language) {
        return family == TokenizerFamily.M2M100 && !language.startsWith("__") ? "__" + language + "__" : language;
    }

    /** All codes of a model, sorted. */
    static List<String> known(TokenizerFamily family, Vocabulary vocabulary) {
        TreeSet<String> codes = new TreeSet<>();
        for (String token : vocabulary.allTokens()) {
            boolean code = switch (family) {
                case M2M100 -> token.matches("__[a-z]{2,3}__");
                case MBART, MBART50 -> token.matches("[a-z]{2}_[A-Z]{2}");
                case NLLB -> token.matches("[a-z]{3}_[A-Z][a-z]{3}");
                case MARIAN -> token.startsWith(">>") && token.endsWith("<<");
                default -> false;
            };
            if (code) codes.add(family == TokenizerFamily.M2M100 ? token.substring(2, token.length() - 2) : token);
        }
        return List.copyOf(codes);
    }

    /**
     * A backend with a language's tokens around each text.
     *
     * @param language code; empty for the class's default
     */
    static Backend backend(Backend inside, Vocabulary vocabulary, TokenizerConfig config, String language) {
        String eos = config.special("eos_token");
        String end = eos == null ? "</s>" : eos;
        String code = token(config.family, language.isEmpty() ? fallback(config.family) : language);
        boolean after = config.family == TokenizerFamily.MBART
                || config.family == TokenizerFamily.NLLB && config.flag("legacy_behaviour", false);
        return after
                ? new AffixBackend(inside, vocabulary, List.of(), List.of(end, code))
                : new AffixBackend(inside, vocabulary, List.of(code), List.of(end));
    }

    private static String fallback(TokenizerFamily family) {
        return switch (family) {
            case NLLB -> "eng_Latn";
            case M2M100 -> "en";
            default -> "en_XX";
        };
    }

    /** Fails when the model does not know the language. */
    static void check(TokenizerFamily family, Vocabulary vocabulary, String language) {
        if (vocabulary.id(token(family, language)) != null) return;
        List<String> known = known(family, vocabulary);
        throw new HeadstartException("this tokenizer has no language \"" + language + "\"; "
                + (known.isEmpty() ? "it has no language codes at all" : "known are " + String.join(", ", known)));
    }
}
