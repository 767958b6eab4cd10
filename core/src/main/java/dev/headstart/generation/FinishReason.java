package dev.headstart.generation;

/** Why a row's text ended. */
public enum FinishReason {
    /** An end token, or a stop string. */
    STOP,
    /** The most tokens that were asked for, or that the model can read. */
    LENGTH,
    /** The time that was given ({@code max_time}). */
    TIME,
    /** The caller cancelled. */
    CANCELLED
}
