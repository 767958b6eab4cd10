package dev.headstart.data;

import org.jspecify.annotations.Nullable;

/**
 * How {@link RowReader#open} reads.
 *
 * @param format null: by the file's name, else by its first lines
 * @param onError what to do with rows that cannot be read; null: the first one fails, and nobody is asked whether it should
 * @param header whether the first line of csv and tsv names the columns; null: by looking at it
 * @param emptyRows what to do with blank lines and rows of empty fields
 */
public record ReadOptions(
        @Nullable Format format,
        @Nullable OnError onError,
        @Nullable Boolean header,
        EmptyRows emptyRows) {
    /** Blank lines and rows of empty fields. */
    public enum EmptyRows {
        /** A bad row, as any other. */
        REPORT,
        /** Given to the caller as an empty row. */
        KEEP,
        /** Left out without a word. */
        DROP
    }

    /** Everything found out from the file, the first bad row fails. */
    public static ReadOptions defaults() {
        return new ReadOptions(null, null, null, EmptyRows.REPORT);
    }

    /** The same with this format; null finds it out. */
    public ReadOptions withFormat(@Nullable Format value) {
        return new ReadOptions(value, onError, header, emptyRows);
    }

    /** The same with this treatment of bad rows. */
    public ReadOptions withOnError(@Nullable OnError value) {
        return new ReadOptions(format, value, header, emptyRows);
    }

    /** The same with or without a header line; null finds it out. */
    public ReadOptions withHeader(@Nullable Boolean value) {
        return new ReadOptions(format, onError, value, emptyRows);
    }

    /** The same with this treatment of empty rows. */
    public ReadOptions withEmptyRows(EmptyRows value) {
        return new ReadOptions(format, onError, header, value);
    }
}
