package dev.headstart.text;

/** What a batch is padded to (transformers {@code padding=}). */
public enum Padding {
    /** Not at all. */
    NONE,
    /** The longest text of the batch. */
    LONGEST,
    /** {@link EncodeOptions#maxLength()}, or the model's limit. */
    MAX_LENGTH
}
