package dev.headstart.train.metrics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;

class RankingTest {
    @Test
    void equalsTheReference() throws IOException {
        JsonNode cases;
        try (InputStream in = Objects.requireNonNull(RankingTest.class.getResourceAsStream("/metrics/ranking.json"))) {
            cases = new ObjectMapper().readTree(in);
        }
        assertThat(cases).hasSize(5).allSatisfy(c -> {
            double[] scores = numbers(c.path("scores"));
            double[] graded = numbers(c.path("graded"));
            boolean[] relevant = new boolean[scores.length];
            double[] gains = new double[scores.length];
            for (int i = 0; i < scores.length; i++) {
                relevant[i] = c.path("relevant").path(i).asBoolean();
                gains[i] = relevant[i] ? 1 : 0;
            }
            assertThat(Ranking.averagePrecision(relevant, scores))
                    .isCloseTo(c.path("average_precision").asDouble(), within(1e-12));
            assertThat(Ranking.reciprocalRank(relevant, scores, 10))
                    .isCloseTo(c.path("mrr@10").asDouble(), within(1e-12));
            assertThat(Ranking.ndcg(gains, scores, 10))
                    .isCloseTo(c.path("ndcg@10").asDouble(), within(1e-12));
            assertThat(Ranking.ndcg(graded, scores, 3))
                    .isCloseTo(c.path("ndcg@3_graded").asDouble(), within(1e-12));
        });
    }

    private static double[] numbers(JsonNode list) {
        double[] v = new double[list.size()];
        for (int i = 0; i < v.length; i++) {
            v[i] = list.path(i).asDouble();
        }
        return v;
    }

    @Test
    void queriesWithoutARelevantCandidateAreLeftOut() {
        Evaluation e = Evaluation.ranking(
                List.of("a", "a", "b", "b", "c", "c", "c"),
                new double[] {1, 0, 0, 0, 0, 0, 1},
                new double[] {0.9, 0.1, 0.5, 0.4, 0.8, 0.1, 0.3},
                new Evaluation.Options(100, 0.95, 0));
        assertThat(e.examples()).isEqualTo(2);
        assertThat(e.value("mrr@10")).isEqualTo(0.75);
        assertThat(e.value("map")).isEqualTo(0.75);
        assertThat(e.value("ndcg@10")).isCloseTo((1 + 1 / (Math.log(3) / Math.log(2))) / 2, within(1e-12));
        assertThat(Objects.requireNonNull(e.metrics().get("map")).low()).isEqualTo(0.5);
    }
}
