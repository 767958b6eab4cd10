package dev.headstart.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TextGenerationPipelineTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final PipelineOptions ON_CPU =
            PipelineOptions.DEFAULT.withLoad(LoadOptions.defaults().withDevice("cpu"));

    private static TextGenerationPipeline open(String golden) {
        return new TextGenerationPipeline(
                Shared.require("golden/" + golden + "/model").toString(), ON_CPU);
    }

    @Test
    void answersAsTheHuggingFacePipeline() throws IOException {
        for (String name : List.of("gpt2/text-generation", "llama/text-generation")) {
            JsonNode golden = JSON.readTree(
                            Shared.require("golden/" + name + "/case.json").toFile())
                    .get("pipeline");
            try (TextGenerationPipeline pipeline = open(name)) {
                List<String> inputs = JSON.convertValue(
                        golden.get("inputs"), JSON.getTypeFactory().constructCollectionType(List.class, String.class));
                assertThat((JsonNode) JSON.valueToTree(pipeline.run(inputs, golden.get("kwargs"))))
                        .isEqualTo(golden.get("expected"));
            }
        }
    }

    @Test
    void streamsWholeCharactersThatTogetherAreTheText() throws IOException {
        try (TextGenerationPipeline pipeline = open("gpt2/text-generation")) {
            for (int seed = 0;
                    seed < 8;
                    seed++) { // an untrained byte-level model: most of what it says is broken UTF-8
                JsonNode kwargs = JSON.readTree(
                        "{\"max_new_tokens\": 24, \"do_sample\": true, \"temperature\": 1.5, \"seed\": " + seed + "}");
                StringBuilder streamed = new StringBuilder();
                pipeline.stream("the movie", kwargs, piece -> {
                    assertThat(piece).isNotEmpty().doesNotEndWith("\uFFFD");
                    streamed.append(piece);
                });
                String whole = JSON.valueToTree(pipeline.run(List.of("the movie"), kwargs))
                        .get(0)
                        .get(0)
                        .get("generated_text")
                        .asText();
                assertThat(whole).startsWith(streamed.toString());
                assertThat(whole.substring(streamed.length())).matches("\uFFFD*");
            }
        }
    }

    @Test
    void stopsAtAStringAndReturnsWhatWasAskedFor() throws IOException {
        try (TextGenerationPipeline pipeline = open("gpt2/text-generation")) {
            String text = pipeline.apply(
                    "the movie was", Map.of("max_new_tokens", 8, "do_sample", false, "stop_sequence", "III"));
            assertThat(text).isEqualTo("the movie wasIII");
            JsonNode fresh = JSON.valueToTree(
                    pipeline.run(
                            List.of("the movie was"),
                            JSON.readTree(
                                    "{\"max_new_tokens\": 3, \"num_beams\": 3, \"num_return_sequences\": 2, \"do_sample\": false, \"return_full_text\": false}")));
            assertThat(fresh.get(0)).hasSize(2);
            assertThat(fresh.get(0).get(0).get("generated_text").asText()).doesNotContain("movie");
        }
    }

    @Test
    void saysInOneLineWhatIsWrong() throws IOException {
        try (TextGenerationPipeline pipeline = open("gpt2/text-generation")) {
            String endless = "word ".repeat(200);
            assertThatThrownBy(() -> pipeline.apply(endless, Map.of("max_new_tokens", 4)))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContainingAll("the prompt has", "reads at most 64");
            assertThatThrownBy(() -> pipeline.apply("a", Map.of("max_new_token", 4)))
                    .hasMessageContaining("did you mean max_new_tokens");
            assertThatThrownBy(() -> pipeline.apply("a", Map.of("num_return_sequences", 2, "do_sample", false)))
                    .hasMessageContainingAll("num_return_sequences", "do_sample");
            assertThat(pipeline.apply("", Map.of("max_new_tokens", 3, "do_sample", false)))
                    .as("an empty prompt begins at bos_token_id")
                    .isNotNull();
            assertThat(pipeline.apply(
                            endless, Map.of("max_new_tokens", 4, "handle_long_generation", "hole", "do_sample", false)))
                    .startsWith(endless);
        }
    }

    @Test
    void aVocabularyThatDoesNotFitTheWeightsIsNamed(@TempDir Path folder) throws IOException {
        Path model = Shared.require("golden/gpt2/text-generation/model");
        try (var files = Files.list(model)) {
            for (Path f : files.toList()) {
                Files.copy(f, folder.resolve(f.getFileName()));
            }
        }
        Path config = folder.resolve("config.json");
        Files.writeString(config, Files.readString(config).replaceAll("\"vocab_size\": \\d+", "\"vocab_size\": 100"));
        assertThatThrownBy(() -> new TextGenerationPipeline(folder.toString(), ON_CPU))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll("wte.weight", "vocab_size 100");
    }

    @Test
    void answersConversationsThroughTheChatTemplate(@TempDir Path folder) throws IOException {
        Path model = Shared.require("golden/gpt2/text-generation/model");
        try (var files = Files.list(model)) {
            for (Path f : files.toList()) {
                Files.copy(f, folder.resolve(f.getFileName()));
            }
        }
        Files.writeString(
                folder.resolve("chat_template.jinja"),
                "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}");
        try (TextGenerationPipeline pipeline = new TextGenerationPipeline(folder.toString(), ON_CPU)) {
            JsonNode kwargs = JSON.readTree("{\"max_new_tokens\": 6, \"do_sample\": false}");
            String prompt = "user: Hello\nassistant: ";
            String plain = JSON.<JsonNode>valueToTree(pipeline.run(List.of(prompt), kwargs))
                    .get(0)
                    .get(0)
                    .get("generated_text")
                    .asText()
                    .substring(prompt.length());
            String conversation = "[{\"role\": \"user\", \"content\": \"Hello\"}]";
            JsonNode answered = JSON.<JsonNode>valueToTree(pipeline.run(List.of(conversation), kwargs))
                    .get(0)
                    .get(0)
                    .get("generated_text");
            assertThat(answered).hasSize(2);
            assertThat(answered.get(1).get("role").asText()).isEqualTo("assistant");
            assertThat(answered.get(1).get("content").asText()).isEqualTo(plain);
            StringBuilder streamed = new StringBuilder();
            String whole = pipeline.chat(List.of(Map.of("role", "user", "content", "Hello")), kwargs, streamed::append);
            assertThat(streamed.toString()).isEqualTo(whole);
            assertThat(plain).startsWith(whole);
            String begun =
                    "[{\"role\": \"user\", \"content\": \"Hello\"}, {\"role\": \"assistant\", \"content\": \"Good\"}]";
            JsonNode wentOn = JSON.<JsonNode>valueToTree(pipeline.run(List.of(begun), kwargs))
                    .get(0)
                    .get(0)
                    .get("generated_text");
            assertThat(wentOn.get(1).get("content").asText()).startsWith("Good").hasSizeGreaterThan(4);
        }
    }
}
