package dev.headstart.data;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Token lines: the token first, its tag last, separated by tabs or else blanks; a blank line ends the sentence. CoNLL-2003's
 * {@code -DOCSTART-} lines are left out, WikiANN's language prefix ({@code en:token}) is taken off.
 */
final class ConllReader extends RowReader {
    private static final Pattern LANGUAGE = Pattern.compile("[a-z]{2,3}(-[a-z]+)?:.*");
    private static final String TOKENS = "tokens";
    private static final String TAGS = "ner_tags";

    private final TextInput in;
    private final int prefix;

    ConllReader(TextInput in, ReadOptions options) {
        super(in.name, options);
        this.in = in;
        List<String> first =
                in.start().lines().filter(l -> !l.isBlank()).limit(10).toList();
        String language =
                first.isEmpty() ? "" : first.get(0).substring(0, first.get(0).indexOf(':') + 1);
        boolean all = !language.isEmpty()
                && LANGUAGE.matcher(first.get(0)).matches()
                && first.stream().allMatch(l -> l.startsWith(language));
        this.prefix = all ? language.length() : 0;
    }

    @Override
    List<String> header() {
        return List.of(TOKENS, TAGS);
    }

    @Override
    @Nullable
    Row read() {
        while (true) {
            List<String> tokens = new ArrayList<>();
            List<String> tags = new ArrayList<>();
            long start = 0;
            String bad = null;
            String kind = "";
            String text;
            while ((text = in.readLine()) != null) {
                if (text.isBlank() || text.startsWith("-DOCSTART-")) {
                    if (start > 0) {
                        break;
                    }
                    continue;
                }
                if (start == 0) {
                    start = in.line();
                    nextNumber();
                }
                String[] parts =
                        text.indexOf('\t') >= 0 ? text.split("\t") : text.trim().split(" +");
                if (parts.length < 2 || parts[0].length() <= prefix) {
                    kind = "ragged line";
                    bad = at(in.line()) + ": expected a token and its tag, found '" + Row.shorten(text) + "'";
                } else if (text.indexOf(TextInput.NOT_UTF8) >= 0) {
                    kind = "not UTF-8";
                    bad = at(in.line()) + ": not UTF-8: '" + LineReader.visible(text) + "'";
                } else {
                    tokens.add(parts[0].substring(prefix));
                    tags.add(parts[parts.length - 1].strip());
                }
            }
            if (bad != null) {
                problems().report(kind, bad);
                continue;
            }
            if (start == 0) {
                return null;
            }
            Map<String, @Nullable Object> values = new LinkedHashMap<>();
            values.put(TOKENS, tokens);
            values.put(TAGS, tags);
            return row(start, values);
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
