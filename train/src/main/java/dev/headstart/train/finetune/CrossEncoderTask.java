package dev.headstart.train.finetune;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Ops;
import dev.headstart.text.BatchEncoding;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import dev.headstart.train.Objective;
import dev.headstart.train.metrics.Evaluation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Cross-encoders (Nogueira and Cho 2019): a query and a document are read together and get one score; sentence-transformers' CrossEncoder loads the
 * result. Trained on pairs with labels 0 and 1 or with scores, on queries with an answer and hard negatives, or on queries with an answer alone, to
 * which answers of other queries are drawn as negatives. The loss is binary cross entropy, or mean squared error of the score itself ({@code mse}).
 */
final class CrossEncoderTask extends FineTuneTask {
    private static final List<String> LOSSES = List.of("binary-cross-entropy", "mse");
    private static final List<String> FIRST = List.of("query", "question", "anchor");
    private static final List<String> SECOND = List.of("document", "passage", "positive", "answer", "text", "context");
    private static final int DRAWN = 4; // negatives for each pair without any, as MS MARCO's cross-encoders are trained
    private static final long SEED = 7;
    private String loss = LOSSES.get(0);
    private double highest = 1;
    private boolean ranks;
    private boolean binary = true;
    private @Nullable Columns columns;

    CrossEncoderTask(FineTuneOptions options) {
        super(options);
    }

    /** A query, a document, and how well they fit: from 0 to 1, or any number with mean squared error. */
    private record Pair(String query, String document, float label) {}

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
        return List.of(Role.TEXT, Role.TEXT_PAIR);
    }

    @Override
    List<Role> optional() {
        return List.of(Role.NEGATIVE, Role.SCORE, Role.LABEL, Role.ID);
    }

    /** {@code document} is a text like others elsewhere; beside a query it is the second of the pair. */
    @Override
    Columns infer(RowReader reader, Map<Role, String> given) {
        Map<Role, String> named = new EnumMap<>(Role.class);
        named.putAll(given);
        for (String column : reader.columns()) {
            String name = column.toLowerCase(Locale.ROOT);
            if (FIRST.contains(name)) {
                named.putIfAbsent(Role.TEXT, column);
            }
        }
        if (named.containsKey(Role.TEXT)) {
            for (String column : reader.columns()) {
                if (SECOND.contains(column.toLowerCase(Locale.ROOT)) && !named.containsValue(column)) {
                    named.putIfAbsent(Role.TEXT_PAIR, column);
                }
            }
        }
        return super.infer(reader, named);
    }

    private Columns known() {
        if (columns == null) {
            throw new IllegalStateException("nothing read yet");
        }
        return columns;
    }

    /** The column of labels or scores, if there is one. */
    private @Nullable String labels() {
        String score = known().find(Role.SCORE);
        return score != null ? score : known().find(Role.LABEL);
    }

    @Override
    void read(List<Row> train, List<Row> validation, List<Row> test, Columns found) {
        columns = found;
        if (known != null && known.size() != 1) {
            throw new HeadstartException(options.model + ": a model that ranks has one label, this one has "
                    + known.size() + "; use --task text-classification");
        }
        String asked = options.sentenceLoss;
        loss = asked != null ? asked : LOSSES.get(0);
        if (!LOSSES.contains(loss)) {
            throw new HeadstartException(
                    "--loss " + loss + " is not known for " + options.task + "; known: " + String.join(", ", LOSSES));
        }
        List<Row> all = new ArrayList<>(train);
        all.addAll(validation);
        all.addAll(test);
        String label = labels();
        if (label != null) {
            checkLabels(train, all, label);
        } else if (loss.equals("mse")) {
            throw new HeadstartException(options.train
                    + ": --loss mse needs a column of scores; name it (--column score=NAME), or leave the loss out");
        }
        List<Pair> judged = pairs(validation);
        ranks = judged.size() > judged.stream().map(Pair::query).distinct().count() * 1.5
                && judged.stream().anyMatch(p -> p.label() > 0.5);
        binary = judged.stream().allMatch(p -> p.label() == 0 || p.label() == 1);
        LOG.info(
                "loss {}{}{}",
                loss,
                highest > 1 ? ", scores divided by " + highest : "",
                label == null && found.find(Role.NEGATIVE) == null
                        ? ", " + DRAWN + " documents of other queries drawn for each pair as negatives"
                        : "");
    }

    private void checkLabels(List<Row> train, List<Row> all, String label) {
        for (Row row : all) {
            if (!row.has(label) || row.text(label).isBlank()) {
                throw new HeadstartException(
                        row.where() + ": the label (column '" + label + "') is empty; every pair needs one");
            }
            double v = row.number(label);
            if (loss.equals(LOSSES.get(0)) && v < 0) {
                throw new HeadstartException(row.where() + ": score " + v
                        + " is below 0; binary cross entropy needs scores from 0 up, --loss mse takes any");
            }
        }
        if (!train.isEmpty()
                && train.stream().mapToDouble(r -> r.number(label)).distinct().count() < 2) {
            throw new HeadstartException(
                    options.train + ": only one value (" + train.get(0).text(label) + ") in column '" + label
                            + "'; ranking needs pairs that fit and pairs that do not");
        }
        if (loss.equals(LOSSES.get(0))) { // of the training data; an evaluation alone has only its own
            List<Row> deciding = train.isEmpty() ? all : train;
            highest = Math.max(
                    1, deciding.stream().mapToDouble(r -> r.number(label)).max().orElse(1));
        }
    }

    @Override
    Map<Integer, String> id2label() {
        return Map.of(0, "LABEL_0");
    }

    /** What CrossEncoder applies to the scores (sentence-transformers 4 and newer). */
    @Override
    void configure(ObjectNode config) {
        config.putObject("sentence_transformers")
                .put(
                        "activation_fn",
                        loss.equals("mse")
                                ? "torch.nn.modules.linear.Identity"
                                : "torch.nn.modules.activation.Sigmoid");
    }

    @Override
    boolean mergesAdapters() {
        return true;
    }

    @Override
    String mainMetric() {
        return ranks ? "ndcg@10" : binary ? "average_precision" : "spearman";
    }

    @Override
    String key(Row row, Columns c) {
        return row.text(c.get(Role.TEXT)) + "\u0000" + row.text(c.get(Role.TEXT_PAIR));
    }

    /** Candidates of one query stay on one side. */
    @Override
    String group(Row row, Columns c) {
        return row.text(c.get(Role.TEXT));
    }

    // === Pairs ===

    private List<Pair> pairs(List<Row> rows) {
        Columns c = known();
        String label = labels();
        String negative = c.find(Role.NEGATIVE);
        List<Pair> pairs = new ArrayList<>();
        SplittableRandom random = new SplittableRandom(SEED);
        for (Row row : rows) {
            String query = row.text(c.get(Role.TEXT));
            String document = row.text(c.get(Role.TEXT_PAIR));
            if (label != null) {
                pairs.add(new Pair(query, document, (float) (row.number(label) / highest)));
                continue;
            }
            pairs.add(new Pair(query, document, 1));
            if (negative != null) {
                if (row.has(negative)) {
                    row.texts(negative).forEach(d -> pairs.add(new Pair(query, d, 0)));
                }
                continue;
            }
            for (int i = 0, tries = 0; i < DRAWN && tries < 10 * DRAWN; tries++) {
                Row other = rows.get(random.nextInt(rows.size()));
                if (!other.text(c.get(Role.TEXT)).equals(query)
                        && !other.text(c.get(Role.TEXT_PAIR)).equals(document)) {
                    pairs.add(new Pair(query, other.text(c.get(Role.TEXT_PAIR)), 0));
                    i++;
                }
            }
        }
        return pairs;
    }

    /** Pairs with a number each, and which of them are candidates of one query. */
    private static final class Examples extends SequenceClassificationTask.Examples {
        private final List<String> queries = new ArrayList<>();

        Examples(Tokenizer tokenizer) {
            super(tokenizer, false);
        }
    }

    @Override
    TextData examples(List<Row> rows, Tokenizer tokenizer, int maxLength) {
        List<Pair> pairs = pairs(rows);
        Examples examples = new Examples(tokenizer);
        EncodeOptions how =
                EncodeOptions.DEFAULT.withTruncation(Truncation.LONGEST_FIRST).withMaxLength(maxLength);
        int chunk = 1000;
        for (int from = 0; from < pairs.size(); from += chunk) {
            List<Pair> some = pairs.subList(from, Math.min(pairs.size(), from + chunk));
            BatchEncoding encoded = tokenizer.encode(
                    some.stream().map(Pair::query).toList(),
                    some.stream().map(Pair::document).toList(),
                    how);
            for (int i = 0; i < some.size(); i++) {
                examples.add(encoded.get(i), new float[] {some.get(i).label()});
                examples.queries.add(some.get(i).query());
            }
        }
        return examples;
    }

    @Override
    Objective objective() {
        return (model, batch) -> {
            Map<String, Tensor> inputs = new LinkedHashMap<>(batch);
            Tensor labels = inputs.remove("labels"); // [B]
            if (labels == null) {
                throw new IllegalStateException("a batch without labels");
            }
            Tensor scores = SequenceClassificationTask.logits(Objective.forward(model, inputs))
                    .reshape(-1)
                    .to(ScalarType.Float); // [B]
            return loss(scores, labels.to(scores.device(), ScalarType.Float));
        };
    }

    private Tensor loss(Tensor scores, Tensor labels) {
        return loss.equals("mse") ? torch.mse_loss(scores, labels) : Losses.binary(scores, labels, null);
    }

    // === Evaluation ===

    @Override
    Map<String, Double> evaluate(PreTrainedModel<?> model, TextData data) {
        Examples examples = (Examples) data;
        double[] sum = new double[1];
        double[] scores = scores(model, examples, sum);
        return evaluation(examples, scores, Evaluation.Options.VALUES_ALONE).values(sum[0] / examples.size());
    }

    @Override
    Evaluation evaluation(PreTrainedModel<?> model, TextData data, Evaluation.Options how) {
        Examples examples = (Examples) data;
        return evaluation(examples, scores(model, examples, new double[1]), how);
    }

    private Evaluation evaluation(Examples examples, double[] scores, Evaluation.Options how) {
        double[] gold = new double[scores.length];
        Arrays.setAll(gold, i -> examples.label(i)[0]);
        if (ranks) {
            return Evaluation.ranking(examples.queries, gold, scores, how);
        }
        return binary ? Evaluation.pairs(gold, scores, how) : Evaluation.regression(gold, scores, how);
    }

    /** What the model gives each pair, after its activation. @param sum its element gets the sum of the losses */
    private double[] scores(PreTrainedModel<?> model, Examples examples, double[] sum) {
        double[] scores = new double[examples.size()];
        for (int[] indexes : examples.inOrderOfLength(options.evalBatchSize)) {
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> batch = new LinkedHashMap<>(examples.batch(indexes, new SplittableRandom(0)));
                batch.remove("labels");
                Tensor logits = SequenceClassificationTask.logits(Objective.forward(model, batch))
                        .reshape(-1)
                        .to(ScalarType.Float);
                sum[0] += loss(logits, examples.labels(indexes).to(logits.device(), Ops.type(logits)))
                                .item_double()
                        * indexes.length;
                float[] values = Tensors.floats(loss.equals("mse") ? logits : logits.sigmoid());
                for (int r = 0; r < indexes.length; r++) {
                    scores[indexes[r]] = values[r];
                }
            }
        }
        return scores;
    }
}
