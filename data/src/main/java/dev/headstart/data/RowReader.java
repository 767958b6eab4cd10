package dev.headstart.data;

import dev.headstart.HeadstartException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Reads a data set row by row, whatever its format, in constant memory: csv, tsv, jsonl, json (also SQuAD), text lines, CoNLL-like token
 * lines, Parquet, image and audio folders; gzip is unpacked; {@code -} is standard input. Text must be UTF-8. Not thread-safe.
 */
public abstract class RowReader implements AutoCloseable {
    private static final int LOOK = 100;
    private static final Pattern TAGGED = Pattern.compile("\\S+.*[\\t ](O|[BIESUL]-\\S+)");

    private final String source;
    private final ReadOptions options;
    private final Problems problems;
    private final ArrayDeque<Row> ahead = new ArrayDeque<>();
    private @Nullable List<String> columns;
    private long number;

    RowReader(String source, ReadOptions options) {
        this.source = source;
        this.options = options;
        this.problems = new Problems(options.onError());
    }

    /**
     * Opens a file, a folder or standard input.
     *
     * @param input path, or {@code -}
     * @throws HeadstartException when it is not there, not of its format, or no text
     */
    public static RowReader open(String input, ReadOptions options) {
        return input.equals("-") ? openText(null, options) : open(Path.of(input), options);
    }

    /**
     * Opens a file or folder.
     *
     * @throws HeadstartException when it is not there, not of its format, or no text
     */
    public static RowReader open(Path path, ReadOptions options) {
        if (!Files.exists(path)) {
            throw new HeadstartException(path + ": no such file or folder");
        }
        if (Files.isDirectory(path)) {
            return FolderReader.ofFolder(path, options);
        }
        Format format = options.format() != null ? options.format() : Format.byName(path);
        if (format == Format.PARQUET || (format == null && Parquet.is(path))) {
            return Parquet.reader(path, options);
        }
        if (format == Format.IMAGEFOLDER || format == Format.AUDIOFOLDER) {
            throw new HeadstartException(path + ": expected a folder, found a file");
        }
        return openText(path, options.withFormat(format));
    }

    private static RowReader openText(@Nullable Path path, ReadOptions options) {
        TextInput in = TextInput.open(path);
        try {
            Format format = options.format() != null ? options.format() : sniff(in.start());
            return switch (format) {
                case CSV, TSV -> new DelimitedReader(in, options, format);
                case JSONL -> new JsonRowReader(in, options, true);
                case JSON -> new JsonRowReader(in, options, false);
                case CONLL -> new ConllReader(in, options);
                case TXT -> new LineReader(in, options);
                case PARQUET, IMAGEFOLDER, AUDIOFOLDER ->
                    throw new HeadstartException(
                            in.name + ": " + format + " cannot be read from a stream; give a path");
            };
        } catch (RuntimeException e) {
            in.close();
            throw e;
        }
    }

    /** What the first lines look like, for names that do not say. */
    private static Format sniff(String start) {
        String text = start.stripLeading();
        String first = text.lines().findFirst().orElse("");
        if (text.startsWith("[")
                && (text.startsWith("[{") || text.substring(1).stripLeading().startsWith("{"))) {
            return Format.JSON;
        }
        if (text.startsWith("{")) {
            return first.stripTrailing().endsWith("}") ? Format.JSONL : Format.JSON;
        }
        List<String> lines = text.lines().filter(l -> !l.isBlank()).limit(20).toList();
        if (lines.size() > 1
                && lines.stream().filter(l -> TAGGED.matcher(l).matches()).count() >= lines.size() - 1) {
            return Format.CONLL;
        }
        if (first.indexOf('\t') >= 0) {
            return Format.TSV;
        }
        boolean header = first.indexOf(',') > 0
                && java.util.Arrays.stream(first.split(","))
                        .anyMatch(c -> Columns.isKnownName(c.replace("\"", "").strip()));
        return header ? Format.CSV : Format.TXT;
    }

    /** The next row, null at the end. */
    public final @Nullable Row next() {
        Row row = ahead.poll();
        return row != null ? row : advance();
    }

    /** Up to n coming rows; they stay to be read. */
    public final List<Row> peek(int n) {
        while (ahead.size() < n) {
            Row row = advance();
            if (row == null) {
                break;
            }
            ahead.add(row);
        }
        return ahead.stream().limit(n).toList();
    }

    private @Nullable Row advance() {
        while (true) {
            Row row = read();
            if (row == null || options.emptyRows() == ReadOptions.EmptyRows.KEEP || !isEmpty(row)) {
                return row;
            }
            if (options.emptyRows() == ReadOptions.EmptyRows.REPORT) {
                if (row.line() > 0 && atEnd()) {
                    return null; // blank lines at the end of a file are harmless
                }
                problems.report("empty row", row.where() + ": the row is empty");
            }
        }
    }

    private static boolean isEmpty(Row row) {
        for (Object v : row.values().values()) {
            if (v != null && !(v instanceof String s && s.isBlank())) {
                return false;
            }
        }
        return true;
    }

    /**
     * Names of the columns in order: from the header, else from the first rows.
     */
    public final List<String> columns() {
        List<String> known = columns;
        if (known == null) {
            known = header();
            if (known == null) {
                Set<String> names = new LinkedHashSet<>();
                peek(LOOK).forEach(r -> names.addAll(r.values().keySet()));
                known = List.copyOf(names);
            }
            columns = known;
        }
        return known;
    }

    /** The input's name, for messages. */
    public final String source() {
        return source;
    }

    /** Bad rows so far; also for problems that the caller finds in a row. */
    public final Problems problems() {
        return problems;
    }

    /** How bad and empty rows are treated. */
    public final ReadOptions options() {
        return options;
    }

    /** How much of the input has been read, from 0 to 1; NaN where nobody knows (standard input, folders). It runs a little ahead of the rows. */
    public double fraction() {
        return Double.NaN;
    }

    /** Column names where the format states them, else null. */
    @Nullable
    List<String> header() {
        return null;
    }

    /** The next row, or null; problems go to {@link #problems}. */
    abstract @Nullable Row read();

    /** Whether nothing but blank lines follows; may read on. */
    boolean atEnd() {
        return false;
    }

    final long rowNumber() {
        return number;
    }

    final long nextNumber() {
        return ++number;
    }

    final Row row(long line, Map<String, @Nullable Object> values) {
        return new Row(source, number, line, values);
    }

    final String at(long line) {
        return Row.where(source, line, number);
    }

    @Override
    public abstract void close();

    /** All remaining rows; for small files. */
    public final List<Row> readAll() {
        List<Row> rows = new ArrayList<>();
        for (Row r = next(); r != null; r = next()) {
            rows.add(r);
        }
        return rows;
    }
}
