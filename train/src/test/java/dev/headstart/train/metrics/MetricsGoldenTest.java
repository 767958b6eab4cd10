package dev.headstart.train.metrics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.train.metrics.Classification.Average;
import dev.headstart.train.metrics.Classification.Prf;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;

/** Against scikit-learn, scipy, seqeval, sacrebleu, rouge-score, NLTK and the SQuAD script: conformance/metrics_goldens.py. */
class MetricsGoldenTest {
    private static final Offset<Double> EXACT = within(1e-9);
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private static JsonNode golden(String name) throws IOException {
        try (InputStream in =
                Objects.requireNonNull(MetricsGoldenTest.class.getResourceAsStream("/metrics/" + name + ".json"))) {
            return MAPPER.readTree(in);
        }
    }

    private static <T> T as(JsonNode n, Class<T> type) {
        return MAPPER.convertValue(n, type);
    }

    private static void same(Prf found, JsonNode want) {
        assertThat(found.precision()).isEqualTo(want.get(0).asDouble(), EXACT);
        assertThat(found.recall()).isEqualTo(want.get(1).asDouble(), EXACT);
        assertThat(found.f1()).isEqualTo(want.get(2).asDouble(), EXACT);
    }

    @Test
    void classification() throws IOException {
        for (JsonNode c : golden("classification").get("single")) {
            int[] y = as(c.get("references"), int[].class);
            int[] p = as(c.get("predictions"), int[].class);
            double[][] probs = as(c.get("probabilities"), double[][].class);
            int classes = c.get("classes").asInt();
            Classification found = Classification.of(y, p, classes);
            assertThat(found.accuracy()).isEqualTo(c.get("accuracy").asDouble(), EXACT);
            assertThat(found.mcc()).isEqualTo(c.get("mcc").asDouble(), EXACT);
            for (Average how : Average.values()) {
                same(found.average(how), c.get(how.name().toLowerCase(Locale.ROOT)));
            }
            Evaluation e = Evaluation.classification(y, p, classes, probs, Evaluation.Options.VALUES_ALONE);
            assertThat(e.value("ece")).isEqualTo(c.get("ece").asDouble(), EXACT);
            if (c.has("auc")) {
                assertThat(e.value("auc")).isEqualTo(c.get("auc").asDouble(), EXACT);
                boolean[] positive = new boolean[y.length];
                double[] rounded = new double[y.length];
                for (int i = 0; i < y.length; i++) {
                    positive[i] = y[i] == 1;
                    rounded[i] = Math.rint(probs[i][1] * 10) / 10;
                }
                assertThat(Metrics.auc(positive, rounded))
                        .isEqualTo(c.get("auc_ties").asDouble(), EXACT);
            } else if (c.has("auc_ovr")) {
                assertThat(e.value("auc_ovr")).isEqualTo(c.get("auc_ovr").asDouble(), EXACT);
                assertThat(Metrics.aucOneVsRest(y, probs, true))
                        .isEqualTo(c.get("auc_ovr_weighted").asDouble(), EXACT);
            } else {
                assertThat(e.value("auc_ovr")).isNaN(); // a class that does not occur
            }
        }
    }

    @Test
    void multiLabel() throws IOException {
        JsonNode c = golden("classification").get("multi");
        boolean[][] y = flags(c.get("references"));
        boolean[][] p = flags(c.get("predictions"));
        int[] all = IntStream.range(0, y.length).toArray();
        assertThat(Classification.subsetAccuracy(y, p, all))
                .isEqualTo(c.get("subset_accuracy").asDouble(), EXACT);
        for (Average how : Average.values()) {
            same(Classification.multiLabel(y, p, how, all), c.get(how.name().toLowerCase(Locale.ROOT)));
        }
    }

    private static boolean[][] flags(JsonNode n) {
        int[][] v = as(n, int[][].class);
        boolean[][] b = new boolean[v.length][v[0].length];
        for (int i = 0; i < v.length; i++) {
            for (int j = 0; j < v[i].length; j++) {
                b[i][j] = v[i][j] == 1;
            }
        }
        return b;
    }

    @Test
    void regression() throws IOException {
        JsonNode c = golden("classification").get("regression");
        double[] y = as(c.get("references"), double[].class);
        double[] p = as(c.get("predictions"), double[].class);
        Evaluation e = Evaluation.regression(y, p, Evaluation.Options.VALUES_ALONE);
        for (String name : List.of("pearson", "spearman", "mse", "mae", "r2")) {
            assertThat(e.value(name)).as(name).isEqualTo(c.get(name).asDouble(), EXACT);
        }
        assertThat(Metrics.spearman(y, as(c.get("ties"), double[].class)))
                .isEqualTo(c.get("spearman_ties").asDouble(), EXACT);
        assertThat(Metrics.ranks(new double[] {0.0, 1, -0.0, -1})).containsExactly(2.5, 4, 2.5, 1);
    }

    @SuppressWarnings("unchecked")
    @Test
    void seqeval() throws IOException {
        for (JsonNode c : golden("seqeval")) {
            List<List<String>> ref = as(c.get("references"), List.class);
            List<List<String>> pred = as(c.get("predictions"), List.class);
            SeqEval.Scheme scheme = SeqEval.scheme(c.get("scheme").asText());
            for (Average how : Average.values()) {
                same(SeqEval.score(ref, pred, scheme, how), c.get(how.name().toLowerCase(Locale.ROOT)));
            }
            Map<String, Prf> types = SeqEval.byType(ref, pred, scheme);
            assertThat(types).hasSize(c.get("types").size());
            types.forEach((type, prf) -> {
                same(prf, c.get("types").get(type));
                assertThat(prf.support())
                        .isEqualTo(c.get("types").get(type).get(3).asLong());
            });
        }
    }

    @SuppressWarnings("unchecked")
    @Test
    void squad() throws IOException {
        for (JsonNode c : golden("squad")) {
            String p = c.get("prediction").asText();
            List<String> answers = as(c.get("answers"), List.class);
            assertThat(Squad.normalize(p)).isEqualTo(c.get("normalized").asText());
            assertThat(Squad.exactMatch(p, answers)).as(p).isEqualTo(c.get("em").asDouble());
            assertThat(Squad.f1(p, answers)).as(p).isEqualTo(c.get("f1").asDouble(), EXACT);
        }
    }

    @SuppressWarnings("unchecked")
    @Test
    void bleuAndChrf() throws IOException {
        for (JsonNode c : golden("translation")) {
            List<String> hyps = as(c.get("hypotheses"), List.class);
            List<List<String>> refs = as(c.get("references"), List.class);
            for (int i = 0; i < hyps.size(); i++) {
                assertThat(String.join(" ", Bleu.tokenize(hyps.get(i), Bleu.Settings.DEFAULT)))
                        .isEqualTo(c.get("tokens").get(i).asText());
            }
            assertThat(Bleu.corpus(hyps, refs)).isEqualTo(c.get("bleu").asDouble(), EXACT);
            assertThat(Chrf.corpus(hyps, refs)).isEqualTo(c.get("chrf").asDouble(), EXACT);
        }
    }

    @SuppressWarnings("unchecked")
    @Test
    void bleuAndChrfWithOtherSettings() throws IOException {
        for (JsonNode c : golden("translation-settings")) {
            List<String> hyps = as(c.get("hypotheses"), List.class);
            List<List<String>> refs = as(c.get("references"), List.class);
            boolean lowercase = c.get("lowercase").asBoolean();
            c.get("bleu").properties().forEach(e -> {
                Bleu.Settings settings = new Bleu.Settings(Bleu.Tokenization.of(e.getKey()), lowercase);
                for (int i = 0; i < hyps.size(); i++) {
                    assertThat(String.join(" ", Bleu.tokenize(hyps.get(i), settings)))
                            .as("%s", e.getKey())
                            .isEqualTo(c.get("tokens").get(e.getKey()).get(i).asText());
                }
                Evaluation found = Evaluation.translation(refs, hyps, settings, Evaluation.Options.VALUES_ALONE);
                assertThat(found.value("bleu"))
                        .as("%s", e.getKey())
                        .isEqualTo(e.getValue().asDouble(), EXACT);
                assertThat(found.value("chrf")).isEqualTo(c.get("chrf").asDouble(), EXACT);
                assertThat(found.value("chrf++")).isEqualTo(c.get("chrf++").asDouble(), EXACT);
            });
        }
        assertThatThrownBy(() -> Bleu.Tokenization.of("ja-mecab"))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("13a, intl, char, zh, none");
    }

    @Test
    void rouge() throws IOException {
        for (JsonNode c : golden("rouge")) {
            String ref = c.get("reference").asText();
            String pred = c.get("prediction").asText();
            for (boolean stem : new boolean[] {false, true}) {
                JsonNode want = c.get(stem ? "stem" : "plain");
                same(Rouge.ngram(ref, pred, 1, stem), want.get("rouge1"));
                same(Rouge.ngram(ref, pred, 2, stem), want.get("rouge2"));
                same(Rouge.longest(ref, pred, stem), want.get("rougeL"));
                same(Rouge.longestOfSummary(ref, pred, stem), want.get("rougeLsum"));
            }
        }
    }

    @Test
    void porter() throws IOException {
        List<String> wrong = new ArrayList<>();
        golden("porter").properties().forEach(e -> {
            String found = PorterStemmer.stem(e.getKey());
            if (!found.equals(e.getValue().asText())) {
                wrong.add(e.getKey() + " -> " + found + ", expected "
                        + e.getValue().asText());
            }
        });
        assertThat(wrong).isEmpty();
    }

    @Test
    void bootstrapIsSeededAndCoversTheMean() {
        double[] v = new double[400];
        java.util.Random random = new java.util.Random(3);
        java.util.Arrays.setAll(v, i -> random.nextGaussian());
        java.util.function.ToDoubleFunction<int[]> mean =
                i -> java.util.Arrays.stream(i).mapToDouble(k -> v[k]).average().orElseThrow();
        Bootstrap.Interval a = Bootstrap.interval(400, mean, 1000, 0.95, 5);
        assertThat(Bootstrap.interval(400, mean, 1000, 0.95, 5)).isEqualTo(a);
        assertThat(Bootstrap.interval(400, mean, 1000, 0.95, 6)).isNotEqualTo(a);
        double m = java.util.Arrays.stream(v).average().orElseThrow();
        // The normal interval of a mean of 400 standard normal values is +-1.96/20.
        assertThat(m - a.low()).isBetween(0.08, 0.12);
        assertThat(a.high() - m).isBetween(0.08, 0.12);
    }

    @Test
    void undefinedMetricsAreNull() {
        Evaluation e =
                Evaluation.regression(new double[] {1, 1, 1}, new double[] {1, 2, 3}, Evaluation.Options.defaults());
        assertThat(e.value("pearson")).isNaN();
        assertThat(e.value("r2")).isEqualTo(0); // as scikit-learn's r2_score of constant references
        assertThat(Metrics.r2(new double[] {2, 2}, new double[] {2, 2})).isEqualTo(1);
        assertThat(e.toJson().at("/metrics/pearson/value").isNull()).isTrue();
        assertThat(e.toText()).contains("undefined");
    }
}
