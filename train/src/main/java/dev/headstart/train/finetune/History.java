package dev.headstart.train.finetune;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a training log says of the whole run, resumed parts included.
 *
 * @param steps one a step
 * @param evaluations metrics by step
 */
public record History(List<Step> steps, Map<Long, Map<String, Double>> evaluations) {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** One step of the log; what is counted in tokens is images where images are trained on. */
    public record Step(long step, double loss, double learningRate, long tokens, double tokensPerSecond) {}

    /** Reads training_log.jsonl. @throws HeadstartException when it cannot be read */
    public static History read(Path log) {
        List<Step> steps = new ArrayList<>();
        Map<Long, Map<String, Double>> evaluations = new LinkedHashMap<>();
        try {
            for (String line : Files.readAllLines(log)) {
                JsonNode n = JSON.readTree(line);
                long step = n.path("step").asLong();
                if (n.has("loss")) {
                    steps.add(new Step(
                            step,
                            n.path("loss").asDouble(),
                            n.path("learning_rate").asDouble(),
                            n.path(n.has("images") ? "images" : "tokens").asLong(),
                            n.path(n.has("images") ? "images_per_second" : "tokens_per_second")
                                    .asDouble()));
                } else {
                    Map<String, Double> metrics = new LinkedHashMap<>();
                    n.properties().forEach(e -> {
                        if (e.getKey().startsWith("eval_")) {
                            metrics.put(
                                    e.getKey().substring("eval_".length()),
                                    e.getValue().asDouble());
                        }
                    });
                    evaluations.put(step, metrics);
                }
            }
        } catch (IOException e) {
            throw new HeadstartException(log + ": the training log cannot be read: " + e.getMessage(), e);
        }
        return new History(steps, evaluations);
    }

    /** Of all steps. */
    public long tokens() {
        return steps.stream().mapToLong(Step::tokens).sum();
    }

    /** Of the steps alone, without evaluations and checkpoints. */
    public double seconds() {
        return steps.stream()
                .mapToDouble(s -> s.tokens() / Math.max(1e-9, s.tokensPerSecond()))
                .sum();
    }
}
