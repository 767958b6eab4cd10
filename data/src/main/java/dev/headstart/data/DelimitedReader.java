package dev.headstart.data;

import de.siegmar.fastcsv.reader.CloseableIterator;
import de.siegmar.fastcsv.reader.CsvParseException;
import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.CsvRecord;
import de.siegmar.fastcsv.reader.FieldMismatchStrategy;
import dev.headstart.HeadstartException;
import java.io.UncheckedIOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Comma or tab separated values, with or without a header line. */
final class DelimitedReader extends RowReader {
    private static final Logger LOG = LoggerFactory.getLogger(DelimitedReader.class);
    /** Never in text, so that tab separated files have no quote character. */
    private static final char NO_QUOTE = '\uFFFE';

    private static final int LOOK = 20;

    private final TextInput in;
    private final boolean tsv;
    private final CloseableIterator<CsvRecord> records;
    private final ArrayDeque<CsvRecord> pushed = new ArrayDeque<>();
    private final List<String> header;
    private boolean ended;

    DelimitedReader(TextInput in, ReadOptions options, Format format) {
        super(in.name, options);
        this.in = in;
        char separator = format == Format.TSV ? '\t' : separator(in.start());
        this.tsv = format == Format.TSV;
        if (format == Format.CSV && separator != ',') {
            LOG.info("{}: fields are separated by '{}'", in.name, separator == '\t' ? "\\t" : separator);
        }
        records = CsvReader.builder()
                .fieldSeparator(separator)
                .quoteCharacter(tsv ? NO_QUOTE : '"')
                .skipEmptyLines(false)
                .extraFieldStrategy(FieldMismatchStrategy.IGNORE)
                .missingFieldStrategy(FieldMismatchStrategy.IGNORE)
                .allowUnclosedQuote(false)
                .ofCsvRecord(in.reader())
                .iterator();
        CsvRecord first = pull();
        if (first == null) {
            header = List.of();
            return;
        }
        List<List<String>> rest = new ArrayList<>();
        while (pushed.size() < LOOK) {
            CsvRecord r = pull();
            if (r == null) {
                break;
            }
            pushed.add(r);
            rest.add(fields(r));
        }
        List<String> names = fields(first);
        boolean named = options.header() != null ? options.header() : looksLikeHeader(names, rest);
        if (!named) {
            pushed.addFirst(first);
            header = numbered(names.size());
            if (options.header() == null) {
                LOG.info(
                        "{}: no header line, columns are called {} (--header yes if the first line is one)",
                        in.name,
                        header);
            }
        } else {
            header = checkedNames(names);
        }
    }

    private static char separator(String start) {
        String first = start.lines().findFirst().orElse("").replaceAll("\"[^\"]*\"", "");
        if (first.indexOf(',') >= 0) {
            return ',';
        }
        return first.indexOf('\t') >= 0 ? '\t' : first.indexOf(';') >= 0 ? ';' : ',';
    }

    static boolean looksLikeHeader(List<String> first, List<List<String>> rest) {
        if (first.stream().anyMatch(Columns::isKnownName)) {
            return true;
        }
        Set<String> seen = new HashSet<>();
        boolean identifiers = true;
        for (int i = 0; i < first.size(); i++) {
            String f = first.get(i).strip();
            if ((f.isEmpty() && i > 0) || f.length() > 40 || Columns.isNumber(f) || !seen.add(f)) {
                return false;
            }
            identifiers &= f.isEmpty() || f.matches("[\\p{L}_][\\p{L}\\p{N}_.:-]*");
        }
        for (int i = 0; i < first.size(); i++) {
            int column = i;
            List<String> below = rest.stream()
                    .filter(r -> r.size() > column)
                    .map(r -> r.get(column))
                    .toList();
            if (!below.isEmpty() && below.stream().allMatch(Columns::isNumber)) {
                return true; // a name above numbers
            }
        }
        return identifiers && first.size() > 1 && !rest.isEmpty();
    }

    static List<String> numbered(int n) {
        List<String> names = new ArrayList<>();
        for (int i = 1; i <= n; i++) {
            names.add("column" + i);
        }
        return List.copyOf(names);
    }

    private List<String> checkedNames(List<String> names) {
        List<String> checked = new ArrayList<>();
        Set<String> seen = new HashSet<>();
        for (int i = 0; i < names.size(); i++) {
            String name = names.get(i).strip();
            name = name.isEmpty() ? "column" + (i + 1) : name;
            if (!seen.add(name)) {
                throw new HeadstartException(source() + " line 1: the header names column '" + name
                        + "' twice; rename one, or read without header: --header no");
            }
            checked.add(name);
        }
        return List.copyOf(checked);
    }

    private @Nullable CsvRecord pull() {
        if (ended) {
            return null;
        }
        try {
            if (records.hasNext()) {
                return records.next();
            }
        } catch (CsvParseException e) {
            ended = true;
            nextNumber();
            problems()
                    .report(
                            "broken csv",
                            source() + ": not valid csv: " + e.getMessage()
                                    + (e.getCause() != null
                                            ? " (" + e.getCause().getMessage() + ")"
                                            : "")
                                    + "; nothing after this place can be read");
        } catch (UncheckedIOException e) {
            throw TextInput.failure(source(), e);
        }
        ended = true;
        return null;
    }

    private List<String> fields(CsvRecord record) {
        if (!tsv) {
            return record.getFields();
        }
        List<String> plain = new ArrayList<>();
        for (String f : record.getFields()) {
            int n = f.length();
            boolean quoted = n >= 2
                    && f.charAt(0) == '"'
                    && f.charAt(n - 1) == '"'
                    && f.substring(1, n - 1).replace("\"\"", "").indexOf('"') < 0;
            plain.add(quoted ? f.substring(1, n - 1).replace("\"\"", "\"") : f);
        }
        return plain;
    }

    @Override
    List<String> header() {
        return header;
    }

    @Override
    @Nullable
    Row read() {
        while (true) {
            CsvRecord record = pushed.isEmpty() ? pull() : pushed.poll();
            if (record == null) {
                return null;
            }
            nextNumber();
            long line = record.getStartingLineNumber();
            List<String> fields = fields(record);
            Map<String, @Nullable Object> values = new LinkedHashMap<>();
            boolean blank = fields.stream().allMatch(String::isBlank);
            if (blank) {
                header.forEach(h -> values.put(h, ""));
                return row(line, values);
            }
            if (fields.size() != header.size()) {
                problems()
                        .report(
                                "ragged line",
                                at(line) + ": expected " + header.size() + (header.size() == 1 ? " field " : " fields ")
                                        + header
                                        + ", found " + fields.size() + ", the last '"
                                        + Row.shorten(fields.get(fields.size() - 1))
                                        + "' (fields that hold the separator need quotes)");
                continue;
            }
            String broken = null;
            for (int i = 0; i < fields.size(); i++) {
                String f = fields.get(i);
                if (f.indexOf(TextInput.NOT_UTF8) >= 0) {
                    broken = at(line) + ", column '" + header.get(i) + "': not UTF-8: '" + LineReader.visible(f) + "'";
                }
                values.put(header.get(i), f);
            }
            if (broken != null) {
                problems().report("not UTF-8", broken);
                continue;
            }
            return row(line, values);
        }
    }

    @Override
    boolean atEnd() {
        while (true) {
            if (!pushed.isEmpty()) {
                CsvRecord last = pushed.peekLast();
                if (!(last.getFields().stream().allMatch(String::isBlank))) {
                    return false;
                }
            }
            CsvRecord r = pull();
            if (r == null) {
                return pushed.stream().allMatch(p -> p.getFields().stream().allMatch(String::isBlank));
            }
            pushed.add(r);
        }
    }

    @Override
    public double fraction() {
        return in.fraction();
    }

    @Override
    public void close() {
        in.close();
    }
}
