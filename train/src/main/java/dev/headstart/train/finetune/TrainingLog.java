package dev.headstart.train.finetune;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.train.TrainerCallback;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Every step and evaluation as a line of JSON, and progress for people now and then. A resumed run drops lines of steps that it does again. */
public final class TrainingLog implements TrainerCallback {
    private static final Logger LOG = LoggerFactory.getLogger(FineTune.class);
    private static final ObjectMapper JSON = new ObjectMapper();
    private final Path file;
    private final boolean resume;
    private final String unit;
    private long shown;
    private double secondsSince;
    private double lossSince;
    private long stepsSince;
    private long tokensSince;

    /** @param file jsonl, appended to; @param resume whether what it holds of earlier steps stays */
    public TrainingLog(Path file, boolean resume) {
        this(file, resume, "tokens");
    }

    /** @param file to write; @param resume whether to go on with it; @param unit what the examples are counted in: tokens, images */
    public TrainingLog(Path file, boolean resume, String unit) {
        this.file = file;
        this.resume = resume;
        this.unit = unit;
    }

    @Override
    public void onBegin(long first, long total) {
        try {
            Files.createDirectories(file.toAbsolutePath().getParent());
            List<String> keep = new ArrayList<>();
            if (resume && Files.isRegularFile(file)) {
                for (String line : Files.readAllLines(file)) {
                    if (line.endsWith("}") && JSON.readTree(line).path("step").asLong() < first) {
                        keep.add(line);
                    }
                }
            }
            Files.write(file, keep);
        } catch (IOException e) {
            throw failed(e);
        }
    }

    @Override
    public void onStep(Step s) {
        ObjectNode line = JSON.createObjectNode();
        line.put("step", s.step())
                .put("epoch", round(s.epoch()))
                .put("loss", s.loss())
                .put("learning_rate", s.learningRate());
        if (s.gradNorm() != null) {
            line.put("grad_norm", s.gradNorm());
        }
        line.put(unit, s.tokens()).put(unit + "_per_second", Math.round(s.tokens() / s.seconds()));
        append(line);
        secondsSince += s.seconds();
        lossSince += s.loss();
        tokensSince += s.tokens();
        stepsSince++;
        if (secondsSince > 10 || s.step() == s.total() || shown == 0) {
            LOG.info(String.format(
                    Locale.ROOT,
                    "step %d/%d, epoch %.2f: loss %.4f, learning rate %.3g, %.0f %s/s, %s left",
                    s.step(),
                    s.total(),
                    s.epoch(),
                    lossSince / stepsSince,
                    s.learningRate(),
                    tokensSince / secondsSince,
                    unit,
                    time(secondsSince / stepsSince * (s.total() - s.step()))));
            shown = s.step();
            secondsSince = 0;
            lossSince = 0;
            tokensSince = 0;
            stepsSince = 0;
        }
    }

    @Override
    public void onEvaluate(long step, double epoch, Map<String, Double> metrics) {
        ObjectNode line = JSON.createObjectNode();
        line.put("step", step).put("epoch", round(epoch));
        metrics.forEach((name, v) -> line.put("eval_" + name, v));
        append(line);
        LOG.info("evaluation after step {}: {}", step, shown(metrics));
    }

    /** Metrics for people. */
    public static String shown(Map<String, Double> metrics) {
        StringBuilder b = new StringBuilder();
        metrics.forEach(
                (name, v) -> b.append(b.isEmpty() ? "" : ", ").append(String.format(Locale.ROOT, "%s %.4f", name, v)));
        return b.toString();
    }

    /** A duration for people. */
    public static String time(double seconds) {
        long s = Math.round(seconds);
        return s < 90
                ? s + " s"
                : s < 5400 ? Math.round(s / 60.0) + " min" : String.format(Locale.ROOT, "%.1f h", s / 3600.0);
    }

    private static double round(double v) {
        return Math.round(v * 1e4) / 1e4;
    }

    private void append(ObjectNode line) {
        try {
            Files.write(
                    file,
                    (line + "\n").getBytes(StandardCharsets.UTF_8),
                    StandardOpenOption.CREATE,
                    StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private HeadstartException failed(IOException e) {
        return new HeadstartException(file + ": cannot be written: " + e.getMessage(), e);
    }
}
