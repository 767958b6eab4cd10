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
 * @param own Headstart's turns
 * @param other the peer's
 */
record TrainingTurns(List<Turn> own, List<Turn> other) {
    /**
     * A side's turn.
     *
     * @param seconds that its steps took
     * @param tokens that it trained on, padding not counted; 0 where a peer does not say
     */
    record Turn(double seconds, long tokens) {
        private static Turn of(String answer) {
            String[] words = answer.strip().split(" ");
            return new Turn(Double.parseDouble(words[0]), words.length > 1 ? Long.parseLong(words[1]) : 0);
        }
    }

    /** Median of the turns' seconds. */
    static double median(List<Turn> turns) {
        return Figures.median(turns.stream().map(Turn::seconds).toList());
    }

    /** Tokens a second, over all turns: batches of one turn may be longer than those of another. */
    static double rate(List<Turn> turns) {
        return turns.stream().mapToLong(Turn::tokens).sum()
                / turns.stream().mapToDouble(Turn::seconds).sum();
    }

    /** @param line what makes the peer do as many steps and answer their seconds and, if it likes, tokens */
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
                    private long tokens;

                    @Override
                    public void onStep(Step step) {
                        sum += step.seconds();
                        tokens += step.tokens();
                        if (step.step() % steps != 0) {
                            return;
                        }
                        try {
                            Turn theirs = Turn.of(peer.ask(line));
                            if (step.step() > steps) {
                                turns.own.add(new Turn(sum, tokens));
                                turns.other.add(theirs);
                            }
                        } catch (IOException e) {
                            throw new UncheckedIOException(e);
                        }
                        sum = 0;
                        tokens = 0;
                    }
                })
                .train();
        return turns;
    }
}
