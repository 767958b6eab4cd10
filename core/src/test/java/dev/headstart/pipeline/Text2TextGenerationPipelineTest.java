package dev.headstart.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.testing.Shared;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class Text2TextGenerationPipelineTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final PipelineOptions ON_CPU =
            PipelineOptions.DEFAULT.withLoad(LoadOptions.defaults().withDevice("cpu"));
    private static final String TEXT = "the house is small";

    private static Path model(String golden) {
        return Shared.require("golden/" + golden + "/model");
    }

    private static JsonNode run(String task, Path model, List<String> inputs, JsonNode kwargs) {
        try (Pipeline pipeline = Tasks.find(task).open(model.toString(), ON_CPU)) {
            return JSON.valueToTree(pipeline.run(inputs, kwargs));
        }
    }

    @Test
    void answersAsTheHuggingFacePipeline() throws IOException {
        for (String name : List.of("bart/generation", "marian/translation", "t5/flan")) {
            JsonNode golden = JSON.readTree(
                            Shared.require("golden/" + name + "/case.json").toFile())
                    .get("pipeline");
            List<String> inputs = JSON.convertValue(
                    golden.get("inputs"), JSON.getTypeFactory().constructCollectionType(List.class, String.class));
            assertThat(run(golden.get("task").asText(), model(name), inputs, golden.get("kwargs")))
                    .isEqualTo(golden.get("expected"));
        }
    }

    @Test
    void taskSpecificParametersAndPrefixComeFromTheModel(@TempDir Path folder) throws IOException {
        try (Stream<Path> files = Files.list(model("t5/flan"))) {
            for (Path file : files.toList()) {
                Files.copy(file, folder.resolve(file.getFileName().toString()));
            }
        }
        Path file = folder.resolve("config.json");
        ObjectNode config = (ObjectNode) JSON.readTree(file.toFile());
        config.set(
                "task_specific_params",
                JSON.readTree("{\"translation_en_to_de\": {\"prefix\": \"to German: \", \"max_new_tokens\": 5}}"));
        JSON.writeValue(file.toFile(), config);
        JsonNode greedy = JSON.readTree("{\"num_beams\": 1}");
        JsonNode plain = JSON.readTree("{\"num_beams\": 1, \"max_new_tokens\": 5}");
        String expected = run("text2text-generation", model("t5/flan"), List.of("to German: " + TEXT), plain)
                .path(0)
                .path("generated_text")
                .asText("absent");
        for (String task : List.of("translation", "translation_en_to_de")) {
            assertThat(run(task, folder, List.of(TEXT), greedy).path(0).path("translation_text"))
                    .hasToString('"' + expected + '"');
        }
    }

    @Test
    void aTextWithoutAnyOfTheModelsPrefixesIsWarnedOf(@TempDir Path folder) throws IOException {
        try (Stream<Path> files = Files.list(model("t5/flan"))) {
            for (Path file : files.toList()) {
                Files.copy(file, folder.resolve(file.getFileName().toString()));
            }
        }
        Path file = folder.resolve("config.json");
        ObjectNode config = (ObjectNode) JSON.readTree(file.toFile());
        config.set(
                "task_specific_params",
                JSON.readTree(
                        "{\"summarization\": {\"prefix\": \"summarize: \"}, \"translation_en_to_de\": {\"prefix\": \"to German: \"}}"));
        JSON.writeValue(file.toFile(), config);
        assertThat(said("text2text-generation", folder, List.of("to German: " + TEXT, TEXT)))
                .contains(
                        "text 2 begins with none of the prefixes",
                        "put one before it: \"summarize: \", \"to German: \"");
        assertThat(said("text2text-generation", folder, List.of("summarize: " + TEXT, "")))
                .doesNotContain("prefix");
        assertThat(said("translation_en_to_de", folder, List.of(TEXT)))
                .as("the task brings its own")
                .doesNotContain("prefix");
        assertThat(said("text2text-generation", model("bart/generation"), List.of(TEXT)))
                .as("a model without prefixes")
                .doesNotContain("prefix");
    }

    /** What a run of one token says on stderr. */
    private static String said(String task, Path model, List<String> inputs) throws IOException {
        PrintStream stderr = System.err;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        System.setErr(new PrintStream(said, true, StandardCharsets.UTF_8));
        try {
            run(task, model, inputs, JSON.readTree("{\"num_beams\": 1, \"max_new_tokens\": 1}"));
        } finally {
            System.setErr(stderr);
        }
        return said.toString(StandardCharsets.UTF_8);
    }

    @Test
    void returnsSeveralTextsOrTheirIds() throws IOException {
        JsonNode many = JSON.readTree("{\"num_beams\": 3, \"num_return_sequences\": 2, \"max_new_tokens\": 4}");
        JsonNode texts = run("summarization", model("bart/generation"), List.of(TEXT), many);
        assertThat(texts.get(0))
                .hasSize(2)
                .allSatisfy(t -> assertThat(t.has("summary_text")).isTrue());
        JsonNode ids = run(
                "summarization",
                model("bart/generation"),
                List.of(TEXT),
                JSON.readTree("{\"num_beams\": 1, \"max_length\": 6, \"return_tensors\": true}"));
        assertThat(ids.get(0).get("summary_token_ids")).hasSizeBetween(2, 6);
    }

    @Test
    void aTextBeyondThePositionsIsDividedCutOrRefused() throws IOException {
        String endless = "the house is small ".repeat(400);
        String model = model("bart/generation").toString();
        JsonNode kwargs = JSON.readTree("{\"max_new_tokens\": 3, \"num_beams\": 1}");
        try (SummarizationPipeline pipeline = new SummarizationPipeline(model, ON_CPU)) {
            JsonNode divided = JSON.valueToTree(pipeline.run(List.of(endless), kwargs));
            assertThat(divided.path(0).path("chunks").asInt()).isGreaterThan(1);
            JsonNode cut = JSON.valueToTree(pipeline.run(
                    List.of(endless),
                    JSON.readTree("{\"max_new_tokens\": 3, \"num_beams\": 1, \"truncation\": true}")));
            assertThat(cut.path(0).has("chunks")).isFalse();
            assertThat(divided.path(0).path("summary_text").asText())
                    .startsWith(
                            cut.path(0).path("summary_text").asText().strip().substring(0, 1));
            JsonNode two = JSON.valueToTree(
                    pipeline.run(
                            List.of("The house is small. The ship is over the sea."),
                            JSON.readTree(
                                    "{\"max_new_tokens\": 3, \"num_beams\": 2, \"num_return_sequences\": 2, \"chunk_length\": 30}")));
            String first = pipeline.apply("The house is small.", Map.of("max_new_tokens", 3, "num_beams", 2));
            String second = pipeline.apply("The ship is over the sea.", Map.of("max_new_tokens", 3, "num_beams", 2));
            assertThat(two.path(0).path(0).path("chunks").asInt()).isEqualTo(2);
            assertThat(two.path(0).path(0).path("summary_text").asText()).isEqualTo(first + " " + second);
            assertThatThrownBy(() -> pipeline.run(List.of(endless), JSON.readTree("{\"chunk_length\": 2}")))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("chunk_length");
        }
        try (SummarizationPipeline strict = new SummarizationPipeline(model, ON_CPU.withTruncation(false))) {
            assertThatThrownBy(() -> strict.apply(endless))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("the model takes at most");
        }
    }

    @Test
    void anEmptyTextHasAnEmptyResult() throws IOException {
        JsonNode texts = run(
                "summarization",
                model("bart/generation"),
                List.of("", TEXT, " \n"),
                JSON.readTree("{\"num_beams\": 1, \"max_new_tokens\": 4}"));
        assertThat(texts.path(0).path("summary_text").asText("absent")).isEmpty();
        assertThat(texts.path(1).path("summary_text").asText()).isNotEmpty();
        assertThat(texts.path(2).path("summary_text").asText("absent")).isEmpty();
        JsonNode two = run(
                "text2text-generation",
                model("t5/flan"),
                List.of(""),
                JSON.readTree("{\"num_beams\": 2, \"num_return_sequences\": 2}"));
        assertThat(two.get(0)).hasSize(2);
    }

    @Test
    void aMissingStartTokenIsNamed(@TempDir Path folder) throws IOException {
        try (Stream<Path> files = Files.list(model("t5/generation"))) {
            for (Path file : files.toList()) {
                Files.copy(file, folder.resolve(file.getFileName().toString()));
            }
        }
        for (String name : List.of("config.json", "generation_config.json")) {
            Path file = folder.resolve(name);
            ObjectNode config = (ObjectNode) JSON.readTree(file.toFile());
            config.remove(List.of("decoder_start_token_id", "bos_token_id"));
            Files.writeString(file, config.toString());
        }
        assertThatThrownBy(() -> run("text2text-generation", folder, List.of(TEXT), JSON.createObjectNode()))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll("decoder_start_token_id is not set", "generation_config.json");
    }
}
