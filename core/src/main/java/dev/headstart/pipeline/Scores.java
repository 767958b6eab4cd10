package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.models.ConfigJson;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** From logits to named scores, as transformers' classification pipelines do it. */
final class Scores {
    private Scores() {}

    /** softmax in double precision. */
    static double[] softmax(float[] logits) {
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

    /** The function that turns logits into scores: asked for, or chosen by problem_type and the number of labels. */
    static double[] apply(@Nullable String asked, ConfigJson config, float[] logits) {
        String function = asked;
        if (function == null) {
            String problem = config.problemType();
            function = problem.equals("regression")
                    ? "none"
                    : problem.equals("multi_label_classification") || logits.length == 1 ? "sigmoid" : "softmax";
        }
        double[] out = new double[logits.length];
        switch (function.toLowerCase(Locale.ROOT)) {
            case "softmax" -> out = softmax(logits);
            case "sigmoid" -> {
                for (int i = 0; i < out.length; i++) {
                    out[i] = 1 / (1 + Math.exp(-logits[i]));
                }
            }
            case "none" -> {
                for (int i = 0; i < out.length; i++) {
                    out[i] = logits[i];
                }
            }
            default ->
                throw new HeadstartException("function_to_apply must be softmax, sigmoid or none, found " + function);
        }
        return out;
    }

    /** The best classes, best first. @param topK how many; null for all */
    static List<ClassScore> best(double[] scores, Map<Integer, String> names, @Nullable Integer topK) {
        List<ClassScore> all = new ArrayList<>();
        for (int i = 0; i < scores.length; i++) {
            all.add(new ClassScore(names.getOrDefault(i, "LABEL_" + i), scores[i]));
        }
        all.sort(Comparator.comparingDouble(ClassScore::score).reversed());
        return topK == null || topK >= all.size() ? all : all.subList(0, topK);
    }

    /** kwargs.top_k: absent gives {@code absent}; null means all. */
    static @Nullable Integer topK(JsonNode kwargs, @Nullable Integer absent) {
        if (!kwargs.has("top_k")) {
            return absent;
        }
        JsonNode k = kwargs.get("top_k");
        if (k.isNull()) {
            return null;
        }
        if (!k.isInt() || k.asInt() < 1) {
            throw new HeadstartException("top_k must be a whole number above 0 or null, found " + k);
        }
        return k.asInt();
    }
}
