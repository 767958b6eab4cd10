package dev.headstart.data;

/** What happens to a row that cannot be used. */
public enum OnError {
    /** The first bad row ends the run with an error that names file, row and column. */
    FAIL,
    /** Bad rows are left out, told of and counted. */
    SKIP
}
