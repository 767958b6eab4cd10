package dev.headstart.text;

/** Where a sequence is padded or cut. */
public enum Side {
    /** At its start. */
    LEFT,
    /** At its end. */
    RIGHT
}
