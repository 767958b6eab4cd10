package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.cli.HeadstartCommandTest.Result;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Options and data that do not go together, given to the commands that train and measure: one line says so, and nothing is made. */
class TrainingBadInputTest {
    @TempDir
    Path dir;

    private String model = "";
    private String data = "";

    @BeforeEach
    void makeData() throws IOException {
        model = Shared.require("golden/bert/train-classification/model").toString();
        data = Files.write(dir.resolve("train.csv"), List.of("text,label", "the sea,a", "the end,b", "over,a", "was,b"))
                .toString();
    }

    private void refused(int code, String message, String... command) {
        Result result = HeadstartCommandTest.run(command);
        assertThat(result.code()).as(result.err()).isEqualTo(code);
        assertThat(result.lastLine()).contains(message);
        assertThat(result.err()).doesNotContain("\tat ");
        assertThat(dir.resolve("out/config.json")).doesNotExist();
    }

    private String[] with(List<String> command, String... more) {
        List<String> all = new ArrayList<>(command);
        all.addAll(List.of(more));
        return all.toArray(String[]::new);
    }

    @Test
    void whereAModelBegins() {
        List<String> finetune = List.of(
                "finetune",
                "--task",
                "text-classification",
                "--train",
                data,
                "--validation",
                data,
                "--offline",
                "--output",
                dir.resolve("out").toString());
        refused(1, "--model is missing", with(finetune));
        refused(1, "--init must be random, found zero", with(finetune, "--model", model, "--init", "zero"));
        refused(
                1,
                "--config and --model exclude each other",
                with(finetune, "--model", model, "--config", model + "/config.json"));
        refused(
                1,
                "new weights are trained whole: leave out --mode head",
                with(finetune, "--model", model, "--init", "random", "--mode", "head"));
        refused(1, "--ema averages all weights", with(finetune, "--model", model, "--mode", "lora", "--ema", "0.9"));
        refused(1, "--precision must be fp32 or bf16", with(finetune, "--model", model, "--precision", "int8"));
        refused(1, "min_steps", with(finetune, "--model", model, "--min-steps", "-1"));
    }

    @Test
    void presets() {
        List<String> pretrain = List.of(
                "pretrain",
                "--objective",
                "mlm",
                "--data",
                data,
                "--output",
                dir.resolve("out").toString());
        refused(
                1,
                "--config huge not found: it is mini, small, base, or a config.json",
                with(pretrain, "--config", "huge"));
    }

    @Test
    void devices() {
        String out = dir.resolve("out").toString();
        boolean gpu = !dev.headstart.nn.Natives.facts().gpus().isEmpty();
        List<List<String>> commands = List.of(
                List.of(
                        "finetune",
                        "--task",
                        "text-classification",
                        "--model",
                        model,
                        "--train",
                        data,
                        "--output",
                        out),
                List.of("pretrain", "--objective", "mlm", "--data", data, "--output", out),
                List.of("evaluate", "--task", "text-classification", "--model", model, "--data", data),
                List.of("forward", "--model", model, "--inputs", "x", "--outputs", out),
                List.of("run", "fill-mask", "[MASK]", "--model", model));
        for (List<String> command : commands) {
            refused(1, "device must be auto, cpu, cuda or cuda:N, but is 'gpu'", with(command, "--device", "gpu"));
            if (!gpu) {
                refused(1, "device cuda: no usable GPU", with(command, "--device", "cuda"));
            }
        }
        List<String> compare =
                List.of("compare", "--task", "text-classification", "--model", model, "--train", data, "--output", out);
        refused(1, "device must be auto, cpu, cuda or cuda:N", with(compare, "--device", "gpu"));
    }

    @Test
    void whatIsCompared() {
        List<String> compare = List.of(
                "compare",
                "--task",
                "text-classification",
                "--model",
                model,
                "--train",
                data,
                "--offline",
                "--output",
                dir.resolve("out").toString());
        refused(2, "--sizes: expected numbers of examples or \"all\", found 'many'", with(compare, "--sizes", "many"));
        refused(2, "each mode has a learning rate of its own", with(compare, "--lr", "1e-3"));
        refused(2, "--seed is what is compared here", with(compare, "--seed=1"));
        refused(2, "--scratch-of other is none of --model", with(compare, "--scratch-of", "other"));
        refused(2, "--learning-rates: there is no 'other:full'", with(compare, "--learning-rates", "other:full=1"));
        refused(2, "--nonsense", with(compare, "--nonsense"));
        assertThat(dir.resolve("out")).doesNotExist();
    }

    @Test
    void whatAModelIsMeasuredAt() {
        List<String> evaluate = List.of("evaluate", "--model", model, "--data", data, "--offline");
        refused(1, "label 'a' is no class of this model", with(evaluate, "--task", "text-classification"));
        refused(
                1,
                "a model that ranks has one label",
                with(
                        evaluate,
                        "--task",
                        "text-ranking",
                        "--column",
                        "text=text",
                        "--column",
                        "text_pair=text",
                        "--column",
                        "label=label"));
    }

    @Test
    void whatARankerLearnsFrom() throws IOException {
        Path pairs = Files.write(
                dir.resolve("pairs.jsonl"),
                List.of("{\"query\": \"the sea\", \"answer\": \"end\"}", "{\"query\": \"over\", \"answer\": \"was\"}"));
        refused(
                1,
                "--loss mse needs a column of scores",
                "finetune",
                "--task",
                "text-ranking",
                "--loss",
                "mse",
                "--model",
                model,
                "--train",
                pairs.toString(),
                "--validation",
                pairs.toString(),
                "--offline",
                "--output",
                dir.resolve("out").toString());
    }
}
