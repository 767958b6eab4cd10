package dev.headstart.data;

import dev.headstart.HeadstartException;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * One row of a data set.
 *
 * @param source the file, for messages
 * @param number position among the data rows, from 1; rows that could not be read count too
 * @param line line in the file where it starts, from 1; 0 where there are no lines (Parquet, folders)
 * @param values by column: String, Long, Double, Boolean, List, Map or null
 */
public record Row(String source, long number, long line, Map<String, @Nullable Object> values) {
    /** Where it stands, for messages: {@code train.csv line 14 (row 13)}. */
    public String where() {
        return where(source, line, number);
    }

    static String where(String source, long line, long number) {
        return line > 0 ? source + " line " + line + " (row " + number + ")" : source + " row " + number;
    }

    /** Whether the column is there and not null. */
    public boolean has(String column) {
        return values.get(column) != null;
    }

    /**
     * The value as text; numbers as they print.
     *
     * @throws HeadstartException when the row has no such value
     */
    public String text(String column) {
        Object v = require(column);
        if (v instanceof List || v instanceof Map) {
            throw new HeadstartException(where() + ": column '" + column + "' holds a "
                    + (v instanceof List ? "list" : "object") + ", expected text");
        }
        return v.toString();
    }

    /**
     * The value as a number; text is parsed.
     *
     * @throws HeadstartException when it is missing or no number
     */
    public double number(String column) {
        Object v = require(column);
        if (v instanceof Number n) {
            return n.doubleValue();
        }
        try {
            return Double.parseDouble(v.toString().trim());
        } catch (NumberFormatException e) {
            throw new HeadstartException(
                    where() + ": column '" + column + "' holds '" + shorten(v.toString()) + "', expected a number", e);
        }
    }

    /**
     * The value as a list of texts.
     *
     * @throws HeadstartException when it is missing or no list
     */
    public List<String> texts(String column) {
        Object v = require(column);
        if (v instanceof List<?> list) {
            return list.stream().map(String::valueOf).toList();
        }
        throw new HeadstartException(
                where() + ": column '" + column + "' holds '" + shorten(v.toString()) + "', expected a list");
    }

    private Object require(String column) {
        Object v = values.get(column);
        if (v == null) {
            throw new HeadstartException(where() + ": "
                    + (values.containsKey(column) ? "column '" + column + "' is empty" : "no column '" + column + "'")
                    + "; the row has " + values.keySet());
        }
        return v;
    }

    static String shorten(String s) {
        String one = s.replace('\n', ' ').replace('\r', ' ');
        return one.length() <= 60 ? one : one.substring(0, 57) + "...";
    }
}
