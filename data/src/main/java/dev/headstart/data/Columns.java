package dev.headstart.data;

import dev.headstart.HeadstartException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Which column plays which part: as the caller says, else by the names people use, else by what the first rows hold. What was found out is
 * logged, so that nobody trains on the wrong column unawares.
 */
public final class Columns {
    /** Parts that columns play in the tasks. */
    public enum Role {
        /** The text; of a pair, the first. */
        TEXT(
                "text",
                "sentence",
                "sentence1",
                "sentence_1",
                "content",
                "review",
                "document",
                "premise",
                "question1",
                "anchor",
                "query",
                "text_a",
                "utterance",
                "body"),
        /** The second text of a pair. */
        TEXT_PAIR("text_pair", "sentence2", "sentence_2", "hypothesis", "question2", "positive", "text_b", "passage"),
        /** A text that is unlike the first; of a triplet, the third. */
        NEGATIVE("negative", "negatives", "hard_negative"),
        /** The class. */
        LABEL("label", "class", "category", "target", "sentiment", "labels", "y", "topic", "intent"),
        /** Several classes at once. */
        LABELS("labels", "classes", "tags", "categories"),
        /** A number to predict. */
        SCORE("score", "similarity", "similarity_score", "rating", "label", "value"),
        /** Names the row. */
        ID("id", "_id", "idx", "guid", "uid", "uuid"),
        /** Words of a sentence, a list. */
        TOKENS("tokens", "words"),
        /** Their tags, a list. */
        TAGS("ner_tags", "tags", "pos_tags", "labels"),
        /** What is asked. */
        QUESTION("question", "query"),
        /** Where the answer stands. */
        CONTEXT("context", "passage", "paragraph"),
        /** SQuAD's answers: text and answer_start. */
        ANSWERS("answers", "answer"),
        /** Text to text: the input. */
        SOURCE("source", "input", "dialogue", "article", "document", "src", "en", "text"),
        /** Text to text: the output. */
        TARGET("target", "output", "summary", "highlights", "section_text", "translation", "tgt", "de", "label"),
        /** A conversation, a list of {"role", "content"}. */
        MESSAGES("messages", "conversations", "conversation"),
        /** What a text generator is given. */
        PROMPT("prompt", "instruction", "question"),
        /** What a text generator is to answer. */
        COMPLETION("completion", "response", "answer", "output"),
        /** Which of several tasks a row belongs to. */
        TASK("task"),
        /** Path of an image. */
        IMAGE("image", "image_path", "file", "file_name", "filename", "path"),
        /** Path of a sound. */
        AUDIO("audio", "audio_path", "file", "file_name", "filename", "path");

        private final List<String> names;

        Role(String... names) {
            this.names = List.of(names);
        }

        /** Names that columns of this role commonly have, the most telling first. */
        public List<String> names() {
            return names;
        }

        String shown() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    private static final Logger LOG = LoggerFactory.getLogger(Columns.class);
    private static final int LOOK = 200;
    private static final Pattern WHOLE = Pattern.compile("[-+]?\\d+(\\.0*)?");
    private static final Set<String> KNOWN = java.util.Arrays.stream(Role.values())
            .flatMap(r -> r.names.stream())
            .filter(n -> n.length() > 2 || n.equals("id"))
            .collect(Collectors.toUnmodifiableSet());

    private final Map<Role, String> byRole;

    private Columns(Map<Role, String> byRole) {
        this.byRole = byRole;
    }

    static boolean isKnownName(String name) {
        return KNOWN.contains(name.strip().toLowerCase(Locale.ROOT));
    }

    static boolean isNumber(String s) {
        String t = s.strip();
        if (t.isEmpty() || Character.isLetter(t.charAt(t.length() - 1))) {
            return false;
        }
        try {
            Double.parseDouble(t);
            return true;
        } catch (NumberFormatException e) {
            return false;
        }
    }

    /**
     * Finds the columns of the wanted roles.
     *
     * @param reader stays at its first row
     * @param given columns that the caller names
     * @param required roles without which nothing can be done
     * @param optional roles that may be missing; they are only taken by name, never by content
     * @throws HeadstartException when a named column is not there, or none fits a required role; the message lists the columns
     */
    public static Columns infer(RowReader reader, Map<Role, String> given, List<Role> required, List<Role> optional) {
        List<String> columns = reader.columns();
        Map<Role, String> found = new EnumMap<>(Role.class);
        Set<String> taken = new HashSet<>();
        given.forEach((role, name) -> {
            if (!columns.contains(name)) {
                throw new HeadstartException(reader.source() + ": no column '" + name + "' (wanted as " + role.shown()
                        + "); its columns are " + columns);
            }
            found.put(role, name);
            taken.add(name);
        });
        List<String> guessed = new ArrayList<>();
        for (List<Role> roles : List.of(required, optional)) {
            for (Role role : roles) {
                if (!found.containsKey(role)) {
                    String name = byName(role, columns, taken);
                    if (name != null) {
                        found.put(role, name);
                        taken.add(name);
                    }
                }
            }
        }
        List<Row> rows = reader.peek(LOOK);
        boolean single = !required.contains(Role.TEXT_PAIR)
                && !required.contains(Role.TARGET)
                && !required.contains(Role.CONTEXT);
        for (Role role : required) {
            if (!found.containsKey(role)) {
                String name = byContent(reader.source().toString(), role, single, columns, taken, rows);
                if (name == null) {
                    throw new HeadstartException(
                            reader.source() + ": no column for " + role.shown() + ": expected one of "
                                    + role.names + ", its columns are " + columns + "; name it (--column "
                                    + role.shown() + "=NAME)");
                }
                found.put(role, name);
                taken.add(name);
                guessed.add(name);
            }
        }
        if (LOG.isInfoEnabled()) {
            Function<Map.Entry<Role, String>, String> show = e -> e.getKey().shown() + " = '" + e.getValue() + "'"
                    + (guessed.contains(e.getValue()) ? " (by content)" : "");
            LOG.info(
                    "{}: columns {}; using {}",
                    reader.source(),
                    columns,
                    found.entrySet().stream().map(show).collect(Collectors.joining(", ")));
        }
        return new Columns(found);
    }

    private static @Nullable String byName(Role role, List<String> columns, Set<String> taken) {
        for (String wanted : role.names) {
            for (String c : columns) {
                if (c.equalsIgnoreCase(wanted) && !taken.contains(c)) {
                    return c;
                }
            }
        }
        return null;
    }

    private static @Nullable String byContent(
            String source, Role role, boolean single, List<String> columns, Set<String> taken, List<Row> rows) {
        String best = null;
        double bestScore = 0;
        List<String> labels = new ArrayList<>();
        for (String c : columns) {
            if (taken.contains(c)) {
                continue;
            }
            double score = fitness(role, single, c, rows);
            if (role == Role.LABEL && score > 0) {
                labels.add(c);
            }
            if (score > bestScore) {
                best = c;
                bestScore = score;
            }
        }
        if (labels.size() > 1 && bestScore <= 1000) { // numbers alone: a count or a code looks like a class
            throw new HeadstartException(source + ": the columns " + labels
                    + " hold numbers, and each could be the label; name the one that is (--column label=NAME)");
        }
        return best;
    }

    /** How well what the column holds fits the role; 0 when it does not. Of equals, the first column wins. */
    private static double fitness(Role role, boolean single, String column, List<Row> rows) {
        int n = 0;
        int numbers = 0;
        int lists = 0;
        boolean whole = true;
        long chars = 0;
        Set<String> distinct = new LinkedHashSet<>();
        for (Row r : rows) {
            Object v = r.values().get(column);
            if (v == null) {
                continue;
            }
            n++;
            if (v instanceof List) {
                lists++;
            } else if (v instanceof Number || isNumber(v.toString())) {
                numbers++;
                whole &= WHOLE.matcher(v.toString().strip()).matches();
            }
            chars += v.toString().length();
            distinct.add(v.toString());
        }
        if (n == 0) {
            return 0;
        }
        double length = (double) chars / n;
        boolean numeric = numbers == n;
        boolean text = lists == 0 && !numeric;
        return switch (role) {
            case TEXT, TEXT_PAIR, SOURCE, TARGET, QUESTION, CONTEXT, NEGATIVE -> {
                if (!text || distinct.size() <= Math.min(2, n - 1)) {
                    yield 0;
                }
                // Texts of a pair come in column order; a text alone is the longest column.
                yield length < 12 ? length : single ? 100 + Math.min(length, 200) : 100;
            }
            case LABEL ->
                lists == 0 && distinct.size() <= Math.max(2, Math.min(200, n / 2)) && length < 40
                        ? (numeric ? whole ? 1 : 0.001 : 1000) * (1000.0 / distinct.size())
                        : 0;
            case SCORE -> numeric ? distinct.size() : 0;
            case TOKENS -> lists == n ? length : 0;
            case TAGS, LABELS -> lists == n ? 1 : 0;
            case ID, ANSWERS, MESSAGES, PROMPT, COMPLETION, TASK, IMAGE, AUDIO -> 0;
        };
    }

    /** Whether there is a column of this role. */
    public boolean has(Role role) {
        return byRole.containsKey(role);
    }

    /** The column of this role, or null. */
    public @Nullable String find(Role role) {
        return byRole.get(role);
    }

    /**
     * The column of this role.
     *
     * @throws HeadstartException when none was found
     */
    public String get(Role role) {
        String name = byRole.get(role);
        if (name == null) {
            throw new HeadstartException("no column was found for " + role.shown() + "; found " + byRole);
        }
        return name;
    }

    @Override
    public String toString() {
        return byRole.toString();
    }
}
