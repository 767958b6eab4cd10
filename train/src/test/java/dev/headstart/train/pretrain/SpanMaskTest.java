package dev.headstart.train.pretrain;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Against statistics of the reference algorithm, made by conformance/span_noise.py. */
class SpanMaskTest {
    private static final double SIGMAS = 5;

    private static JsonNode golden() throws IOException {
        try (InputStream in = SpanMaskTest.class.getResourceAsStream("/pretrain/span-noise.json")) {
            return new ObjectMapper().readTree(in);
        }
    }

    private static void same(String what, double mine, double theirs, double draws) {
        double p = theirs / draws;
        double sigma = Math.sqrt(2 * Math.max(p * (1 - p), 1 / draws) / draws);
        assertThat(mine / draws).as(what).isCloseTo(p, within(SIGMAS * sigma));
    }

    @Test
    void noiseHasTheReferencesStatistics() throws IOException {
        for (JsonNode c : golden().path("cases")) {
            int length = c.path("length").asInt();
            double density = c.path("density").asDouble();
            double mean = c.path("mean").asDouble();
            int draws = c.path("draws").asInt();
            int[] runs = new int[length + 1];
            int[] at = new int[length];
            SplittableRandom random = new SplittableRandom(1);
            for (int n = 0; n < draws; n++) {
                boolean[] mask = SpanMask.draw(length, density, mean, random);
                int noise = 0;
                int spans = 0;
                int run = 0;
                for (int i = 0; i < length; i++) {
                    if (mask[i]) {
                        noise++;
                        at[i]++;
                        run++;
                    }
                    if (run > 0 && (!mask[i] || i == length - 1)) {
                        runs[run]++;
                        spans++;
                        run = 0;
                    }
                }
                assertThat(noise).isEqualTo(c.path("noise").asInt());
                assertThat(spans).isEqualTo(c.path("spans").asInt());
            }
            int spans = c.path("spans").asInt();
            for (int i = 1; i <= length; i++) {
                double theirs = c.path("span_lengths").path(i).asDouble();
                same("spans of " + i + " in " + length, (double) runs[i] / spans, theirs / spans, draws);
            }
            for (int i = 0; i < length; i++) {
                same(
                        "masked at " + i + " of " + length,
                        at[i],
                        c.path("masked_at").path(i).asDouble(),
                        draws);
            }
        }
    }

    @Test
    void rawTextIsAsLongAsFits() throws IOException {
        for (JsonNode row : golden().path("fitting")) {
            assertThat(SpanMask.fitting(row.get(0).asInt(), 0.15, 3))
                    .isEqualTo(new SpanMask.Lengths(
                            row.get(1).asInt(), row.get(2).asInt(), row.get(3).asInt()));
        }
    }
}
