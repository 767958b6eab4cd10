package dev.headstart.train.finetune;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.ReadOptions;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.Objective;
import dev.headstart.train.Shuffle;
import dev.headstart.train.metrics.Evaluation;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** One kind of task: how rows become examples, which head the model needs, what is made small, what is measured. */
abstract class FineTuneTask {
    static final Logger LOG = LoggerFactory.getLogger(FineTune.class);
    private static final long SEED = 7; // of what is drawn from the data
    final FineTuneOptions options;

    /** The classes of the model that is evaluated; null while training. */
    @Nullable
    Map<Integer, String> known;

    /** Examples of other splits that are in the training data too, in words by split. */
    final Map<String, String> overlaps = new LinkedHashMap<>();

    FineTuneTask(FineTuneOptions options) {
        this.options = options;
    }

    /**
     * A kind of task.
     *
     * @param names as pipelines call it
     * @param aliases as scripts and trainers elsewhere call it
     * @param measured whether a model can be {@linkplain #evaluation evaluated} at it
     */
    private record Kind(
            List<String> names, List<String> aliases, boolean measured, Function<FineTuneOptions, FineTuneTask> make) {}

    private static final List<Kind> KINDS = List.of(
            new Kind(
                    List.of("text-classification"),
                    List.of("sequence-classification", "sentiment-analysis"),
                    true,
                    SequenceClassificationTask::new),
            new Kind(List.of("token-classification"), List.of("ner"), true, TokenClassificationTask::new),
            new Kind(List.of("question-answering"), List.of(), true, QuestionAnsweringTask::new),
            new Kind(List.of("text-ranking"), List.of("cross-encoder"), true, CrossEncoderTask::new),
            new Kind(List.of("sentence-embedding", "sentence-similarity"), List.of(), true, SentenceEmbeddingTask::new),
            new Kind(List.of("fill-mask"), List.of("masked-lm"), false, MaskedLmTask::new),
            new Kind(List.of("text-generation"), List.of("causal-lm"), false, CausalLmTask::new),
            new Kind(
                    List.of("text2text-generation", "translation", "summarization"),
                    List.of("seq2seq-lm"),
                    true,
                    Seq2SeqTask::new));

    /** The tasks there are. @param measured only those at which a model can be evaluated */
    static List<String> names(boolean measured) {
        return KINDS.stream()
                .filter(k -> k.measured() || !measured)
                .flatMap(k -> k.names().stream())
                .toList();
    }

    /** @throws HeadstartException naming the tasks there are */
    static FineTuneTask of(FineTuneOptions options) {
        return kind(options.task, false).make().apply(options);
    }

    /** For a model that is evaluated. @throws HeadstartException naming the tasks there are */
    static FineTuneTask measured(FineTuneOptions options) {
        return kind(options.task, true).make().apply(options);
    }

    /** @throws HeadstartException naming the tasks there are, when this is none */
    static void require(String task, boolean measured) {
        kind(task, measured);
    }

    private static Kind kind(String task, boolean measured) {
        Kind kind = KINDS.stream()
                .filter(k -> k.names().contains(task) || k.aliases().contains(task))
                .findFirst()
                .orElseThrow(() -> new HeadstartException(
                        "--task " + task + " is not known; known: " + String.join(", ", names(measured))));
        if (measured && !kind.measured()) {
            throw new HeadstartException("--task " + task + " cannot be evaluated by --model, give --predictions; by"
                    + " --model: " + String.join(", ", names(true)));
        }
        return kind;
    }

    /** End of the class name of the models for this task. */
    abstract String head();

    /** PEFT's task type. */
    abstract String peftTask();

    /** Columns that must be there, and those that may be. */
    abstract List<Columns.Role> required();

    List<Columns.Role> optional() {
        return List.of();
    }

    /** Looks at all rows before the model is loaded: finds and checks labels. */
    abstract void read(List<Row> train, List<Row> validation, List<Row> test, Columns columns);

    /** Label names by index; null where the head has none. */
    @Nullable
    Map<Integer, String> id2label() {
        return null;
    }

    /** config.json's problem_type; null where there is none. */
    @Nullable
    String problemType() {
        return null;
    }

    /** Writes into config.json what belongs there. */
    void configure(ObjectNode config) {
        if (problemType() != null) {
            config.put("problem_type", problemType());
        }
    }

    abstract TextData examples(List<Row> rows, Tokenizer tokenizer, int maxLength);

    /** The loss; the model's own unless the task has another. */
    Objective objective() {
        return Objective.ofModel();
    }

    abstract Map<String, Double> evaluate(PreTrainedModel<?> model, TextData data);

    /** The same with intervals; of the tasks that are {@linkplain #measured measured}. */
    Evaluation evaluation(PreTrainedModel<?> model, TextData data, Evaluation.Options how) {
        throw new IllegalStateException(options.task);
    }

    /** Takes the classes from a model that exists instead of from training data. */
    void labels(Map<Integer, String> ofModel) {
        known = ofModel;
    }

    /** The metric that says which checkpoint is best. */
    abstract String mainMetric();

    /** Whether more of it is better. */
    boolean greaterIsBetter() {
        return true;
    }

    int defaultMaxLength() {
        return 0;
    }

    /** Whether the metrics before training are of interest: the model already does the task. */
    boolean evaluatesBefore() {
        return false;
    }

    /** Whether the result must be a whole model, adapters added in. */
    boolean mergesAdapters() {
        return false;
    }

    /** Looks at the model before training: what does not go together, what is likely a mistake. */
    void check(PreTrainedModel<?> model, TextData train) {}

    /** Sentences on the data for the model card, without full stops. */
    List<String> remarks() {
        return List.copyOf(overlaps.values());
    }

    /** Writes what else belongs to the result. */
    void finish(Path out) {}

    /** What makes two rows the same example, for overlap between splits. */
    abstract String key(Row row, Columns columns);

    /** What must not be torn apart when a part of the data is set aside; null where every row stands for itself. */
    @Nullable
    String group(Row row, Columns columns) {
        return null;
    }

    // === Reading ===

    record Splits(List<Row> train, List<Row> validation, List<Row> test, Columns columns) {}

    final Splits readSplits() {
        List<Row> train = new ArrayList<>();
        Columns columns = read(options.train, options.columns, train);
        if (train.isEmpty()) {
            throw new HeadstartException(options.train + ": no examples; expected at least one row of data");
        }
        List<Row> validation = new ArrayList<>();
        if (options.validation != null) {
            readLike(columns, options.validation, validation);
            warnOfOverlap("validation", train, validation, columns);
        } else {
            split(train, validation, columns);
        }
        List<Row> test = new ArrayList<>();
        if (options.test != null) {
            readLike(columns, options.test, test);
            warnOfOverlap("test", train, test, columns);
        }
        read(train, validation, test, columns); // classes are those of all the data, whatever is used of it
        cut(train, options.maxTrainSamples);
        cut(validation, options.maxEvalSamples);
        LOG.info("{} training and {} validation examples", train.size(), validation.size());
        return new Splits(train, validation, test, columns);
    }

    /** Reads a file that has to have the columns of the training data. */
    private void readLike(Columns columns, Path file, List<Row> into) {
        Columns theirs = read(file, options.columns, into);
        if (!theirs.toString().equals(columns.toString())) {
            throw new HeadstartException(file + ": the columns are " + theirs + ", those of " + options.train + " are "
                    + columns + "; give both files the same columns");
        }
        if (into.isEmpty()) {
            throw new HeadstartException(file + ": no examples; expected at least one row of data");
        }
    }

    /** The data of an evaluation. */
    final List<Row> readForEvaluation() {
        List<Row> rows = new ArrayList<>();
        Columns columns = read(options.train, options.columns, rows);
        cut(rows, options.maxEvalSamples);
        read(List.of(), rows, List.of(), columns);
        return rows;
    }

    /** The class that a label of the data means: its name in whatever case, else its number. */
    static int indexOf(String label, Map<Integer, String> classes, Row row) {
        for (Map.Entry<Integer, String> e : classes.entrySet()) {
            if (e.getValue().equalsIgnoreCase(label)) {
                return e.getKey();
            }
        }
        if (label.matches("\\d{1,6}") && classes.containsKey(Integer.parseInt(label))) {
            return Integer.parseInt(label);
        }
        throw new HeadstartException(row.where() + ": label '" + label + "' is no class of this model, which has "
                + String.join(", ", classes.values()) + " (or their numbers, from 0)");
    }

    /** What blank lines and rows of empty fields are: mistakes, but in running text. */
    ReadOptions.EmptyRows emptyRows() {
        return ReadOptions.EmptyRows.REPORT;
    }

    /** Finds the columns. */
    Columns infer(RowReader reader, Map<Columns.Role, String> given) {
        return Columns.infer(reader, given, required(), optional());
    }

    private Columns read(Path file, Map<Columns.Role, String> given, List<Row> into) {
        ReadOptions how = ReadOptions.defaults().withOnError(options.onError).withEmptyRows(emptyRows());
        try (RowReader reader = RowReader.open(file, how)) {
            if (reader.peek(1).isEmpty()) {
                throw new HeadstartException(file + ": no examples; expected at least one row of data");
            }
            Columns columns = infer(reader, given);
            into.addAll(reader.readAll());
            if (reader.problems().skipped() > 0) {
                LOG.warn("{}: {}", file, reader.problems().summary());
            }
            return columns;
        }
    }

    private void warnOfOverlap(String name, List<Row> train, List<Row> rows, Columns columns) {
        Set<String> seen = new HashSet<>();
        train.forEach(r -> seen.add(key(r, columns)));
        long both = rows.stream().filter(r -> seen.contains(key(r, columns))).count();
        if (both > 0) {
            String words = both + " of " + rows.size() + " " + name + " examples are in the training data too";
            overlaps.put(name, words);
            LOG.warn("{}: the metrics will look better than they are", words);
        }
    }

    /** Sets a part aside, whole groups where rows belong together (questions on one text). */
    private void split(List<Row> train, List<Row> validation, Columns columns) {
        Map<String, List<Row>> groups = new LinkedHashMap<>();
        for (int i = 0; i < train.size(); i++) {
            String group = group(train.get(i), columns);
            groups.computeIfAbsent(group == null ? String.valueOf(i) : group, k -> new ArrayList<>())
                    .add(train.get(i));
        }
        List<List<Row>> all = new ArrayList<>(groups.values());
        int n = (int) Math.round(all.size() * options.validationSplit);
        if (n < 1 || n >= all.size()) {
            throw new HeadstartException(options.train + ": cannot set aside " + options.validationSplit + " of "
                    + all.size() + " examples for validation; give --validation FILE, or another --validation-split");
        }
        Shuffle.inPlace(all, new SplittableRandom(SEED));
        train.clear();
        all.subList(0, all.size() - n).forEach(train::addAll);
        all.subList(all.size() - n, all.size()).forEach(validation::addAll);
        LOG.info(
                "no --validation: {} of the training examples are set aside, drawn at random with a fixed seed",
                validation.size());
    }

    private static void cut(List<Row> rows, int most) {
        if (most > 0 && rows.size() > most) {
            Collections.shuffle(rows, new java.util.Random(SEED));
            rows.subList(most, rows.size()).clear();
        }
    }

    // === Helpers of tasks ===

    /** Names by index: whole numbers by value, else by name. */
    static Map<Integer, String> numbered(Set<String> names) {
        List<String> sorted = new ArrayList<>(names);
        boolean whole = names.stream().allMatch(n -> n.matches("-?\\d{1,9}"));
        sorted.sort(whole ? java.util.Comparator.comparingInt(Integer::parseInt) : java.util.Comparator.naturalOrder());
        Map<Integer, String> id2label = new TreeMap<>();
        for (int i = 0; i < sorted.size(); i++) {
            id2label.put(i, sorted.get(i));
        }
        return id2label;
    }

    /** The classes under the names that the caller gives them. */
    final Map<Integer, String> shownNames(Map<Integer, String> id2label) {
        List<String> names = options.labelNames;
        if (names.isEmpty()) {
            return id2label;
        }
        if (names.size() != id2label.size() || Set.copyOf(names).size() != names.size()) {
            throw new HeadstartException("--label-names: expected " + id2label.size()
                    + " different names, for the labels " + String.join(", ", id2label.values()) + "; found "
                    + String.join(", ", names));
        }
        Map<Integer, String> shown = new TreeMap<>();
        id2label.keySet().forEach(i -> shown.put(i, names.get(i)));
        return shown;
    }

    static <K, V> Map<V, K> inverse(Map<K, V> map) {
        Map<V, K> back = new java.util.HashMap<>();
        map.forEach((k, v) -> back.put(v, k));
        return back;
    }

    static <T> List<T> map(List<Row> rows, Function<Row, T> f) {
        return rows.stream().map(f).toList();
    }
}
