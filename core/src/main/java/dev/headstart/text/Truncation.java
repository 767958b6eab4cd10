package dev.headstart.text;

/** Which text of a pair loses tokens when there are too many (transformers {@code truncation=}). */
public enum Truncation {
    /** Nothing is cut. */
    NONE,
    /** The longer of the two, token by token. */
    LONGEST_FIRST,
    /** Only the first. */
    ONLY_FIRST,
    /** Only the second, as in question answering. */
    ONLY_SECOND
}
