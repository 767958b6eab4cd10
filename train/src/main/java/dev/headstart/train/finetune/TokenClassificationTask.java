package dev.headstart.train.finetune;

import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.Row;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import dev.headstart.train.Objective;
import dev.headstart.train.metrics.Evaluation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** A tag for every word: named entities, parts of speech. The first token of a word carries its tag, the others count for nothing. */
final class TokenClassificationTask extends FineTuneTask {
    private static final long IGNORED = -100;
    private Map<Integer, String> id2label = Map.of();
    private Map<String, Integer> label2id = Map.of();
    private boolean entities;
    private @Nullable Columns columns;

    TokenClassificationTask(FineTuneOptions options) {
        super(options);
    }

    @Override
    String head() {
        return "ForTokenClassification";
    }

    @Override
    String peftTask() {
        return "TOKEN_CLS";
    }

    @Override
    List<Role> required() {
        return List.of(Role.TOKENS, Role.TAGS);
    }

    private Columns known() {
        if (columns == null) {
            throw new IllegalStateException("nothing read yet");
        }
        return columns;
    }

    private List<String> words(Row row) {
        return row.texts(known().get(Role.TOKENS));
    }

    private List<String> tags(Row row) {
        return row.texts(known().get(Role.TAGS));
    }

    @Override
    void read(List<Row> train, List<Row> validation, List<Row> test, Columns found) {
        columns = found;
        TreeSet<String> names = new TreeSet<>();
        for (List<Row> rows : List.of(train, validation, test)) {
            for (Row row : rows) {
                if (words(row).size() != tags(row).size()) {
                    throw new HeadstartException(row.where() + ": " + words(row).size() + " words but "
                            + tags(row).size() + " tags; every word needs one");
                }
            }
        }
        Map<Integer, String> ofModel = known;
        if (ofModel != null) {
            id2label = ofModel;
            Map<String, Integer> found2id = new HashMap<>();
            for (Row row : validation) {
                tags(row).forEach(tag -> found2id.computeIfAbsent(tag, n -> indexOf(n, ofModel, row)));
            }
            label2id = found2id;
            return;
        }
        train.forEach(r -> names.addAll(tags(r)));
        if (names.size() < 2) {
            throw new HeadstartException(
                    options.train + ": only one tag (" + String.join(", ", names) + "); at least two are needed");
        }
        Stream.concat(validation.stream(), test.stream()).forEach(row -> {
            for (String tag : tags(row)) {
                if (!names.contains(tag)) {
                    throw new HeadstartException(row.where() + ": tag '" + tag
                            + "' does not occur in the training data, which has " + String.join(", ", names)
                            + "; correct it, or add training examples of it");
                }
            }
        });
        id2label = numbered(names);
        label2id = inverse(id2label);
        entities = names.stream().allMatch(n -> n.equals("O") || n.matches("[BIESULM]-.+"));
        LOG.info("{} tags: {}", names.size(), String.join(", ", names));
    }

    @Override
    Map<Integer, String> id2label() {
        return shownNames(id2label);
    }

    @Override
    String mainMetric() {
        return entities ? "f1" : "accuracy";
    }

    @Override
    String key(Row row, Columns c) {
        return String.join(" ", row.texts(c.get(Role.TOKENS)));
    }

    /** Texts with a label for each token. */
    static final class Examples extends TextData {
        private final List<long[]> labels = new ArrayList<>();

        Examples(Tokenizer tokenizer) {
            super(tokenizer);
        }

        @Override
        void labels(Map<String, Tensor> batch, long[][] rows, int[] indexes, SplittableRandom random) {
            int width = rows[0].length;
            long[][] padded = Arrays.stream(indexes)
                    .mapToObj(i -> padded(labels.get(i), width, IGNORED))
                    .toArray(long[][]::new);
            batch.put("labels", Tensors.int64(padded)); // [B, S]
        }
    }

    @Override
    TextData examples(List<Row> rows, Tokenizer tokenizer, int maxLength) {
        Examples examples = new Examples(tokenizer);
        EncodeOptions how =
                EncodeOptions.DEFAULT.withTruncation(Truncation.LONGEST_FIRST).withMaxLength(maxLength);
        for (Row row : rows) {
            Encoding encoding = tokenizer.encodeWords(words(row), how);
            List<String> tags = tags(row);
            int[] wordIds = encoding.wordIds();
            long[] labels = new long[wordIds.length];
            int previous = -1;
            for (int i = 0; i < labels.length; i++) {
                boolean first = wordIds[i] >= 0 && wordIds[i] != previous;
                labels[i] = first ? label2id.getOrDefault(tags.get(wordIds[i]), 0) : IGNORED;
                previous = wordIds[i];
            }
            examples.add(encoding);
            examples.labels.add(labels);
        }
        return examples;
    }

    @Override
    Map<String, Double> evaluate(PreTrainedModel<?> model, TextData data) {
        List<List<String>> gold = new ArrayList<>();
        List<List<String>> found = new ArrayList<>();
        Map<String, Double> metrics = tag(model, (Examples) data, gold, found);
        if (entities) {
            ENTITIES.add(metrics, gold, found);
        }
        return metrics;
    }

    @Override
    Evaluation evaluation(PreTrainedModel<?> model, TextData data, Evaluation.Options how) {
        List<List<String>> gold = new ArrayList<>();
        List<List<String>> found = new ArrayList<>();
        tag(model, (Examples) data, gold, found);
        return Evaluation.entities(gold, found, null, how);
    }

    /** Tags of the words, as they should be and as the model has them; loss and accuracy. */
    private Map<String, Double> tag(
            PreTrainedModel<?> model, Examples examples, List<List<String>> gold, List<List<String>> found) {
        double loss = 0;
        long right = 0;
        long all = 0;
        for (int[] indexes : examples.inOrderOfLength(options.evalBatchSize)) {
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> batch = examples.batch(indexes, new SplittableRandom(0));
                Map<String, Tensor> out = Objective.forward(model, batch);
                Tensor l = out.get("loss");
                loss += (l == null ? Double.NaN : l.item_double()) * indexes.length;
                Tensor logits = SequenceClassificationTask.logits(out); // [B, S, C]
                long[] best = Tensors.longs(logits.argmax(new org.bytedeco.pytorch.LongOptional(-1), false)); // [B, S]
                Tensor labels = batch.get("labels");
                long[] want = labels == null ? best : Tensors.longs(labels);
                int width = (int) logits.size(1);
                for (int r = 0; r < indexes.length; r++) {
                    List<String> g = new ArrayList<>();
                    List<String> f = new ArrayList<>();
                    for (int i = r * width; i < (r + 1) * width; i++) {
                        if (want[i] != IGNORED) {
                            g.add(String.valueOf(id2label.get((int) want[i])));
                            f.add(String.valueOf(id2label.get((int) best[i])));
                            right += want[i] == best[i] ? 1 : 0;
                            all++;
                        }
                    }
                    gold.add(g);
                    found.add(f);
                }
            }
        }
        Map<String, Double> metrics = new LinkedHashMap<>();
        metrics.put("loss", loss / examples.size());
        metrics.put("accuracy", all == 0 ? Double.NaN : (double) right / all);
        return metrics;
    }

    /** seqeval's scores. */
    private interface Scores {
        void add(Map<String, Double> metrics, List<List<String>> gold, List<List<String>> found);
    }

    private static final Scores ENTITIES = (metrics, gold, found) -> {
        var score = Evaluation.entities(gold, found, null, Evaluation.Options.VALUES_ALONE);
        for (String name : List.of("precision", "recall", "f1")) {
            metrics.put(name, score.value(name));
        }
    };
}
