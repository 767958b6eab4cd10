package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Truncation;

/**
 * What a call may say to the tokenizer, under transformers' names.
 *
 * @param truncation which text of a pair is cut when there are too many tokens
 * @param maxLength most tokens; never more than the model takes
 * @param specialTokens whether [CLS], [SEP] and their like are added
 */
record TokenizerArguments(Truncation truncation, int maxLength, boolean specialTokens) {
    /** Cut at the tokenizer's limit. */
    static final TokenizerArguments CUT = new TokenizerArguments(Truncation.LONGEST_FIRST, Integer.MAX_VALUE, true);

    /** Nothing is cut but what the model cannot take. */
    static final TokenizerArguments NONE = new TokenizerArguments(Truncation.NONE, Integer.MAX_VALUE, true);

    /** Reads {@code truncation}, {@code max_length} and {@code add_special_tokens}; the rest is of no consequence to what a pipeline returns. */
    static TokenizerArguments of(JsonNode arguments) {
        JsonNode length = arguments.path("max_length");
        if (!length.isMissingNode() && !length.isNull() && (!length.isInt() || length.asInt() < 1)) {
            throw new HeadstartException("max_length must be a whole number above 0, found " + length);
        }
        JsonNode asked = arguments.path("truncation");
        boolean cuts =
                asked.isMissingNode() || asked.isNull() ? length.isInt() : asked.isTextual() || asked.asBoolean();
        Truncation truncation =
                !cuts ? Truncation.NONE : asked.isTextual() ? strategy(asked.asText()) : Truncation.LONGEST_FIRST;
        return new TokenizerArguments(
                truncation,
                length.isInt() && truncation != Truncation.NONE ? length.asInt() : Integer.MAX_VALUE,
                arguments.path("add_special_tokens").asBoolean(true));
    }

    private static Truncation strategy(String name) {
        return switch (name) {
            case "longest_first" -> Truncation.LONGEST_FIRST;
            case "only_first" -> Truncation.ONLY_FIRST;
            case "only_second" -> Truncation.ONLY_SECOND;
            case "do_not_truncate" -> Truncation.NONE;
            default ->
                throw new HeadstartException(
                        "truncation must be true, false, longest_first, only_first, only_second or do_not_truncate, found "
                                + name);
        };
    }

    EncodeOptions options() {
        return EncodeOptions.DEFAULT.withSpecialTokens(specialTokens);
    }
}
