package dev.headstart.train.finetune;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import dev.headstart.hub.Hub;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.pipeline.SentenceTransformer;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import dev.headstart.train.Objective;
import dev.headstart.train.Placement;
import dev.headstart.train.SentenceLosses;
import dev.headstart.train.metrics.Evaluation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Sentence vectors from pairs (anchor, positive), triplets (with a hard negative) or scored pairs; the result is a sentence-transformers folder.
 * Pairs and triplets are trained by multiple-negatives-ranking, scored pairs by cosent, unless the caller names the loss.
 */
final class SentenceEmbeddingTask extends FineTuneTask {
    private static final List<String> LOSSES = List.of("multiple-negatives-ranking", "cosent", "cosine");
    private final SentenceTransformer head;
    private final Path source;
    private String loss = "";
    private double highest = 1;
    private @Nullable Columns columns;

    SentenceEmbeddingTask(FineTuneOptions options) {
        super(options);
        source = Hub.standard()
                .resolve(options.model, LoadOptions.defaults().withOffline(options.offline ? Boolean.TRUE : null))
                .path();
        if (!Files.isRegularFile(source.resolve("config.json"))) {
            throw new HeadstartException(
                    source
                            + ": its encoder lies in a folder of its own (modules.json), which fine-tuning does not support; expected config.json beside modules.json");
        }
        head = new SentenceTransformer(source);
    }

    @Override
    String head() {
        return "";
    }

    @Override
    String peftTask() {
        return "FEATURE_EXTRACTION";
    }

    @Override
    List<Role> required() {
        return List.of(Role.TEXT, Role.TEXT_PAIR);
    }

    @Override
    List<Role> optional() {
        return List.of(Role.NEGATIVE, Role.SCORE, Role.ID);
    }

    /** A column of numbers beside two texts holds scores, whatever it is called, unless pairs are asked for or there are negatives. */
    @Override
    Columns infer(RowReader reader, Map<Role, String> given) {
        Columns plain = super.infer(reader, given);
        boolean open = plain.find(Role.NEGATIVE) == null
                && plain.find(Role.SCORE) == null
                && !LOSSES.get(0).equals(options.sentenceLoss);
        if (!open) {
            return plain;
        }
        try {
            return Columns.infer(
                    reader, given, List.of(Role.TEXT, Role.TEXT_PAIR, Role.SCORE), List.of(Role.ID, Role.NEGATIVE));
        } catch (HeadstartException e) {
            LOG.debug("no scores: {}", e.getMessage());
            return plain;
        }
    }

    private Columns found() {
        if (columns == null) {
            throw new IllegalStateException("nothing read yet");
        }
        return columns;
    }

    private boolean scored() {
        return !loss.equals(LOSSES.get(0));
    }

    @Override
    void read(List<Row> train, List<Row> validation, List<Row> test, Columns c) {
        columns = c;
        String score = c.find(Role.SCORE);
        String asked = options.sentenceLoss;
        loss = asked != null ? asked : score != null ? "cosent" : "multiple-negatives-ranking";
        if (!LOSSES.contains(loss)) {
            throw new HeadstartException("--loss " + loss + " is not known; known: " + String.join(", ", LOSSES));
        }
        if (!scored()) {
            LOG.info("loss {}{}", loss, dims());
            return;
        }
        if (score == null) {
            throw new HeadstartException(options.train + ": --loss " + loss
                    + " needs a column of scores; name it (--column score=NAME), or use multiple-negatives-ranking");
        }
        highest =
                train.stream().mapToDouble(r -> Math.abs(r.number(score))).max().orElse(1);
        highest = highest <= 1 ? 1 : highest;
        validation.forEach(r -> r.number(score));
        test.forEach(r -> r.number(score));
        LOG.info("loss {}{}{}", loss, highest > 1 ? ", scores divided by " + highest : "", dims());
    }

    private String dims() {
        return options.matryoshka.isEmpty() ? "" : ", at the first " + options.matryoshka + " dimensions";
    }

    @Override
    String mainMetric() {
        return scored() ? "spearman" : "accuracy";
    }

    @Override
    String key(Row row, Columns c) {
        return row.text(c.get(Role.TEXT)) + "\u0000" + row.text(c.get(Role.TEXT_PAIR));
    }

    /** Rows of two or three texts. */
    static final class Examples extends TextData {
        private final int texts;
        private final List<Float> scores = new ArrayList<>();

        Examples(Tokenizer tokenizer, int texts) {
            super(tokenizer);
            this.texts = texts;
        }

        @Override
        public int size() {
            return super.size() / texts;
        }

        @Override
        public int length(int index) {
            int most = 0;
            for (int i = 0; i < texts; i++) {
                most = Math.max(most, textLength(index * texts + i));
            }
            return most;
        }

        /** The texts of a batch column after column: [texts * B, S]. */
        @Override
        public Map<String, Tensor> batch(int[] indexes, SplittableRandom random) {
            int[] rows = new int[indexes.length * texts];
            for (int t = 0; t < texts; t++) {
                for (int i = 0; i < indexes.length; i++) {
                    rows[t * indexes.length + i] = indexes[i] * texts + t;
                }
            }
            Map<String, Tensor> batch = super.batch(rows, random);
            if (!scores.isEmpty()) {
                float[] own = new float[indexes.length];
                for (int i = 0; i < own.length; i++) {
                    own[i] = scores.get(indexes[i]);
                }
                batch.put("labels", Tensors.float32(own, own.length)); // [B]
            }
            return batch;
        }

        @Override
        void labels(Map<String, Tensor> batch, long[][] rows, int[] indexes, SplittableRandom random) {}
    }

    @Override
    TextData examples(List<Row> rows, Tokenizer tokenizer, int maxLength) {
        Columns c = found();
        List<String> names = new ArrayList<>(List.of(c.get(Role.TEXT), c.get(Role.TEXT_PAIR)));
        String negative = c.find(Role.NEGATIVE);
        if (negative != null && !scored()) {
            names.add(negative);
        }
        Examples examples = new Examples(tokenizer, names.size());
        EncodeOptions how = EncodeOptions.DEFAULT
                .withTruncation(Truncation.LONGEST_FIRST)
                .withMaxLength(head.limit(maxLength, maxLength));
        for (Row row : rows) {
            for (String name : names) {
                examples.add(tokenizer.encode(head.prepare("", row.text(name)), null, how));
            }
            if (scored()) {
                examples.scores.add((float) (row.number(c.get(Role.SCORE)) / highest));
            }
        }
        return examples;
    }

    /** Sentence vectors of a batch, one [B, D] a column. */
    private List<Tensor> columns(PreTrainedModel<?> model, Map<String, Tensor> batch, int texts) {
        Map<String, Tensor> inputs = new LinkedHashMap<>(batch);
        inputs.remove("labels");
        Tensor mask = batch.get("attention_mask");
        Tensor states = Objective.forward(model, inputs).get("last_hidden_state"); // [texts * B, S, H]
        if (states == null || mask == null) {
            throw new HeadstartException(model.getClass().getSimpleName() + " gives no last_hidden_state");
        }
        Tensor vectors = head.apply(states, mask); // [texts * B, D]
        long rows = vectors.size(0) / texts;
        List<Tensor> all = new ArrayList<>();
        for (int t = 0; t < texts; t++) {
            all.add(vectors.narrow(0, t * rows, rows));
        }
        return all;
    }

    private Tensor loss(List<Tensor> columns, @Nullable Tensor scores) {
        if (!options.matryoshka.isEmpty()) {
            return SentenceLosses.matryoshka(columns, options.matryoshka, some -> plain(some, scores));
        }
        return plain(columns, scores);
    }

    private Tensor plain(List<Tensor> columns, @Nullable Tensor scores) {
        if (!scored() || scores == null) {
            return SentenceLosses.multipleNegativesRanking(columns, SentenceLosses.SCALE);
        }
        return loss.equals("cosent")
                ? SentenceLosses.cosent(columns.get(0), columns.get(1), scores, SentenceLosses.SCALE)
                : SentenceLosses.cosine(columns.get(0), columns.get(1), scores);
    }

    @Override
    Objective objective() {
        return (model, batch) -> {
            Tensor labels = batch.get("labels");
            Tensor ids = batch.get("input_ids");
            if (ids == null) {
                throw new IllegalStateException("a batch without texts");
            }
            int texts = labels != null
                    ? Math.toIntExact(ids.size(0) / labels.size(0))
                    : found().find(Role.NEGATIVE) != null ? 3 : 2;
            return loss(columns(model, batch, texts), labels);
        };
    }

    @Override
    Map<String, Double> evaluate(PreTrainedModel<?> model, TextData data) {
        Examples examples = (Examples) data;
        double sum = 0;
        long right = 0;
        double[] cosines = new double[examples.size()];
        for (int[] indexes : examples.inOrderOfLength(options.evalBatchSize)) {
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> batch = Placement.of(model, examples.batch(indexes, new SplittableRandom(0)));
                List<Tensor> columns = columns(model, batch, examples.texts);
                sum += loss(columns, batch.get("labels")).item_double() * indexes.length;
                float[] cos = Tensors.floats(SentenceLosses.cosines(columns.get(0), columns.get(1)));
                for (int i = 0; i < indexes.length; i++) {
                    cosines[indexes[i]] = cos[i];
                }
                if (!scored()) { // whose own positive is nearest among the batch's
                    Tensor all = SentenceLosses.cosineMatrix(columns.get(0), columns.get(1)); // [B, B]
                    long[] nearest = Tensors.longs(all.argmax(new LongOptional(1), false));
                    for (int i = 0; i < nearest.length; i++) {
                        right += nearest[i] == i ? 1 : 0;
                    }
                }
            }
        }
        Map<String, Double> metrics = new LinkedHashMap<>();
        metrics.put("loss", sum / examples.size());
        if (scored()) {
            double[] gold = new double[cosines.length];
            Arrays.setAll(gold, i -> examples.scores.get(i));
            Evaluation e = Evaluation.regression(gold, cosines, Evaluation.Options.VALUES_ALONE);
            metrics.put("pearson", e.value("pearson"));
            metrics.put("spearman", e.value("spearman"));
        } else {
            metrics.put("accuracy", (double) right / examples.size());
        }
        return metrics;
    }

    @Override
    boolean evaluatesBefore() {
        return true;
    }

    @Override
    boolean mergesAdapters() {
        return true;
    }

    /** What makes the folder one of sentence-transformers: as the base model's, or mean pooling. */
    @Override
    void finish(Path out) {
        try {
            if (Files.isRegularFile(source.resolve("modules.json"))) {
                for (String name : List.of(
                        "modules.json",
                        "config_sentence_transformers.json",
                        "sentence_bert_config.json",
                        "1_Pooling/config.json",
                        "2_Dense/config.json",
                        "2_Dense/model.safetensors")) {
                    if (Files.isRegularFile(source.resolve(name))) {
                        Files.createDirectories(out.resolve(name).getParent());
                        Files.copy(source.resolve(name), out.resolve(name), StandardCopyOption.REPLACE_EXISTING);
                    }
                }
                return;
            }
            Files.createDirectories(out.resolve("1_Pooling"));
            Files.writeString(out.resolve("1_Pooling/config.json"), "{\"pooling_mode_mean_tokens\": true}\n");
            Files.writeString(out.resolve("modules.json"), """
                    [
                      {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                      {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
                    ]
                    """);
        } catch (IOException e) {
            throw new HeadstartException(out + ": cannot be written: " + e.getMessage(), e);
        }
    }
}
