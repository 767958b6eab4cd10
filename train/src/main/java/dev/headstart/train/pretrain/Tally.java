package dev.headstart.train.pretrain;

import java.util.LinkedHashMap;
import java.util.Map;

/** Sums of an evaluation. */
final class Tally {
    private double words;
    private double next;
    private long predicted;
    private long right;
    private long pairs;
    private long pairsRight;

    /** @param loss mean over n predicted tokens, @param hits of them right, -1 when not counted */
    void tokens(double loss, long n, long hits) {
        words += loss * n;
        predicted += n;
        right = hits < 0 ? -1 : right + hits;
    }

    void pairs(double loss, long n, long hits) {
        next += loss * n;
        pairs += n;
        pairsRight += hits;
    }

    Map<String, Double> metrics() {
        Map<String, Double> m = new LinkedHashMap<>();
        double tokenLoss = words / Math.max(1, predicted);
        double pairLoss = next / Math.max(1, pairs);
        m.put("loss", tokenLoss + pairLoss);
        if (pairs > 0) {
            m.put("mlm_loss", tokenLoss);
        }
        m.put("perplexity", Math.exp(tokenLoss));
        if (right >= 0) {
            m.put("accuracy", (double) right / Math.max(1, predicted));
        }
        if (pairs > 0) {
            m.put("nsp_accuracy", (double) pairsRight / pairs);
        }
        return m;
    }
}
