package dev.headstart.cli;

import dev.headstart.train.Schedule;
import dev.headstart.train.finetune.FineTune;
import dev.headstart.train.finetune.ModelEvaluation;
import dev.headstart.train.metrics.PredictionFiles;
import dev.headstart.train.pretrain.PretrainOptions;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** What {@code ${COMPLETION-CANDIDATES}} lists in the help of options that take a name: asked of those who know the names, and only when help is printed. */
abstract class Names implements Iterable<String> {
    /** The task that {@code finetune} does by itself. */
    static final String IMAGES = "image-classification";

    /** The task of {@code evaluate} that reads a text instead of examples. */
    static final String PERPLEXITY = "perplexity";

    private final Supplier<List<String>> names;

    private Names(Supplier<List<String>> names) {
        this.names = names;
    }

    @Override
    public final Iterator<String> iterator() {
        return names.get().iterator();
    }

    /** What can be trained on a task's data. */
    static final class TrainedTasks extends Names {
        TrainedTasks() {
            super(() ->
                    Stream.concat(FineTune.tasks().stream(), Stream.of(IMAGES)).toList());
        }
    }

    /** What can be scored. */
    static final class ScoredTasks extends Names {
        ScoredTasks() {
            super(() -> Stream.of(PredictionFiles.Task.names(), ModelEvaluation.tasks(), List.of(PERPLEXITY))
                    .flatMap(List::stream)
                    .distinct()
                    .toList());
        }
    }

    /** What a model can be run on to be scored. */
    static final class MeasuredTasks extends Names {
        MeasuredTasks() {
            super(() -> Stream.concat(ModelEvaluation.tasks().stream(), Stream.of(IMAGES))
                    .toList());
        }
    }

    /** What is learnt in pre-training. */
    static final class Objectives extends Names {
        Objectives() {
            super(() -> Arrays.stream(PretrainOptions.Objective.values())
                    .map(PretrainOptions.Objective::id)
                    .toList());
        }
    }

    /** How the learning rate runs. */
    static final class Schedules extends Names {
        Schedules() {
            super(Schedule::ids);
        }
    }
}
