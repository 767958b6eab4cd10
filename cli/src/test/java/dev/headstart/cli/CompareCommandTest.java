package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.cli.HeadstartCommandTest.Result;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

/** Trainings run in this process, but one. */
class CompareCommandTest {
    private static final String[] FILLER = {"the", "and", "letter", "was", "over", "end"};
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path dir;

    private String model = "";
    private final List<List<String>> runs = new ArrayList<>();

    @BeforeEach
    void findModel() {
        model = Shared.require("golden/bert/train-classification/model").toString();
    }

    private String data(String name, int rows, long seed) throws IOException {
        SplittableRandom random = new SplittableRandom(seed);
        List<String> lines = new ArrayList<>(List.of("text,label"));
        for (int i = 0; i < rows; i++) {
            String word = i % 2 == 0 ? "capital" : "sea";
            lines.add(FILLER[random.nextInt(6)] + " " + word + " " + FILLER[random.nextInt(6)] + "," + word);
        }
        return Files.write(dir.resolve(name), lines).toString();
    }

    /** Runs compare; each training is the command line in this process. */
    private int compare(String... more) {
        CompareCommand command = new CompareCommand();
        command.runner((arguments, log) -> {
            runs.add(arguments);
            Result result = HeadstartCommandTest.run(arguments.toArray(String[]::new));
            Files.writeString(log, result.err());
            return result.code();
        });
        return new CommandLine(command)
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setExecutionExceptionHandler(
                        (e, line, parsed) -> HeadstartCommand.report(e, "compare", false, line.getErr()))
                .execute(Stream.concat(
                                Stream.of(
                                        "--output",
                                        dir.resolve("out").toString(),
                                        "--batch-size",
                                        "8",
                                        "--min-steps",
                                        "4",
                                        "--epochs",
                                        "1",
                                        "--max-length",
                                        "16",
                                        "--offline"),
                                Stream.of(more))
                        .toArray(String[]::new));
    }

    private JsonNode results() throws IOException {
        return JSON.readTree(dir.resolve("out/compare.json").toFile());
    }

    @Test
    void showsEveryModeAtEverySizeAndKeepsWhatIsFinished() throws IOException {
        String[] options = {
            "--task",
            "text-classification",
            "--model",
            model,
            "--train",
            data("train.csv", 48, 1),
            "--validation",
            data("val.csv", 16, 2),
            "--test",
            data("test.csv", 20, 3),
            "--sizes",
            "16,all",
            "--learning-rates",
            "scratch=1e-3,full=5e-3,model:lora=2e-3"
        };
        assertThat(compare(options)).isZero();
        assertThat(runs).hasSize(8);
        assertThat(runs.get(2)).containsSequence("--mode", "lora").containsSequence("--learning-rate", "0.002");
        JsonNode all = results();
        assertThat(all.path("metric").asText()).isEqualTo("accuracy");
        assertThat(all.path("split").asText()).isEqualTo("test");
        assertThat(all.path("cells")).hasSize(8).allSatisfy(cell -> {
            JsonNode r = cell.path("results");
            boolean few = cell.path("size").asInt() == 16;
            assertThat(r.path("train_samples").asInt()).isEqualTo(few ? 16 : 48);
            assertThat(r.path("steps").asInt()).isEqualTo(few ? 4 : 6); // the same for every mode
            assertThat(r.path("test_samples").asInt()).isEqualTo(20);
            assertThat(r.path("test_accuracy").asDouble()).isBetween(0.0, 1.0);
            assertThat(r.path("peak_memory_mb").asDouble()).isPositive();
            assertThat(r.path("energy_wh").asDouble()).isPositive();
        });
        assertThat(dir.resolve("out/compare.html"))
                .content()
                .contains("<svg", "data-log=\"1\"", "from scratch", "frozen features", "LoRA", "full fine-tuning")
                .contains("At a given size all trainings see the same examples in the same number of steps")
                .doesNotContain("NaN", "src=", "so far");
        assertThat(Files.readAllLines(dir.resolve("out/compare.csv"))).hasSize(9);
        try (Stream<Path> files = Files.walk(dir.resolve("out"))) {
            assertThat(files.filter(f -> f.toString().endsWith(".safetensors"))).isEmpty();
        }

        assertThat(compare(options)).isEqualTo(1); // not empty, and nothing said
        assertThat(runs).hasSize(8);
        String[] again =
                Stream.concat(Stream.of(options), Stream.of("--resume")).toArray(String[]::new);
        try (Stream<Path> cells = Files.list(dir.resolve("out/cells"))) {
            Path one = cells.filter(c -> c.toString().contains("-lora-16-"))
                    .findFirst()
                    .orElseThrow();
            Files.delete(one.resolve("cell.json")); // as if it had been broken off
        }
        assertThat(compare(again)).isZero();
        assertThat(runs).hasSize(9);
        assertThat(runs.get(8)).containsSequence("--mode", "lora");
        data("train.csv", 48, 9); // other data: everything anew
        assertThat(compare(again)).isZero();
        assertThat(runs).hasSize(17);
    }

    @ParameterizedTest
    @CsvSource({"text-classification,pearson", "token-classification,f1"})
    void comparesOtherTasks(String task, String metric) throws IOException {
        boolean scores = metric.equals("pearson");
        List<String> lines = new ArrayList<>();
        for (int i = 0; i < 24; i++) {
            String word = i % 2 == 0 ? "capital" : "sea";
            lines.add(
                    scores
                            ? "{\"text\": \"the " + word + "\", \"label\": " + (i % 2 + 0.25 + 0.1 * (i % 3)) + "}"
                            : "{\"tokens\": [\"the\", \"" + word + "\"], \"ner_tags\": [\"O\", \""
                                    + (i % 2 == 0 ? "B-LOC" : "O") + "\"]}");
        }
        String file = Files.write(dir.resolve("data.jsonl"), lines).toString();
        assertThat(compare(
                        "--task",
                        task,
                        "--model",
                        model,
                        "--train",
                        file,
                        "--validation",
                        file,
                        "--sizes",
                        "8",
                        "--modes",
                        "scratch,full",
                        "--seeds",
                        "1,2"))
                .isZero();
        assertThat(runs).hasSize(4);
        assertThat(results().path("metric").asText()).isEqualTo(metric);
        assertThat(dir.resolve("out/compare.html")).content().contains(" ±"); // over the seeds
    }

    @Test
    void everyTrainingIsAProcessOfItsOwn() throws IOException {
        Result result = HeadstartCommandTest.run(
                "compare",
                "--task",
                "text-classification",
                "--model",
                model,
                "--train",
                data("train.csv", 16, 1),
                "--validation",
                data("val.csv", 8, 2),
                "--sizes",
                "all",
                "--modes",
                "head",
                "--min-steps",
                "2",
                "--epochs",
                "1",
                "--offline",
                "--output",
                dir.resolve("out").toString());
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(results()
                        .path("cells")
                        .path(0)
                        .path("results")
                        .path("peak_memory_mb")
                        .asDouble())
                .isBetween(50.0, 4000.0);
    }

    @Test
    void whatIsWrongIsSaidBeforeTheFirstTrainingOrWithIt() throws IOException {
        String train = data("train.csv", 16, 1);
        String[] good = {"--task", "text-classification", "--model", model, "--train", train, "--modes", "head"};
        for (String[] bad : new String[][] {
            {"--sizes", "many"},
            {"--nonsense"},
            {"--learning-rate", "1e-3"},
            {"--seed", "1"},
            {"--scratch-of", "other"},
            {"--learning-rates", "other:full=1"}
        }) {
            assertThat(compare(Stream.concat(Stream.of(good), Stream.of(bad)).toArray(String[]::new)))
                    .isEqualTo(2);
        }
        assertThat(runs).isEmpty();
        assertThat(dir.resolve("out")).doesNotExist();
        Path one = Files.writeString(dir.resolve("one.csv"), "text,label\nthe sea,a\nthe end,a\nthe letter,a\n");
        good[5] = one.toString();
        assertThat(compare(Stream.concat(Stream.of(good), Stream.of("--validation", train))
                        .toArray(String[]::new)))
                .isEqualTo(1);
        assertThat(runs).hasSize(1);
        assertThat(dir.resolve("out/compare.json")).doesNotExist();
        try (Stream<Path> logs = Files.walk(dir.resolve("out"))) {
            assertThat(logs.filter(f -> f.endsWith("log.txt")))
                    .singleElement()
                    .satisfies(log -> assertThat(log).content().contains("only one class (a)"));
        }
    }

    /** The zoo's own classifier, its shape from scratch too. */
    @Test
    void comparesImageClassifiers() throws IOException {
        for (String split : List.of("train", "test")) {
            for (String label : List.of("bright", "dark")) {
                Path folder = Files.createDirectories(dir.resolve(split).resolve(label));
                for (int i = 0; i < 6; i++) {
                    var image = new java.awt.image.BufferedImage(20, 20, java.awt.image.BufferedImage.TYPE_INT_RGB);
                    image.setRGB(i, i, 0x808080);
                    for (int x = 0; x < 400 && label.equals("bright"); x++) {
                        image.setRGB(x % 20, x / 20, 0xF0F0F0 - i);
                    }
                    javax.imageio.ImageIO.write(
                            image, "png", folder.resolve(i + ".png").toFile());
                }
            }
        }
        CompareCommand command = new CompareCommand();
        command.runner((arguments, log) -> {
            Result result = HeadstartCommandTest.run(arguments.toArray(String[]::new));
            Files.writeString(log, result.err());
            return result.code();
        });
        String test = dir.resolve("test").toString();
        List<String> options =
                new ArrayList<>(List.of("--task", "image-classification", "--model", "headstart/cifar10-resnet14"));
        options.addAll(List.of("--train", dir.resolve("train").toString(), "--validation", test, "--test", test));
        options.addAll(List.of("--modes", "scratch,head,full", "--sizes", "4,all", "--min-steps", "3"));
        options.addAll(List.of("--epochs", "1", "--batch-size", "4", "--metric", "auc", "--offline"));
        options.addAll(List.of("--learning-rates", "scratch=1e-3,head=1e-2,full=1e-3"));
        options.addAll(List.of("--output", dir.resolve("out").toString()));
        int code = new CommandLine(command)
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setExecutionExceptionHandler(
                        (e, line, parsed) -> HeadstartCommand.report(e, "compare", false, line.getErr()))
                .execute(options.toArray(String[]::new));
        assertThat(code).isZero();
        assertThat(results().path("metric").asText()).isEqualTo("auc");
        assertThat(results().path("split").asText()).isEqualTo("test");
        assertThat(results().path("cells")).hasSize(6).allSatisfy(cell -> {
            JsonNode r = cell.path("results");
            assertThat(r.path("train_samples").asInt())
                    .isEqualTo(cell.path("size").asInt() == 4 ? 4 : 12);
            assertThat(r.path("test_samples").asInt()).isEqualTo(12);
            assertThat(r.path("test_auc").asDouble()).isBetween(0.0, 1.0);
        });
        assertThat(dir.resolve("out/compare.html")).content().contains("<svg", "from scratch", "full fine-tuning");
    }
}
