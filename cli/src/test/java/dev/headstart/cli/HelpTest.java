package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.cli.HeadstartCommandTest.Result;
import dev.headstart.pipeline.Tasks;
import dev.headstart.train.Schedule;
import dev.headstart.train.finetune.FineTune;
import dev.headstart.train.finetune.ModelEvaluation;
import dev.headstart.train.metrics.PredictionFiles;
import dev.headstart.train.pretrain.PretrainOptions;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Help names everything that an option takes, and what it names is taken. */
class HelpTest {
    private static List<String> help(String command) {
        Result result = HeadstartCommandTest.run(command, "--help");
        assertThat(result.code()).isZero();
        assertThat(result.out()).doesNotContain("${");
        return List.of(result.out().split("[\\s,.():]+"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"finetune", "compare"})
    void namesTheTasksThatAreTrained(String command) {
        assertThat(help(command))
                .containsAll(FineTune.tasks())
                .contains("translation", "sentence-similarity", "image-classification");
    }

    @Test
    void namesTheTasksThatAreScored() {
        assertThat(help("evaluate"))
                .containsAll(PredictionFiles.Task.names())
                .containsAll(ModelEvaluation.tasks())
                .contains("perplexity", "regression", "text-ranking");
    }

    @Test
    void namesObjectivesAndSchedules() {
        assertThat(help("pretrain"))
                .containsAll(Arrays.stream(PretrainOptions.Objective.values())
                        .map(PretrainOptions.Objective::id)
                        .toList())
                .containsAll(Schedule.ids());
        assertThat(help("finetune")).contains("cosine_with_restarts", "inverse_sqrt");
    }

    @Test
    void runNamesEveryTaskWhatItTakesAndItsModel() {
        String out = HeadstartCommandTest.run("run", "--help").out();
        for (Tasks.Task task : Tasks.all()) {
            String model = task.defaultModel();
            assertThat(out).contains("  " + task.name() + " ", task.input(), model != null ? model : task.example());
        }
    }

    @Test
    void manyOptionsStandUnderHeadings() {
        String out = HeadstartCommandTest.run("finetune", "--help").out();
        assertThat(out)
                .containsSubsequence("--train=FILE", "\nImages\n", "--mixup", "\nLoRA\n", "--lora-r", "\nTraining\n");
        assertThat(out).startsWith("Usage: headstart finetune --task TASK --model ID");
        assertThat(out.lines().filter(l -> l.stripLeading().startsWith("--lora-r=")))
                .hasSize(1);
    }

    @Test
    void whatSubcommandsDoIsSaidInWholeSentences() {
        for (String command : List.of("models", "tokenizer")) {
            String out = HeadstartCommandTest.run(command, "--help").out();
            assertThat(out.substring(out.indexOf("Commands:")).strip()).endsWith(".");
        }
    }

    static Stream<List<String>> lines() {
        return Stream.concat(
                FineTune.tasks().stream()
                        .map(t -> List.of(
                                "finetune", "--task", t, "--model", "none", "--train", "none.csv", "--output", "none")),
                ModelEvaluation.tasks().stream()
                        .map(t -> List.of(
                                "evaluate", "--task", t, "--model", "none", "--data", "none.csv", "--offline")));
    }

    @ParameterizedTest
    @MethodSource("lines")
    void taken(List<String> line) {
        Result result = HeadstartCommandTest.run(line.toArray(String[]::new));
        assertThat(result.code()).isEqualTo(1);
        assertThat(result.lastLine()).doesNotContain("--task").contains("none"); // the data or the model, not the task
    }

    @Test
    void whatAModelCannotBeMeasuredAtIsSaid() {
        Result result = HeadstartCommandTest.run(
                "evaluate", "--task", "fill-mask", "--model", "none", "--data", "none.csv", "--offline");
        assertThat(result.code()).isEqualTo(2);
        assertThat(result.lastLine())
                .contains("--task fill-mask cannot be evaluated by --model", "--predictions", "text-classification");
        Result unknown = HeadstartCommandTest.run(
                "finetune", "--task", "cooking", "--model", "none", "--train", "none.csv", "--output", "none");
        assertThat(unknown.lastLine()).contains("--task cooking is not known; known: ", "translation");
    }
}
