package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.cli.HeadstartCommandTest.Result;
import dev.headstart.hub.FakeHub;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code models list}, {@code info}, {@code fetch} and {@code prune}, in the order in which somebody would use them. */
class ModelsCommandTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path home;

    @Test
    void theLifeOfACache() throws Exception {
        try (FakeHub hub = new FakeHub()) {
            hub.file("config.json", "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],\"hidden_size\":8}")
                    .file("tokenizer.json", "{}")
                    .file("model.safetensors", "weights")
                    .file("README.md", "---\nlicense: \"apache-2.0\"\n---\n# card");
            HeadstartProcess headstart = new HeadstartProcess(home, hub.endpoint());

            Result empty = headstart.run("models", "list");
            assertThat(empty.code()).isZero();
            assertThat(empty.out()).startsWith("no models yet: headstart models fetch bert-base-uncased\n");

            Result fetched = headstart.run("models", "fetch", "org/model");
            assertThat(fetched.code()).as(fetched.err()).isZero();
            Path snapshot = Path.of(fetched.out().strip());
            assertThat(snapshot.resolve("model.safetensors")).hasContent("weights");
            assertThat(fetched.err()).as("what comes from where").contains("127.0.0.1");
            Path shared = home.resolve(".cache/huggingface/hub/models--org--model");
            assertThat(snapshot).startsWith(shared);

            Path own = Files.createDirectories(home.resolve(".cache/headstart/models/org--own/1.0"));
            Files.writeString(own.resolve("config.json"), "{}");
            Files.writeString(
                    own.resolve("headstart_origin.json"),
                    "{\"id\":\"org/own\",\"source\":\"maven\",\"artifact\":\"a:b:1.0\",\"repository\":\"central\",\"license\":\"mit\"}");

            JsonNode list =
                    JSON.readTree(headstart.run("models", "list", "--json").out());
            assertThat(list.findValuesAsText("id")).containsExactly("org/own", "org/model");
            assertThat(list.findValuesAsText("cache")).containsExactly("headstart", "shared");
            assertThat(list.get(0).path("origin").asText()).isEqualTo("maven a:b:1.0 from central");
            assertThat(list.get(1).path("names").get(0).asText()).isEqualTo("main");
            assertThat(list.get(1).path("files").asInt()).isEqualTo(4);
            assertThat(list.get(1).path("bytes").asLong()).isGreaterThan(100);

            JsonNode info = JSON.readTree(
                    headstart.run("models", "info", "org/model", "--json").out());
            assertThat(info.path("license").asText()).isEqualTo("apache-2.0");
            assertThat(info.at("/architectures/0").asText()).isEqualTo("BertModel");
            assertThat(info.path("files").findValuesAsText("sha256"))
                    .contains(FakeHub.sha256("weights".getBytes(java.nio.charset.StandardCharsets.UTF_8)));
            Result unknown = headstart.run("models", "info", "org/other");
            assertThat(unknown.code()).isEqualTo(1);
            assertThat(unknown.err().lines())
                    .singleElement()
                    .asString()
                    .contains("'org/other' is not on this machine", "headstart models fetch org/other");

            prune(headstart, own, shared);
            assertThat(headstart.run("models", "list").out()).startsWith("no models yet");
        }
    }

    private static void prune(HeadstartProcess headstart, Path own, Path shared) throws Exception {
        Result unnamed = headstart.run("models", "prune", "--shared");
        assertThat(unnamed.code()).isEqualTo(2);
        assertThat(unnamed.err()).contains("--shared removes named models only");
        Result elsewhere = headstart.run("models", "prune", "org/model", "--yes");
        assertThat(elsewhere.code()).isEqualTo(1);
        assertThat(elsewhere.err()).contains("add --shared to remove it there");
        Result no = headstart.run("n\n", List.of("models", "prune"));
        assertThat(no.code()).isEqualTo(1);
        assertThat(no.err()).contains("org/own", "[y/N]", "nothing was removed");
        assertThat(own).exists();

        Result all = headstart.run("y\n", List.of("models", "prune"));
        assertThat(all.code()).as(all.err()).isZero();
        assertThat(all.out()).startsWith("removed 1, freed ");
        assertThat(own.resolve("..").normalize()).doesNotExist();
        assertThat(shared).as("Python's models stay").isNotEmptyDirectory();

        Result named = headstart.run("models", "prune", "model@main", "--shared", "--yes", "--json");
        assertThat(named.code()).as(named.err()).isZero();
        JsonNode removed = JSON.readTree(named.out());
        assertThat(removed.at("/removed/0/id").asText()).isEqualTo("org/model");
        assertThat(removed.path("freed_bytes").asLong()).isGreaterThan(100);
        assertThat(shared).doesNotExist();
    }
}
