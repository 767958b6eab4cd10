package dev.headstart.train;

import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Watches training. Every method does nothing unless overridden; an exception ends the training. */
public interface TrainerCallback {
    /**
     * What one step did.
     *
     * @param step from 1
     * @param total steps of the whole run
     * @param epoch passes over the data so far
     * @param loss mean over the step's batches
     * @param learningRate of this step
     * @param gradNorm 2-norm of the gradients before clipping; null when it was not computed
     * @param tokens tokens (or examples where there are no tokens) of this step
     * @param seconds what it took
     */
    record Step(
            long step,
            long total,
            double epoch,
            double loss,
            double learningRate,
            @Nullable Double gradNorm,
            long tokens,
            double seconds) {}

    /** Before the first step. @param first the step it begins with, from 1; above 1 when resumed @param total steps of the whole run */
    default void onBegin(long first, long total) {}

    /** After each step. */
    default void onStep(Step step) {}

    /** After an evaluation. */
    default void onEvaluate(long step, double epoch, Map<String, Double> metrics) {}

    /** While a checkpoint is made: what else belongs into it (tokenizer) may be written into {@code staging}. */
    default void onSave(long step, Path staging) {}
}
