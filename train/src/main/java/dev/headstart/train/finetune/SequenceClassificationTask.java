package dev.headstart.train.finetune;

import static org.bytedeco.pytorch.global.torch.cross_entropy_loss;

import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.Row;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Ops;
import dev.headstart.text.BatchEncoding;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import dev.headstart.train.Objective;
import dev.headstart.train.metrics.Evaluation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** Texts or pairs of texts into classes, several classes at once, or a number. */
final class SequenceClassificationTask extends FineTuneTask {
    private static final long MEAN = 1;
    private String type = "single_label_classification";
    private Map<Integer, String> id2label = Map.of(0, "LABEL_0");
    private Map<String, Integer> label2id = Map.of();
    private float @Nullable [] weights;
    private @Nullable Columns columns;

    SequenceClassificationTask(FineTuneOptions options) {
        super(options);
    }

    @Override
    String head() {
        return "ForSequenceClassification";
    }

    @Override
    String peftTask() {
        return "SEQ_CLS";
    }

    @Override
    List<Role> required() {
        return "regression".equals(options.problemType)
                ? List.of(Role.TEXT, Role.SCORE)
                : List.of(Role.TEXT, Role.LABEL);
    }

    @Override
    List<Role> optional() {
        return List.of(Role.TEXT_PAIR);
    }

    private String labelColumn() {
        Columns c = known();
        String score = c.find(Role.SCORE);
        return score != null && "regression".equals(options.problemType) ? score : c.get(Role.LABEL);
    }

    private Columns known() {
        if (columns == null) {
            throw new IllegalStateException("nothing read yet");
        }
        return columns;
    }

    @Override
    void read(List<Row> train, List<Row> validation, List<Row> test, Columns found) {
        columns = found;
        String column = labelColumn();
        for (List<Row> rows : List.of(train, validation, test)) {
            for (Row row : rows) {
                if (!row.has(column) || String.valueOf(row.values().get(column)).isBlank()) {
                    throw new HeadstartException(
                            row.where() + ": the label (column '" + column + "') is empty; every example needs one");
                }
            }
        }
        Map<Integer, String> ofModel = known;
        if (options.problemType != null) {
            type = options.problemType;
        } else {
            type = ofModel != null && ofModel.size() == 1
                    ? "regression"
                    : inferred(ofModel == null ? train : validation, column);
        }
        if (!List.of("single_label_classification", "multi_label_classification", "regression")
                .contains(type)) {
            throw new HeadstartException("--problem-type " + type
                    + " is not known; known: single_label_classification, multi_label_classification, regression");
        }
        LOG.info("problem type {}", type);
        if (type.equals("regression")) {
            train.forEach(r -> r.number(column));
            validation.forEach(r -> r.number(column));
            test.forEach(r -> r.number(column));
            return;
        }
        if (ofModel != null) {
            id2label = ofModel;
            Map<String, Integer> found2id = new HashMap<>();
            for (Row row : validation) {
                names(row, column).forEach(name -> found2id.computeIfAbsent(name, n -> indexOf(n, ofModel, row)));
            }
            label2id = found2id;
            return;
        }
        Set<String> names = new TreeSet<>();
        train.forEach(r -> names.addAll(names(r, column)));
        if (names.size() < 2) {
            throw new HeadstartException(options.train + ": only one class (" + String.join(", ", names)
                    + ") in column '" + column + "'; classification needs at least two");
        }
        id2label = numbered(names);
        label2id = inverse(id2label);
        Stream.concat(validation.stream(), test.stream()).forEach(row -> {
            for (String name : names(row, column)) {
                if (!names.contains(name)) {
                    throw new HeadstartException(row.where() + ": label '" + name
                            + "' does not occur in the training data, which has " + shorten(names)
                            + "; correct it, or add training examples of it");
                }
            }
        });
        weights = weights(train, column);
        LOG.info("{} classes: {}", id2label.size(), shorten(names));
    }

    private static String shorten(Set<String> names) {
        return names.size() <= 20
                ? String.join(", ", names)
                : String.join(", ", names.stream().limit(20).toList()) + " and " + (names.size() - 20) + " more";
    }

    /** A list is several labels at once; numbers that are not all whole are scores; else classes. */
    private static String inferred(List<Row> rows, String column) {
        boolean lists = rows.stream().allMatch(r -> r.values().get(column) instanceof List);
        if (lists) {
            return "multi_label_classification";
        }
        boolean numbers = rows.stream()
                .allMatch(r -> String.valueOf(r.values().get(column))
                        .strip()
                        .matches("[-+]?(\\d+\\.?\\d*|\\.\\d+)([eE][-+]?\\d+)?"));
        boolean whole = numbers && rows.stream().allMatch(r -> r.number(column) == Math.rint(r.number(column)));
        return numbers && !whole ? "regression" : "single_label_classification";
    }

    private List<String> names(Row row, String column) {
        if (type.equals("multi_label_classification")) {
            return row.values().get(column) instanceof List
                    ? row.texts(column)
                    : Arrays.stream(row.text(column).split("[|;,]"))
                            .map(String::strip)
                            .filter(s -> !s.isEmpty())
                            .toList();
        }
        return List.of(row.text(column).strip());
    }

    private float @Nullable [] weights(List<Row> train, String column) {
        String asked = options.classWeights;
        if (asked == null) {
            return null;
        }
        if (!type.equals("single_label_classification")) {
            throw new HeadstartException("--class-weights is for single-label classification, this is " + type);
        }
        int n = id2label.size();
        float[] w = new float[n];
        if (asked.equals("balanced")) { // scikit-learn's: n_samples / (n_classes * count)
            long[] counts = new long[n];
            train.forEach(r -> counts[index(r, column)]++);
            for (int i = 0; i < n; i++) {
                w[i] = (float) train.size() / (n * Math.max(1, counts[i]));
            }
            return w;
        }
        String[] parts = asked.split(",");
        if (parts.length != n) {
            throw new HeadstartException("--class-weights has " + parts.length + " weights, there are " + n
                    + " classes (" + String.join(", ", id2label.values()) + ")");
        }
        for (int i = 0; i < n; i++) {
            try {
                w[i] = Float.parseFloat(parts[i].strip());
            } catch (NumberFormatException e) {
                throw new HeadstartException(
                        "--class-weights: expected numbers or \"balanced\", found '" + parts[i] + "'", e);
            }
        }
        return w;
    }

    private int index(Row row, String column) {
        Integer i = label2id.get(row.text(column).strip());
        if (i == null) {
            throw new HeadstartException(row.where() + ": unknown label '" + row.text(column) + "'");
        }
        return i;
    }

    @Override
    Map<Integer, String> id2label() {
        return type.equals("regression") ? id2label : shownNames(id2label);
    }

    @Override
    String problemType() {
        return type;
    }

    @Override
    String mainMetric() {
        return switch (type) {
            case "regression" -> "pearson";
            case "multi_label_classification" -> "f1_micro";
            default -> "accuracy";
        };
    }

    @Override
    String key(Row row, Columns c) {
        String pair = c.find(Role.TEXT_PAIR);
        return row.text(c.get(Role.TEXT)) + "\u0000" + (pair != null && row.has(pair) ? row.text(pair) : "");
    }

    /** Texts with labels: a class, several, or a number. */
    static class Examples extends TextData {
        private final List<float[]> labels = new ArrayList<>();
        private final boolean classes;

        Examples(Tokenizer tokenizer, boolean classes) {
            super(tokenizer);
            this.classes = classes;
        }

        /** A text, or two, with a class, several, or a number. */
        final void add(Encoding encoding, float[] label) {
            add(encoding);
            labels.add(label);
        }

        final float[] label(int index) {
            return labels.get(index);
        }

        @Override
        void labels(Map<String, Tensor> batch, long[][] rows, int[] indexes, SplittableRandom random) {
            batch.put("labels", labels(indexes));
        }

        final Tensor labels(int[] indexes) {
            if (classes) {
                long[] values = Arrays.stream(indexes)
                        .mapToLong(i -> (long) labels.get(i)[0])
                        .toArray();
                return Tensors.int64(values); // [B]
            }
            int n = labels.get(0).length;
            float[] values = new float[indexes.length * n];
            for (int r = 0; r < indexes.length; r++) {
                System.arraycopy(labels.get(indexes[r]), 0, values, r * n, n);
            }
            return n == 1 ? Tensors.float32(values, indexes.length) : Tensors.float32(values, indexes.length, n);
        }
    }

    @Override
    TextData examples(List<Row> rows, Tokenizer tokenizer, int maxLength) {
        Columns c = known();
        String pair = c.find(Role.TEXT_PAIR);
        String column = labelColumn();
        Examples examples = new Examples(tokenizer, type.equals("single_label_classification"));
        EncodeOptions how =
                EncodeOptions.DEFAULT.withTruncation(Truncation.LONGEST_FIRST).withMaxLength(maxLength);
        int chunk = 1000;
        for (int from = 0; from < rows.size(); from += chunk) {
            List<Row> some = rows.subList(from, Math.min(rows.size(), from + chunk));
            List<String> first = map(some, r -> r.text(c.get(Role.TEXT)));
            BatchEncoding encoded = tokenizer.encode(first, pair == null ? null : map(some, r -> r.text(pair)), how);
            for (int i = 0; i < some.size(); i++) {
                examples.add(encoded.get(i), label(some.get(i), column));
            }
        }
        return examples;
    }

    private float[] label(Row row, String column) {
        if (type.equals("regression")) {
            return new float[] {(float) row.number(column)};
        }
        if (type.equals("single_label_classification")) {
            return new float[] {index(row, column)};
        }
        float[] label = new float[id2label.size()];
        for (String name : names(row, column)) {
            Integer i = label2id.get(name);
            if (i != null) {
                label[i] = 1;
            }
        }
        return label;
    }

    @Override
    Objective objective() {
        float[] w = weights;
        double smoothing = options.labelSmoothing;
        if (!(smoothing >= 0 && smoothing < 1)) {
            throw new HeadstartException("--label-smoothing must be in [0, 1), found " + smoothing);
        }
        if (w == null && (smoothing == 0 || !type.equals("single_label_classification"))) {
            return super.objective();
        }
        return (model, batch) -> {
            Tensor logits = logits(Objective.forward(model, batch)); // [B, C]
            Tensor labels = batch.get("labels");
            if (labels == null) {
                throw new IllegalStateException("a batch without labels");
            }
            TensorOptional weight = w == null
                    ? new TensorOptional()
                    : new TensorOptional(Tensors.float32(w, w.length).to(logits.device(), ScalarType.Float));
            return cross_entropy_loss(
                    logits.to(ScalarType.Float),
                    labels.to(logits.device(), ScalarType.Long),
                    weight,
                    MEAN,
                    -100,
                    smoothing);
        };
    }

    static Tensor logits(Map<String, Tensor> outputs) {
        Tensor logits = outputs.get("logits");
        if (logits == null) {
            throw new HeadstartException("the model gives no logits, but " + outputs.keySet());
        }
        return logits;
    }

    @Override
    Map<String, Double> evaluate(PreTrainedModel<?> model, TextData data) {
        Examples examples = (Examples) data;
        return evaluate(
                examples, indexes -> Objective.forward(model, examples.batch(indexes, new SplittableRandom(0))));
    }

    @Override
    Evaluation evaluation(PreTrainedModel<?> model, TextData data, Evaluation.Options how) {
        Examples examples = (Examples) data;
        return score(
                examples,
                logits(
                        examples,
                        indexes -> Objective.forward(model, examples.batch(indexes, new SplittableRandom(0))),
                        new double[1]),
                how);
    }

    /** Outputs (loss, logits) of a batch of examples. */
    interface Forward {
        Map<String, Tensor> apply(int[] indexes);
    }

    Map<String, Double> evaluate(Examples examples, Forward forward) {
        double[] loss = new double[1];
        float[][] logits = logits(examples, forward, loss);
        return score(examples, logits, Evaluation.Options.VALUES_ALONE).values(loss[0] / examples.size());
    }

    /** @param loss its first element gets the sum of the losses; @return [N][C] */
    private float[][] logits(Examples examples, Forward forward, double[] loss) {
        int n = examples.size();
        int classes = type.equals("regression") ? 1 : id2label.size();
        float[][] logits = new float[n][];
        for (int[] indexes : examples.inOrderOfLength(options.evalBatchSize)) {
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> out = forward.apply(indexes);
                Tensor l = out.get("loss");
                loss[0] += (l == null ? Double.NaN : l.item_double()) * indexes.length;
                float[] flat = Tensors.floats(logits(out)); // [B, C]
                for (int r = 0; r < indexes.length; r++) {
                    logits[indexes[r]] = Arrays.copyOfRange(flat, r * classes, (r + 1) * classes);
                }
            }
        }
        return logits;
    }

    private Evaluation score(Examples examples, float[][] logits, Evaluation.Options how) {
        int n = logits.length;
        switch (type) {
            case "regression" -> {
                double[] gold = new double[n];
                double[] found = new double[n];
                for (int i = 0; i < n; i++) {
                    gold[i] = examples.label(i)[0];
                    found[i] = logits[i][0];
                }
                return Evaluation.regression(gold, found, how);
            }
            case "multi_label_classification" -> {
                boolean[][] gold = new boolean[n][];
                boolean[][] found = new boolean[n][];
                for (int i = 0; i < n; i++) {
                    gold[i] = new boolean[logits[i].length];
                    found[i] = new boolean[logits[i].length];
                    for (int c = 0; c < logits[i].length; c++) {
                        gold[i][c] = examples.label(i)[c] > 0;
                        found[i][c] = logits[i][c] > 0;
                    }
                }
                return Evaluation.multiLabel(gold, found, how);
            }
            default -> {
                int[] gold = new int[n];
                int[] found = new int[n];
                double[][] probabilities = new double[n][];
                for (int i = 0; i < n; i++) {
                    gold[i] = (int) examples.label(i)[0];
                    probabilities[i] = softmax(logits[i]);
                    for (int c = 1; c < logits[i].length; c++) {
                        if (logits[i][c] > logits[i][found[i]]) {
                            found[i] = c;
                        }
                    }
                }
                return Evaluation.classification(gold, found, id2label.size(), probabilities, how);
            }
        }
    }

    private static double[] softmax(float[] logits) {
        double max = Double.NEGATIVE_INFINITY;
        for (float v : logits) {
            max = Math.max(max, v);
        }
        double[] p = new double[logits.length];
        double sum = 0;
        for (int i = 0; i < p.length; i++) {
            p[i] = Math.exp(logits[i] - max);
            sum += p[i];
        }
        for (int i = 0; i < p.length; i++) {
            p[i] /= sum;
        }
        return p;
    }

    /** The type of the model's numbers, for cached features. */
    static ScalarType typeOf(Tensor t) {
        return Ops.type(t);
    }
}
