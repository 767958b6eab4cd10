package dev.headstart.train.finetune;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.io.StagedFile;
import dev.headstart.train.Trainer;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The figures of a training for programs, in {@value #FILE} as transformers' Trainer names it: metrics with the prefixes {@code eval_} and {@code
 * test_}, times in seconds, and what it took (peak memory, energy).
 */
public final class RunResults {
    /** Name of the file in the result's folder. */
    public static final String FILE = "all_results.json";

    private static final ObjectMapper JSON = new ObjectMapper();
    private final Map<String, Object> values = new LinkedHashMap<>();

    private RunResults() {}

    /** What every training has: steps, epochs, loss, validation metrics, time, memory, energy. */
    public static RunResults of(Trainer.Result result, Usage usage) {
        return new RunResults()
                .put("epoch", result.epochs())
                .put("steps", result.steps())
                .put("best_step", result.bestStep())
                .put("train_loss", result.loss())
                .put("train_runtime", result.seconds())
                .put("total_runtime", usage.seconds())
                .put("peak_memory_mb", usage.peakMegabytes())
                .put("energy_wh", usage.wattHours())
                .put("energy_source", usage.energySource())
                .put("hardware", usage.hardware())
                .put("software", Usage.software())
                .metrics("eval", result.metrics());
    }

    /** How much data each split has. */
    public RunResults samples(int train, int validation, int test) {
        return put("train_samples", train).put("eval_samples", validation).put("test_samples", test);
    }

    /** How many numbers were trained, and how many the model has. */
    public RunResults parameters(long trained, long all) {
        return put("trained_parameters", trained).put("parameters", all);
    }

    /** One more value; numbers that are not finite are left out. */
    public RunResults put(String name, Object value) {
        if (!(value instanceof Double d) || Double.isFinite(d)) {
            values.put(name, value);
        }
        return this;
    }

    /** Which metric counts. */
    public RunResults metric(String name, boolean greaterIsBetter) {
        return put("metric_for_best_model", name).put("greater_is_better", greaterIsBetter);
    }

    /** Metrics of a split. @param prefix eval or test */
    public RunResults metrics(String prefix, Map<String, Double> metrics) {
        metrics.forEach((name, v) -> put(prefix + "_" + name, v));
        return this;
    }

    /** Writes the file whole or not at all. */
    public void write(Path folder) {
        try {
            byte[] json = (JSON.writerWithDefaultPrettyPrinter().writeValueAsString(values) + "\n")
                    .getBytes(StandardCharsets.UTF_8);
            StagedFile.write(folder.resolve(FILE), out -> out.write(ByteBuffer.wrap(json)));
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }
}
