package dev.headstart.train.metrics;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.train.metrics.Classification.Average;
import dev.headstart.train.metrics.Classification.Prf;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The metrics of one task on one set of predictions, each with its bootstrap interval.
 *
 * @param kind what was compared: classification, regression ...
 * @param examples how many
 * @param metrics by name, in the order to show them
 */
public record Evaluation(String kind, int examples, Map<String, Value> metrics) {
    /**
     * One metric; NaN where it is not defined (one class only, a constant column).
     *
     * @param low lower end of the interval; NaN without bootstrap
     * @param high upper end
     */
    public record Value(double value, double low, double high) {}

    /**
     * How intervals are made.
     *
     * @param resamples number of bootstrap resamples; 0 for no intervals
     * @param confidence 0.95 for 95 % intervals
     * @param seed same seed, same intervals
     */
    public record Options(int resamples, double confidence, long seed) {
        /** No intervals. */
        public static final Options VALUES_ALONE = new Options(0, 0.95, 0);

        /** 1000 resamples, 95 %, seed 0. */
        public static Options defaults() {
            return new Options(1000, 0.95, 0);
        }
    }

    private static final class Builder {
        private final Map<String, Value> metrics = new LinkedHashMap<>();
        private final int n;
        private final int[] all;
        private final Options options;

        Builder(int n, Options options) {
            this.n = n;
            this.all = IntStream.range(0, n).toArray();
            this.options = options;
        }

        Builder add(String name, ToDoubleFunction<int[]> metric) {
            Bootstrap.Interval i = options.resamples() == 0 || n == 0
                    ? new Bootstrap.Interval(Double.NaN, Double.NaN)
                    : Bootstrap.interval(n, metric, options.resamples(), options.confidence(), options.seed());
            metrics.put(name, new Value(metric.applyAsDouble(all), i.low(), i.high()));
            return this;
        }

        Evaluation build(String kind) {
            return new Evaluation(kind, n, metrics);
        }
    }

    /**
     * Single-label classification: accuracy, precision/recall/F1, MCC and, with probabilities, AUC and calibration error. For two classes
     * {@code f1}, {@code precision} and {@code recall} are of class 1.
     *
     * @param probabilities [examples][classes], or null
     */
    public static Evaluation classification(
            int[] references, int[] predictions, int classes, double @Nullable [][] probabilities, Options options) {
        Metrics.sameLength(references.length, predictions.length);
        Builder b = new Builder(references.length, options);
        b.add(
                "accuracy",
                i -> Classification.of(references, predictions, classes, i).accuracy());
        if (classes == 2) {
            b.add(
                    "f1",
                    i -> Classification.of(references, predictions, classes, i)
                            .of(1)
                            .f1());
            b.add(
                    "precision",
                    i -> Classification.of(references, predictions, classes, i)
                            .of(1)
                            .precision());
            b.add(
                    "recall",
                    i -> Classification.of(references, predictions, classes, i)
                            .of(1)
                            .recall());
        }
        for (Average how : Average.values()) {
            String suffix = "_" + how.name().toLowerCase(Locale.ROOT);
            b.add(
                    "f1" + suffix,
                    i -> Classification.of(references, predictions, classes, i)
                            .average(how)
                            .f1());
            if (how != Average.MICRO) { // there all three are the accuracy
                b.add(
                        "precision" + suffix,
                        i -> Classification.of(references, predictions, classes, i)
                                .average(how)
                                .precision());
                b.add(
                        "recall" + suffix,
                        i -> Classification.of(references, predictions, classes, i)
                                .average(how)
                                .recall());
            }
        }
        b.add("mcc", i -> Classification.of(references, predictions, classes, i).mcc());
        if (probabilities != null) {
            Metrics.sameLength(references.length, probabilities.length);
            if (classes == 2) {
                b.add(
                        "auc",
                        i -> Metrics.auc(
                                booleans(i, k -> references[k] == 1),
                                Arrays.stream(i)
                                        .mapToDouble(k -> probabilities[k][1])
                                        .toArray()));
            } else {
                b.add(
                        "auc_ovr",
                        i -> Metrics.aucOneVsRest(
                                Arrays.stream(i).map(k -> references[k]).toArray(),
                                Arrays.stream(i).mapToObj(k -> probabilities[k]).toArray(double[][]::new),
                                false));
            }
            b.add(
                    "ece",
                    i -> Metrics.ece(
                            Arrays.stream(i)
                                    .mapToDouble(k -> probabilities[k][predictions[k]])
                                    .toArray(),
                            booleans(i, k -> references[k] == predictions[k]),
                            15));
        }
        return b.build("classification");
    }

    private static boolean[] booleans(int[] indexes, java.util.function.IntPredicate test) {
        boolean[] v = new boolean[indexes.length];
        for (int i = 0; i < v.length; i++) {
            v[i] = test.test(indexes[i]);
        }
        return v;
    }

    /** Multi-label classification; matrices are [examples][labels]. */
    public static Evaluation multiLabel(boolean[][] references, boolean[][] predictions, Options options) {
        Metrics.sameLength(references.length, predictions.length);
        Builder b = new Builder(references.length, options);
        b.add("subset_accuracy", i -> Classification.subsetAccuracy(references, predictions, i));
        for (Average how : Average.values()) {
            String suffix = "_" + how.name().toLowerCase(Locale.ROOT);
            b.add(
                    "f1" + suffix,
                    i -> Classification.multiLabel(references, predictions, how, i)
                            .f1());
            b.add(
                    "precision" + suffix,
                    i -> Classification.multiLabel(references, predictions, how, i)
                            .precision());
            b.add(
                    "recall" + suffix,
                    i -> Classification.multiLabel(references, predictions, how, i)
                            .recall());
        }
        return b.build("multi-label");
    }

    /** Regression and similarity. */
    public static Evaluation regression(double[] references, double[] predictions, Options options) {
        Metrics.sameLength(references.length, predictions.length);
        Builder b = new Builder(references.length, options);
        b.add("pearson", i -> Metrics.pearson(pick(references, i), pick(predictions, i)));
        b.add("spearman", i -> Metrics.spearman(pick(references, i), pick(predictions, i)));
        b.add("mse", i -> Metrics.mse(pick(references, i), pick(predictions, i)));
        b.add("mae", i -> Metrics.mae(pick(references, i), pick(predictions, i)));
        b.add("r2", i -> Metrics.r2(pick(references, i), pick(predictions, i)));
        return b.build("regression");
    }

    /**
     * Scored pairs that fit or do not: average precision, area under the ROC curve, and accuracy and F1 of scores above one half.
     *
     * @param references 0 or 1
     */
    public static Evaluation pairs(double[] references, double[] scores, Options options) {
        Metrics.sameLength(references.length, scores.length);
        int[] gold = Arrays.stream(references).mapToInt(v -> v > 0.5 ? 1 : 0).toArray();
        int[] found = Arrays.stream(scores).mapToInt(v -> v > 0.5 ? 1 : 0).toArray();
        return new Builder(scores.length, options)
                .add(
                        "average_precision",
                        i -> Ranking.averagePrecision(booleans(i, k -> gold[k] == 1), pick(scores, i)))
                .add("auc", i -> Metrics.auc(booleans(i, k -> gold[k] == 1), pick(scores, i)))
                .add("accuracy", i -> Classification.of(gold, found, 2, i).accuracy())
                .add("f1", i -> Classification.of(gold, found, 2, i).of(1).f1())
                .build("pairs");
    }

    /**
     * Candidates of queries, put into an order by their scores: mean average precision, reciprocal rank and discounted gain at 10. Queries without a
     * relevant candidate are left out, as in sentence-transformers' CrossEncoderRerankingEvaluator; intervals resample queries.
     *
     * @param queries of each candidate
     * @param references how relevant each candidate is; above one half counts as relevant
     */
    public static Evaluation ranking(List<String> queries, double[] references, double[] scores, Options options) {
        Metrics.sameLength(references.length, scores.length);
        Map<String, List<Integer>> byQuery = new LinkedHashMap<>();
        for (int i = 0; i < scores.length; i++) {
            byQuery.computeIfAbsent(queries.get(i), q -> new ArrayList<>()).add(i);
        }
        List<double[]> each = new ArrayList<>();
        for (List<Integer> group : byQuery.values()) {
            int[] at = group.stream().mapToInt(i -> i).toArray();
            boolean[] relevant = booleans(at, k -> references[k] > 0.5);
            double precision = Ranking.averagePrecision(relevant, pick(scores, at));
            if (!Double.isNaN(precision)) {
                each.add(new double[] {
                    precision,
                    Ranking.reciprocalRank(relevant, pick(scores, at), 10),
                    Ranking.ndcg(pick(references, at), pick(scores, at), 10)
                });
            }
        }
        return new Builder(each.size(), options)
                .add("map", column(each, 0))
                .add("mrr@10", column(each, 1))
                .add("ndcg@10", column(each, 2))
                .build("ranking");
    }

    private static ToDoubleFunction<int[]> column(List<double[]> rows, int c) {
        return mean(rows.stream().mapToDouble(r -> r[c]).toArray());
    }

    private static double[] pick(double[] v, int[] indexes) {
        double[] picked = new double[indexes.length];
        for (int i = 0; i < picked.length; i++) {
            picked[i] = v[indexes[i]];
        }
        return picked;
    }

    /**
     * Tagged sentences: entity scores over all types (micro; macro and weighted F1 too), then F1 by type.
     *
     * @param scheme null for seqeval's default mode
     */
    public static Evaluation entities(
            List<List<String>> references,
            List<List<String>> predictions,
            SeqEval.@Nullable Scheme scheme,
            Options options) {
        List<Map<String, long[]>> counts = SeqEval.counts(references, predictions, scheme);
        Builder b = new Builder(references.size(), options);
        b.add("precision", i -> SeqEval.score(counts, i, Average.MICRO).precision());
        b.add("recall", i -> SeqEval.score(counts, i, Average.MICRO).recall());
        b.add("f1", i -> SeqEval.score(counts, i, Average.MICRO).f1());
        b.add("f1_macro", i -> SeqEval.score(counts, i, Average.MACRO).f1());
        b.add("f1_weighted", i -> SeqEval.score(counts, i, Average.WEIGHTED).f1());
        double[] right = new double[references.size()];
        double[] tokens = new double[references.size()];
        for (int s = 0; s < right.length; s++) {
            for (int t = 0; t < references.get(s).size(); t++) {
                right[s] += references.get(s).get(t).equals(predictions.get(s).get(t)) ? 1 : 0;
                tokens[s]++;
            }
        }
        b.add(
                "accuracy",
                i -> Arrays.stream(pick(right, i)).sum()
                        / Arrays.stream(pick(tokens, i)).sum());
        for (String type : SeqEval.byType(references, predictions, scheme).keySet()) {
            b.add("f1_" + type, i -> {
                long[] sum = new long[3];
                for (int s : i) {
                    long[] n = counts.get(s).getOrDefault(type, new long[3]);
                    for (int k = 0; k < 3; k++) {
                        sum[k] += n[k];
                    }
                }
                return Prf.of(sum[0], sum[1], sum[2]).f1();
            });
        }
        return b.build("entities");
    }

    /** Extractive question answering; from 0 to 100 as SQuAD's script prints. */
    public static Evaluation answers(List<List<String>> references, List<String> predictions, Options options) {
        Metrics.sameLength(references.size(), predictions.size());
        double[] em = new double[predictions.size()];
        double[] f1 = new double[predictions.size()];
        for (int i = 0; i < em.length; i++) {
            em[i] = 100 * Squad.exactMatch(predictions.get(i), references.get(i));
            f1[i] = 100 * Squad.f1(predictions.get(i), references.get(i));
        }
        return new Builder(em.length, options)
                .add("exact_match", mean(em))
                .add("f1", mean(f1))
                .build("answers");
    }

    private static ToDoubleFunction<int[]> mean(double[] values) {
        return i -> Arrays.stream(i).mapToDouble(k -> values[k]).average().orElse(Double.NaN);
    }

    /** Translation: BLEU, chrF2 and chrF++, from 0 to 100. */
    public static Evaluation translation(List<List<String>> references, List<String> predictions, Options options) {
        return translation(references, predictions, Bleu.Settings.DEFAULT, options);
    }

    /** The same; {@code lowercase} holds for all three, the tokenization for BLEU. */
    public static Evaluation translation(
            List<List<String>> references, List<String> predictions, Bleu.Settings settings, Options options) {
        Metrics.sameLength(references.size(), predictions.size());
        List<long[]> bleu = new ArrayList<>();
        List<long[]> chrf = new ArrayList<>();
        List<long[]> words = new ArrayList<>();
        for (int i = 0; i < predictions.size(); i++) {
            String p = predictions.get(i);
            List<String> r = references.get(i);
            bleu.add(Bleu.statistics(p, r, settings));
            chrf.add(Chrf.statistics(p, r, new Chrf.Settings(0, settings.lowercase())));
            words.add(Chrf.statistics(p, r, new Chrf.Settings(2, settings.lowercase())));
        }
        return new Builder(predictions.size(), options)
                .add("bleu", i -> Bleu.score(sum(bleu, i)))
                .add("chrf", i -> Chrf.score(sum(chrf, i)))
                .add("chrf++", i -> Chrf.score(sum(words, i)))
                .build("translation");
    }

    private static long[] sum(List<long[]> statistics, int[] indexes) {
        long[] sum = new long[statistics.isEmpty() ? 0 : statistics.get(0).length];
        for (int i : indexes) {
            long[] s = statistics.get(i);
            for (int k = 0; k < sum.length; k++) {
                sum[k] += s[k];
            }
        }
        return sum;
    }

    /** Summarization: mean ROUGE F1, from 0 to 1; of several references the best counts. */
    public static Evaluation summarization(
            List<List<String>> references, List<String> predictions, boolean stem, Options options) {
        Metrics.sameLength(references.size(), predictions.size());
        int n = predictions.size();
        double[][] scores = new double[4][n];
        for (int i = 0; i < n; i++) {
            String p = predictions.get(i);
            for (String r : references.get(i)) {
                scores[0][i] = Math.max(scores[0][i], Rouge.ngram(r, p, 1, stem).f1());
                scores[1][i] = Math.max(scores[1][i], Rouge.ngram(r, p, 2, stem).f1());
                scores[2][i] = Math.max(scores[2][i], Rouge.longest(r, p, stem).f1());
                scores[3][i] = Math.max(
                        scores[3][i], Rouge.longestOfSummary(r, p, stem).f1());
            }
        }
        return new Builder(n, options)
                .add("rouge1", mean(scores[0]))
                .add("rouge2", mean(scores[1]))
                .add("rougeL", mean(scores[2]))
                .add("rougeLsum", mean(scores[3]))
                .build("summarization");
    }

    /**
     * Text to text of one task or several: exact matches, BLEU, chrF2 and ROUGE-L F1; where all right answers are numbers, Pearson's and Spearman's
     * correlation too, what is no number counting as 0. Of several tasks each has its own metrics, named {@code TASK_METRIC}, after those of all.
     *
     * @param tasks of each example, or empty
     */
    public static Evaluation textToText(
            List<String> references, List<String> predictions, List<String> tasks, Options options) {
        Metrics.sameLength(references.size(), predictions.size());
        int[] all = IntStream.range(0, references.size()).toArray();
        Map<String, Value> metrics = new LinkedHashMap<>(texts(references, predictions, all, options));
        List<String> names = tasks.stream().distinct().sorted().toList();
        if (names.size() > 1) {
            for (String task : names) {
                int[] own = Arrays.stream(all)
                        .filter(i -> tasks.get(i).equals(task))
                        .toArray();
                texts(references, predictions, own, options).forEach((name, v) -> metrics.put(task + "_" + name, v));
            }
        }
        return new Evaluation("text-to-text", references.size(), metrics);
    }

    private static Map<String, Value> texts(
            List<String> references, List<String> predictions, int[] which, Options options) {
        int n = which.length;
        List<long[]> bleu = new ArrayList<>();
        List<long[]> chrf = new ArrayList<>();
        double[] rouge = new double[n];
        double[] exact = new double[n];
        double[] gold = new double[n];
        double[] found = new double[n];
        boolean numbers = n > 0;
        for (int i = 0; i < n; i++) {
            String r = references.get(which[i]);
            String p = predictions.get(which[i]);
            bleu.add(Bleu.statistics(p, List.of(r)));
            chrf.add(Chrf.statistics(p, List.of(r)));
            rouge[i] = Rouge.longest(r, p, false).f1();
            exact[i] = r.strip().equals(p.strip()) ? 1 : 0;
            gold[i] = number(r, Double.NaN);
            found[i] = number(p, 0);
            numbers &= !Double.isNaN(gold[i]);
        }
        Builder b = new Builder(n, options)
                .add("exact_match", mean(exact))
                .add("bleu", i -> Bleu.score(sum(bleu, i)))
                .add("chrf", i -> Chrf.score(sum(chrf, i)))
                .add("rougeL", mean(rouge));
        if (numbers) {
            b.add("pearson", i -> Metrics.pearson(pick(gold, i), pick(found, i)));
            b.add("spearman", i -> Metrics.spearman(pick(gold, i), pick(found, i)));
        }
        return b.metrics;
    }

    private static double number(String text, double otherwise) {
        String t = text.strip();
        return t.matches("[-+]?\\d{1,15}(\\.\\d{1,15})?") ? Double.parseDouble(t) : otherwise;
    }

    /**
     * Language modelling.
     *
     * @param negativeLogLikelihoods sum of each text's tokens, natural logarithm
     * @param tokens number of tokens of each text
     */
    public static Evaluation languageModel(double[] negativeLogLikelihoods, double[] tokens, Options options) {
        Metrics.sameLength(negativeLogLikelihoods.length, tokens.length);
        ToDoubleFunction<int[]> loss =
                i -> Arrays.stream(pick(negativeLogLikelihoods, i)).sum()
                        / Arrays.stream(pick(tokens, i)).sum();
        return new Builder(tokens.length, options)
                .add("perplexity", i -> Math.exp(loss.applyAsDouble(i)))
                .add("loss", loss)
                .build("language-model");
    }

    /** All values by name, after the loss. */
    public Map<String, Double> values(double loss) {
        Map<String, Double> values = new LinkedHashMap<>();
        values.put("loss", loss);
        metrics.forEach((name, v) -> values.put(name, v.value()));
        return values;
    }

    /** One metric's value. */
    public double value(String name) {
        Value v = metrics.get(name);
        if (v == null) {
            throw new IllegalArgumentException("no metric '" + name + "', there are " + metrics.keySet());
        }
        return v.value();
    }

    /** {@code {"kind", "examples", "metrics": {name: {"value", "low", "high"}}}}; undefined numbers are null. */
    public ObjectNode toJson() {
        ObjectNode root = new ObjectMapper().createObjectNode();
        root.put("kind", kind).put("examples", examples);
        ObjectNode all = root.putObject("metrics");
        metrics.forEach((name, v) -> {
            ObjectNode m = all.putObject(name);
            put(m, "value", v.value());
            put(m, "low", v.low());
            put(m, "high", v.high());
        });
        return root;
    }

    private static void put(ObjectNode node, String name, double v) {
        if (Double.isFinite(v)) {
            node.put(name, v);
        } else {
            node.putNull(name);
        }
    }

    /** A table for people: name, value, interval. */
    public String toText() {
        StringBuilder b = new StringBuilder();
        int width = metrics.keySet().stream().mapToInt(String::length).max().orElse(0);
        metrics.forEach((name, v) -> {
            b.append(String.format(Locale.ROOT, "%-" + (width + 2) + "s", name)).append(shown(v.value()));
            if (!Double.isNaN(v.low())) {
                b.append("   [")
                        .append(shown(v.low()).strip())
                        .append(", ")
                        .append(shown(v.high()).strip())
                        .append(']');
            }
            b.append('\n');
        });
        return b.toString();
    }

    private static String shown(double v) {
        return Double.isNaN(v) ? "undefined" : String.format(Locale.ROOT, "%9.4f", v);
    }
}
