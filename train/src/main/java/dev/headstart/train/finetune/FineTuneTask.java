package dev.headstart.train.finetune;

import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.ReadOptions;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.Objective;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
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
    final FineTuneOptions options;

    FineTuneTask(FineTuneOptions options) {
        this.options = options;
    }

    static FineTuneTask of(FineTuneOptions options) {
        return switch (options.task) {
            case "text-classification", "sequence-classification", "sentiment-analysis" ->
                new SequenceClassificationTask(options);
            case "token-classification", "ner" -> new TokenClassificationTask(options);
            case "question-answering" -> new QuestionAnsweringTask(options);
            case "fill-mask", "masked-lm" -> new MaskedLmTask(options);
            default ->
                throw new HeadstartException(
                        "--task " + options.task
                                + " is not known; known: text-classification, token-classification, question-answering, fill-mask");
        };
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
    abstract void read(List<Row> train, List<Row> validation, Columns columns);

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

    abstract TextData examples(List<Row> rows, Tokenizer tokenizer, int maxLength);

    /** The loss; the model's own unless the task has another. */
    Objective objective() {
        return Objective.ofModel();
    }

    abstract Map<String, Double> evaluate(PreTrainedModel<?> model, TextData data);

    /** The metric that says which checkpoint is best. */
    abstract String mainMetric();

    /** Whether more of it is better. */
    boolean greaterIsBetter() {
        return true;
    }

    int defaultMaxLength() {
        return 0;
    }

    /** What makes two rows the same example, for overlap between splits. */
    abstract String key(Row row, Columns columns);

    // === Reading ===

    record Splits(List<Row> train, List<Row> validation, Columns columns) {}

    final Splits readSplits() {
        List<Row> train = new ArrayList<>();
        Columns columns = read(options.train, options.columns, train);
        if (train.isEmpty()) {
            throw new HeadstartException(options.train + ": no examples; expected at least one row of data");
        }
        List<Row> validation = new ArrayList<>();
        Path file = options.validation;
        if (file != null) {
            Columns theirs = read(file, options.columns, validation);
            if (!theirs.toString().equals(columns.toString())) {
                throw new HeadstartException(file + ": the columns are " + theirs + ", those of " + options.train
                        + " are " + columns + "; give both files the same columns");
            }
            if (validation.isEmpty()) {
                throw new HeadstartException(file + ": no examples; expected at least one row of data");
            }
            warnOfOverlap(train, validation, columns);
        } else {
            split(train, validation);
        }
        cut(train, options.maxTrainSamples);
        cut(validation, options.maxEvalSamples);
        LOG.info("{} training and {} validation examples", train.size(), validation.size());
        read(train, validation, columns);
        return new Splits(train, validation, columns);
    }

    private Columns read(Path file, Map<Columns.Role, String> given, List<Row> into) {
        try (RowReader reader = RowReader.open(file, ReadOptions.defaults())) {
            if (reader.peek(1).isEmpty()) {
                throw new HeadstartException(file + ": no examples; expected at least one row of data");
            }
            Columns columns = Columns.infer(reader, given, required(), optional());
            into.addAll(reader.readAll());
            return columns;
        }
    }

    private void warnOfOverlap(List<Row> train, List<Row> validation, Columns columns) {
        Set<String> seen = new HashSet<>();
        train.forEach(r -> seen.add(key(r, columns)));
        long both =
                validation.stream().filter(r -> seen.contains(key(r, columns))).count();
        if (both > 0) {
            LOG.warn(
                    "{} of {} validation examples are in the training data too: the metrics will look better than they are",
                    both,
                    validation.size());
        }
    }

    private void split(List<Row> train, List<Row> validation) {
        int n = (int) Math.round(train.size() * options.validationSplit);
        if (n < 1 || n >= train.size()) {
            throw new HeadstartException(options.train + ": cannot set aside " + options.validationSplit + " of "
                    + train.size() + " examples for validation; give --validation FILE, or another --validation-split");
        }
        SplittableRandom random = new SplittableRandom(7);
        for (int i = train.size() - 1; i > 0; i--) {
            java.util.Collections.swap(train, i, random.nextInt(i + 1));
        }
        List<Row> tail = train.subList(train.size() - n, train.size());
        validation.addAll(tail);
        tail.clear();
        LOG.info("no --validation: {} of the training examples are set aside, drawn at random with a fixed seed", n);
    }

    private static void cut(List<Row> rows, int most) {
        if (most > 0 && rows.size() > most) {
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

    static <K, V> Map<V, K> inverse(Map<K, V> map) {
        Map<V, K> back = new java.util.HashMap<>();
        map.forEach((k, v) -> back.put(v, k));
        return back;
    }

    static <T> List<T> map(List<Row> rows, Function<Row, T> f) {
        return rows.stream().map(f).toList();
    }
}
