package dev.headstart.train.finetune;

import dev.headstart.train.TrainerCallback;
import dev.headstart.train.log.TensorBoardWriter;
import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Curves as TensorBoard events, under the names that transformers' Trainer uses. */
public final class TensorBoardLog implements TrainerCallback, AutoCloseable {
    private final Path folder;
    private final boolean resume;
    private final String unit;
    private @Nullable TensorBoardWriter writer;

    /** @param output folder to make runs in; @param resume whether to go on there; @param unit what the examples are counted in: tokens, images */
    public TensorBoardLog(Path output, boolean resume, String unit) {
        folder = output.resolve("runs");
        this.resume = resume;
        this.unit = unit;
    }

    @Override
    public void onBegin(long first, long total) {
        TensorBoardWriter w = new TensorBoardWriter(folder);
        if (resume && first > 1) {
            w.resumed(first);
        }
        writer = w;
    }

    @Override
    public void onStep(Step s) {
        TensorBoardWriter w = writer;
        if (w != null) {
            w.scalar("train/loss", s.step(), s.loss());
            w.scalar("train/learning_rate", s.step(), s.learningRate());
            w.scalar("train/" + unit + "_per_second", s.step(), s.tokens() / s.seconds());
            if (s.gradNorm() != null) {
                w.scalar("train/grad_norm", s.step(), s.gradNorm());
            }
        }
    }

    @Override
    public void onEvaluate(long step, double epoch, Map<String, Double> metrics) {
        TensorBoardWriter w = writer;
        if (w != null) {
            metrics.forEach((name, value) -> w.scalar("eval/" + name, step, value));
        }
    }

    @Override
    public void close() {
        TensorBoardWriter w = writer;
        if (w != null) {
            w.close();
        }
    }
}
