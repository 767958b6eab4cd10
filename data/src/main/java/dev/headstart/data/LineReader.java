package dev.headstart.data;

import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** One text a line. */
final class LineReader extends RowReader {
    private final TextInput in;
    private final ArrayDeque<String> pushed = new ArrayDeque<>();
    private long line;

    LineReader(TextInput in, ReadOptions options) {
        super(in.name, options);
        this.in = in;
    }

    @Override
    List<String> header() {
        return List.of("text");
    }

    @Override
    @Nullable
    Row read() {
        while (true) {
            String text = pushed.isEmpty() ? in.readLine() : pushed.poll();
            if (text == null) {
                return null;
            }
            line++;
            nextNumber();
            if (text.indexOf(TextInput.NOT_UTF8) >= 0) {
                problems().report("not UTF-8", at(line) + ": not UTF-8: '" + visible(text) + "'");
                continue;
            }
            Map<String, @Nullable Object> values = new HashMap<>();
            values.put("text", text);
            return row(line, values);
        }
    }

    /** The text with U+FFFD where bytes were not UTF-8. */
    static String visible(String text) {
        int at = text.indexOf(TextInput.NOT_UTF8);
        return Row.shorten(text.substring(Math.max(0, at - 20)).replace(TextInput.NOT_UTF8, '\uFFFD'));
    }

    @Override
    boolean atEnd() {
        while (pushed.isEmpty() || pushed.peekLast().isBlank()) {
            String text = in.readLine();
            if (text == null) {
                return true;
            }
            pushed.add(text);
        }
        return false;
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
