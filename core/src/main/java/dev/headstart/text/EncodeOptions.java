package dev.headstart.text;

import org.jspecify.annotations.Nullable;

/**
 * How texts are made into model inputs; the names and meanings are those of transformers' {@code tokenizer(...)}.
 *
 * @param addSpecialTokens whether the tokenizer's template is applied ([CLS] ... [SEP])
 * @param padding what the batch is padded to
 * @param truncation what is cut where the text is longer than {@code maxLength}
 * @param maxLength limit for both in tokens, special tokens counted; 0 means the model's own limit
 * @param stride tokens shared by two successive pieces of one text when {@code overflow} is set
 * @param padToMultipleOf rounds the padded length up; 0 for no rounding
 * @param paddingSide null for the tokenizer's own
 * @param truncationSide null for the tokenizer's own
 * @param overflow whether the pieces that were cut off come back as further encodings
 */
public record EncodeOptions(
        boolean addSpecialTokens,
        Padding padding,
        Truncation truncation,
        int maxLength,
        int stride,
        int padToMultipleOf,
        @Nullable Side paddingSide,
        @Nullable Side truncationSide,
        boolean overflow) {

    /** Special tokens, no padding, no truncation. */
    public static final EncodeOptions DEFAULT =
            new EncodeOptions(true, Padding.NONE, Truncation.NONE, 0, 0, 0, null, null, false);

    /** Special tokens, padding to the longest text, truncation to the model's limit. */
    public static final EncodeOptions BATCH =
            DEFAULT.withPadding(Padding.LONGEST).withTruncation(Truncation.LONGEST_FIRST);

    /** These options with or without the tokenizer's template. */
    public EncodeOptions withSpecialTokens(boolean value) {
        return new EncodeOptions(
                value, padding, truncation, maxLength, stride, padToMultipleOf, paddingSide, truncationSide, overflow);
    }

    /** These options with another padding. */
    public EncodeOptions withPadding(Padding value) {
        return new EncodeOptions(
                addSpecialTokens,
                value,
                truncation,
                maxLength,
                stride,
                padToMultipleOf,
                paddingSide,
                truncationSide,
                overflow);
    }

    /** These options with another truncation. */
    public EncodeOptions withTruncation(Truncation value) {
        return new EncodeOptions(
                addSpecialTokens,
                padding,
                value,
                maxLength,
                stride,
                padToMultipleOf,
                paddingSide,
                truncationSide,
                overflow);
    }

    /** These options with a limit in tokens; 0 means the model's own. */
    public EncodeOptions withMaxLength(int value) {
        return new EncodeOptions(
                addSpecialTokens,
                padding,
                truncation,
                value,
                stride,
                padToMultipleOf,
                paddingSide,
                truncationSide,
                overflow);
    }

    /** These options with the pieces that were cut off returned too, successive ones sharing {@code value} tokens. */
    public EncodeOptions withOverflow(int value) {
        return new EncodeOptions(
                addSpecialTokens,
                padding,
                truncation,
                maxLength,
                value,
                padToMultipleOf,
                paddingSide,
                truncationSide,
                true);
    }

    /** These options with the padded length rounded up to a multiple. */
    public EncodeOptions withPadToMultipleOf(int value) {
        return new EncodeOptions(
                addSpecialTokens, padding, truncation, maxLength, stride, value, paddingSide, truncationSide, overflow);
    }

    /** These options with a padding side other than the tokenizer's own. */
    public EncodeOptions withPaddingSide(Side value) {
        return new EncodeOptions(
                addSpecialTokens,
                padding,
                truncation,
                maxLength,
                stride,
                padToMultipleOf,
                value,
                truncationSide,
                overflow);
    }

    /** These options with a truncation side other than the tokenizer's own. */
    public EncodeOptions withTruncationSide(Side value) {
        return new EncodeOptions(
                addSpecialTokens,
                padding,
                truncation,
                maxLength,
                stride,
                padToMultipleOf,
                paddingSide,
                value,
                overflow);
    }
}
