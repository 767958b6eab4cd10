package dev.headstart.benchmarks;

import dev.headstart.models.PreTrainedModel;
import dev.headstart.train.Trainer;
import dev.headstart.train.TrainerCallback;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.TrainingData;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;

/**
 * One training run of Headstart in which the peer takes its turn after every few steps; the first turn of both is not counted.
 *
 * @param own seconds of Headstart's turns
 * @param other seconds of the peer's
 */
record TrainingTurns(List<Double> own, List<Double> other) {
    /** @param line what makes the peer do as many steps and answer their seconds */
    static TrainingTurns run(
            PreTrainedModel<?> model,
            TrainingArguments arguments,
            TrainingData data,
            int steps,
            int rounds,
            LinePeer peer,
            String line) {
        TrainingTurns turns = new TrainingTurns(new ArrayList<>(), new ArrayList<>());
        new Trainer(model, arguments.maxSteps((long) steps * (rounds + 1)), data)
                .callback(new TrainerCallback() {
                    private double sum;

                    @Override
                    public void onStep(Step step) {
                        sum += step.seconds();
                        if (step.step() % steps != 0) {
                            return;
                        }
                        try {
                            double theirs = Double.parseDouble(peer.ask(line));
                            if (step.step() > steps) {
                                turns.own.add(sum);
                                turns.other.add(theirs);
                            }
                        } catch (IOException e) {
                            throw new UncheckedIOException(e);
                        }
                        sum = 0;
                    }
                })
                .train();
        return turns;
    }
}
