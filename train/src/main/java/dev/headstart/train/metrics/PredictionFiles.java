package dev.headstart.train.metrics;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.ReadOptions;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Evaluates predictions that stand in a file against references that stand in another (or in other columns of the same). Rows are matched by id where
 * both sides have one, else by their order.
 */
public final class PredictionFiles {
    /** What is compared with what. */
    public enum Task {
        /** Labels. */
        TEXT_CLASSIFICATION(
                "text-classification", "image-classification", "audio-classification", "zero-shot-classification"),
        /** Lists of labels. */
        MULTI_LABEL_CLASSIFICATION("multi-label-classification"),
        /** Numbers. */
        REGRESSION("regression", "sentence-similarity"),
        /** Lists of tags, compared as entities. */
        TOKEN_CLASSIFICATION("token-classification"),
        /** Texts against SQuAD answers. */
        QUESTION_ANSWERING("question-answering"),
        /** Texts by BLEU and chrF. */
        TRANSLATION("translation"),
        /** Texts by ROUGE. */
        SUMMARIZATION("summarization", "text2text-generation"),
        /** Columns {@code nll} (sum of a text's token losses) and {@code tokens} of the predictions alone. */
        LANGUAGE_MODELING("text-generation", "fill-mask", "language-modeling");

        private final List<String> names;

        Task(String... names) {
            this.names = List.of(names);
        }

        /**
         * By its name on the command line.
         *
         * @throws HeadstartException when it is not known; the message lists what is
         */
        public static Task of(String name) {
            for (Task t : values()) {
                if (t.names.contains(name)) {
                    return t;
                }
            }
            throw new HeadstartException(
                    "task '" + name + "' cannot be evaluated: expected one of " + String.join(", ", names()));
        }

        /** All names. */
        public static List<String> names() {
            return Arrays.stream(values()).flatMap(t -> t.names.stream()).toList();
        }
    }

    /**
     * What to read and how to compare.
     *
     * @param predictionColumn null: by the names people use
     * @param referenceColumn null: by the names people use
     * @param labels all labels in the order of the probabilities; null: those that occur, sorted
     * @param scheme tagging scheme of the strict mode; null for seqeval's default
     * @param stem whether ROUGE stems words
     * @param bleu how BLEU compares
     */
    public record Settings(
            @Nullable String predictionColumn,
            @Nullable String referenceColumn,
            @Nullable List<String> labels,
            SeqEval.@Nullable Scheme scheme,
            boolean stem,
            Bleu.Settings bleu,
            Evaluation.Options bootstrap) {
        /** Everything found out, default intervals. */
        public static Settings defaults() {
            return new Settings(null, null, null, null, false, Bleu.Settings.DEFAULT, Evaluation.Options.defaults());
        }
    }

    private static final Logger LOG = LoggerFactory.getLogger(PredictionFiles.class);
    private static final List<String> PREDICTED = List.of(
            "prediction",
            "predictions",
            "predicted",
            "pred",
            "predicted_label",
            "predicted_labels",
            "predicted_tags",
            "prediction_text",
            "answer",
            "translation_text",
            "summary_text",
            "generated_text",
            "label",
            "labels",
            "ner_tags",
            "tags",
            "score",
            "similarity",
            "output",
            "text");

    private PredictionFiles() {}

    /**
     * Reads both files and compares.
     *
     * @param references null only for language modelling
     * @throws HeadstartException when a file, a column or a row's partner is missing
     */
    public static Evaluation evaluate(Task task, Path predictions, @Nullable Path references, Settings s) {
        List<Row> p = read(predictions, task);
        if (task == Task.LANGUAGE_MODELING) {
            return Evaluation.languageModel(numbers(p, "nll"), numbers(p, "tokens"), s.bootstrap());
        }
        if (references == null) {
            throw new HeadstartException("--references is missing: the file with the right answers");
        }
        List<Row> r = read(references, task);
        p = matched(p, r, predictions, references);
        if (r.isEmpty()) {
            throw new HeadstartException(references + ": there are no rows to evaluate");
        }
        String pc = column(p.get(0), s.predictionColumn(), PREDICTED);
        String rc = column(r.get(0), s.referenceColumn(), referenceNames(task));
        LOG.info("comparing column '{}' of {} with column '{}' of {}", pc, predictions, rc, references);
        return switch (task) {
            case TEXT_CLASSIFICATION -> classification(r, rc, p, pc, s);
            case MULTI_LABEL_CLASSIFICATION -> multiLabel(r, rc, p, pc, s);
            case REGRESSION -> Evaluation.regression(numbers(r, rc), numbers(p, pc), s.bootstrap());
            case TOKEN_CLASSIFICATION -> entities(r, rc, p, pc, s);
            case QUESTION_ANSWERING ->
                Evaluation.answers(r.stream().map(x -> answers(x, rc)).toList(), texts(p, pc), s.bootstrap());
            case TRANSLATION ->
                Evaluation.translation(
                        r.stream().map(x -> several(x, rc)).toList(), texts(p, pc), s.bleu(), s.bootstrap());
            case SUMMARIZATION ->
                Evaluation.summarization(
                        r.stream().map(x -> several(x, rc)).toList(), texts(p, pc), s.stem(), s.bootstrap());
            case LANGUAGE_MODELING -> throw new IllegalStateException("returned above");
        };
    }

    private static List<String> referenceNames(Task task) {
        List<String> names = new ArrayList<>(List.of("reference", "references", "gold", "expected"));
        switch (task) {
            case TEXT_CLASSIFICATION -> names.addAll(Role.LABEL.names());
            case MULTI_LABEL_CLASSIFICATION -> names.addAll(Role.LABELS.names());
            case REGRESSION -> names.addAll(Role.SCORE.names());
            case TOKEN_CLASSIFICATION -> names.addAll(Role.TAGS.names());
            case QUESTION_ANSWERING -> names.addAll(Role.ANSWERS.names());
            case TRANSLATION, SUMMARIZATION -> names.addAll(Role.TARGET.names());
            case LANGUAGE_MODELING -> {}
        }
        names.add("text");
        return names;
    }

    private static List<Row> read(Path file, Task task) {
        if (task == Task.QUESTION_ANSWERING
                && String.valueOf(file.getFileName()).endsWith(".json")) {
            List<Row> official = answersById(file);
            if (official != null) {
                return official;
            }
        }
        // A row must stay a row: an empty line is an empty prediction.
        ReadOptions options = ReadOptions.defaults().withEmptyRows(ReadOptions.EmptyRows.KEEP);
        try (RowReader reader = RowReader.open(file, options)) {
            return reader.readAll();
        }
    }

    /** SQuAD's prediction file: one object from id to answer. */
    private static @Nullable List<Row> answersById(Path file) {
        try {
            JsonNode node = new ObjectMapper().readTree(Files.readAllBytes(file));
            if (node == null
                    || !node.isObject()
                    || node.isEmpty()
                    || !node.properties().stream().allMatch(e -> e.getValue().isTextual())) {
                return null;
            }
            List<Row> rows = new ArrayList<>();
            node.properties().forEach(e -> {
                Map<String, @Nullable Object> values = new LinkedHashMap<>();
                values.put("id", e.getKey());
                values.put("prediction", e.getValue().textValue());
                rows.add(new Row(file.toString(), rows.size() + 1L, 0, values));
            });
            return rows;
        } catch (JsonProcessingException e) {
            return null; // the row reader says what is wrong with it
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be read: " + e.getMessage(), e);
        }
    }

    private static @Nullable String idColumn(List<Row> rows) {
        if (rows.isEmpty()) {
            return null;
        }
        Set<String> columns = rows.get(0).values().keySet();
        for (String name : Role.ID.names()) {
            for (String c : columns) {
                if (c.equalsIgnoreCase(name) && rows.stream().allMatch(r -> r.has(c)) && distinct(rows, c)) {
                    return c;
                }
            }
        }
        return null;
    }

    private static boolean distinct(List<Row> rows, String column) {
        return rows.stream().map(r -> r.text(column)).distinct().count() == rows.size();
    }

    /** The predictions in the order of the references. */
    private static List<Row> matched(List<Row> p, List<Row> r, Path predictions, Path references) {
        String pid = idColumn(p);
        String rid = idColumn(r);
        if (pid == null || rid == null) {
            if (p.size() != r.size()) {
                throw new HeadstartException(
                        predictions + " has " + p.size() + " rows, " + references + " has " + r.size()
                                + ": expected as many predictions as references (rows are matched by order, as no id column is on both sides)");
            }
            return p;
        }
        Map<String, Row> byId = new HashMap<>();
        p.forEach(row -> byId.put(row.text(pid), row));
        List<Row> ordered = new ArrayList<>();
        for (Row row : r) {
            Row partner = byId.get(row.text(rid));
            if (partner == null) {
                throw new HeadstartException(
                        predictions + ": no prediction for id '" + row.text(rid) + "' of " + row.where());
            }
            ordered.add(partner);
        }
        if (p.size() > r.size()) {
            LOG.warn("{}: {} predictions have no reference and are left out", predictions, p.size() - r.size());
        }
        return ordered;
    }

    private static String column(Row row, @Nullable String given, List<String> names) {
        Set<String> columns = row.values().keySet();
        if (given != null) {
            if (!columns.contains(given)) {
                throw new HeadstartException(row.source() + ": no column '" + given + "', its columns are " + columns);
            }
            return given;
        }
        for (String name : names) {
            for (String c : columns) {
                if (c.equalsIgnoreCase(name)) {
                    return c;
                }
            }
        }
        if (columns.size() == 1) {
            return columns.iterator().next();
        }
        throw new HeadstartException(row.source() + ": none of its columns " + columns + " is called "
                + String.join(", ", names) + "; name it with --prediction-column or --reference-column");
    }

    private static double[] numbers(List<Row> rows, String column) {
        return rows.stream().mapToDouble(r -> r.number(column)).toArray();
    }

    private static List<String> texts(List<Row> rows, String column) {
        return rows.stream().map(r -> r.has(column) ? r.text(column) : "").toList();
    }

    private static List<String> several(Row row, String column) {
        Object v = row.values().get(column);
        return v instanceof List ? row.texts(column) : List.of(v == null ? "" : row.text(column));
    }

    private static List<String> answers(Row row, String column) {
        Object v = row.values().get(column);
        if (v instanceof Map<?, ?> m && m.get("text") instanceof List<?> list) {
            return list.stream().map(String::valueOf).toList();
        }
        return v == null ? List.of() : several(row, column);
    }

    private static Evaluation classification(List<Row> r, String rc, List<Row> p, String pc, Settings s) {
        List<String> references = r.stream().map(x -> x.text(rc)).toList();
        List<String> predictions = p.stream().map(x -> x.text(pc)).toList();
        List<String> labels = s.labels() != null ? s.labels() : labels(references, predictions);
        Map<String, Integer> index = index(labels);
        int[] y = indexes(references, index, r);
        int[] q = indexes(predictions, index, p);
        return Evaluation.classification(y, q, labels.size(), probabilities(p, q, index), s.bootstrap());
    }

    private static int[] indexes(List<String> labels, Map<String, Integer> index, List<Row> rows) {
        int[] v = new int[labels.size()];
        for (int i = 0; i < v.length; i++) {
            Integer at = index.get(labels.get(i));
            if (at == null) {
                throw new HeadstartException(rows.get(i).where() + ": label '" + labels.get(i)
                        + "' is not among --labels " + index.keySet());
            }
            v[i] = at;
        }
        return v;
    }

    private static Map<String, Integer> index(List<String> labels) {
        Map<String, Integer> index = new LinkedHashMap<>();
        labels.forEach(l -> index.put(l, index.size()));
        return index;
    }

    private static List<String> labels(List<String> a, List<String> b) {
        Set<String> all = new LinkedHashSet<>(a);
        all.addAll(b);
        boolean numbers = all.stream().allMatch(l -> l.matches("-?\\d{1,9}"));
        return all.stream()
                .sorted(numbers ? Comparator.comparingInt(Integer::parseInt) : Comparator.naturalOrder())
                .toList();
    }

    /** From a column {@code probabilities} (list, or object by label), or for two labels from {@code score}, the predicted label's; null when there is neither. */
    private static double @Nullable [][] probabilities(List<Row> p, int[] predicted, Map<String, Integer> index) {
        int classes = index.size();
        String column = List.of("probabilities", "probs", "scores").stream()
                .filter(p.get(0)::has)
                .findFirst()
                .orElse(null);
        if (column == null && !(classes == 2 && p.stream().allMatch(r -> r.has("score")))) {
            return null;
        }
        double[][] all = new double[p.size()][classes];
        for (int i = 0; i < all.length; i++) {
            Row row = p.get(i);
            if (column == null) {
                double score = row.number("score");
                all[i][predicted[i]] = score;
                all[i][1 - predicted[i]] = 1 - score;
                continue;
            }
            Object v = row.values().get(column);
            if (v instanceof List<?> list && list.size() == classes) {
                for (int c = 0; c < classes; c++) {
                    all[i][c] = number(row, column, list.get(c));
                }
            } else if (v instanceof Map<?, ?> map && map.keySet().containsAll(index.keySet())) {
                for (Map.Entry<String, Integer> e : index.entrySet()) {
                    all[i][e.getValue()] = number(row, column, map.get(e.getKey()));
                }
            } else {
                throw new HeadstartException(row.where() + ": column '" + column + "' holds " + v
                        + ", expected a list of " + classes + " probabilities or an object with " + index.keySet()
                        + " (give all labels in order with --labels)");
            }
        }
        return all;
    }

    private static double number(Row row, String column, @Nullable Object v) {
        if (v instanceof Number n) {
            return n.doubleValue();
        }
        throw new HeadstartException(row.where() + ": column '" + column + "' holds " + v + ", expected a number");
    }

    /** A list, or a text with the labels separated by commas, semicolons or bars. */
    private static Set<String> labelSet(Row row, String column) {
        Object v = row.values().get(column);
        if (v == null) {
            return Set.of();
        }
        List<String> parts = v instanceof List
                ? row.texts(column)
                : Arrays.asList(row.text(column).split("[,;|]"));
        return parts.stream()
                .map(String::strip)
                .filter(l -> !l.isEmpty())
                .collect(Collectors.toCollection(LinkedHashSet::new));
    }

    private static Evaluation multiLabel(List<Row> r, String rc, List<Row> p, String pc, Settings s) {
        List<Set<String>> y = r.stream().map(x -> labelSet(x, rc)).toList();
        List<Set<String>> q = p.stream().map(x -> labelSet(x, pc)).toList();
        Set<String> labels = new TreeSet<>();
        if (s.labels() != null) {
            labels.addAll(s.labels());
        } else {
            y.forEach(labels::addAll);
            q.forEach(labels::addAll);
        }
        List<String> order = List.copyOf(labels);
        return Evaluation.multiLabel(matrix(y, order), matrix(q, order), s.bootstrap());
    }

    private static boolean[][] matrix(List<Set<String>> sets, List<String> labels) {
        boolean[][] m = new boolean[sets.size()][labels.size()];
        for (int i = 0; i < m.length; i++) {
            for (int l = 0; l < labels.size(); l++) {
                m[i][l] = sets.get(i).contains(labels.get(l));
            }
        }
        return m;
    }

    private static List<String> tags(Row row, String column) {
        Object v = row.values().get(column);
        return v instanceof List
                ? row.texts(column)
                : PythonText.split(row.text(column).replace(',', ' '));
    }

    private static Evaluation entities(List<Row> r, String rc, List<Row> p, String pc, Settings s) {
        List<List<String>> y = r.stream().map(x -> tags(x, rc)).toList();
        List<List<String>> q = p.stream().map(x -> tags(x, pc)).toList();
        for (int i = 0; i < y.size(); i++) {
            if (y.get(i).size() != q.get(i).size()) {
                throw new HeadstartException(String.format(
                        Locale.ROOT,
                        "%s: expected %d tags as in %s, found %d",
                        p.get(i).where(),
                        y.get(i).size(),
                        r.get(i).where(),
                        q.get(i).size()));
            }
        }
        return Evaluation.entities(y, q, s.scheme(), s.bootstrap());
    }
}
