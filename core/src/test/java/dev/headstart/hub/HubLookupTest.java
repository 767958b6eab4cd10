package dev.headstart.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Look-up without any network: folders, the shared cache, our own cache. */
class HubLookupTest {
    private static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";

    @TempDir
    Path temp;

    private Path sharedCache;
    private Path ownCache;
    private Hub hub;

    @BeforeEach
    void makeHub() {
        HubOptions options = HubOptions.fromEnvironment(Map.of("HF_HUB_OFFLINE", "1"), temp);
        sharedCache = temp.resolve(".cache/huggingface/hub");
        ownCache = temp.resolve(".cache/headstart");
        hub = Hub.of(options);
        assertThat(options.hubCache()).isEqualTo(sharedCache);
    }

    @Test
    void anExistingFolderIsTakenAsItIsAndMayChange() throws IOException {
        Path folder = Files.createDirectories(temp.resolve("mine"));
        Files.writeString(folder.resolve("config.json"), "{}");
        ModelFolder model = hub.resolve(folder.toString());
        assertThat(model.path()).isEqualTo(folder);
        assertThat(model.immutable()).isFalse();
    }

    @Test
    void theSharedCacheIsReadInPythonsLayout() throws IOException {
        Path snapshot = snapshot("org/model");
        link(snapshot, "config.json", "{}");
        link(snapshot, "model.safetensors", "weights");
        link(snapshot, "tokenizer.json", "{}");
        for (String id : new String[] {"org/model", "org/model@main", "org/model@" + COMMIT, "org/model@0123456"}) {
            ModelFolder model = hub.resolve(id);
            assertThat(model.path()).isEqualTo(snapshot);
            assertThat(model.immutable()).isTrue();
        }
        assertThat(hub.resolve("org/model", LoadOptions.defaults().withRevision("main"))
                        .path())
                .isEqualTo(snapshot);
        assertThatThrownBy(() -> hub.resolve("org/model@v2")).isInstanceOf(HeadstartException.class);
        assertThat(hub.resolve(snapshot.toString()).immutable()).isTrue();
    }

    @Test
    void weightsThatAreMissingOrGoneAreNotAWholeModel() throws IOException {
        Path snapshot = snapshot("org/model");
        link(snapshot, "config.json", "{}");
        link(snapshot, "tokenizer.json", "{}");
        assertThat(hub.resolve("org/model", null, FileSelection.NO_WEIGHTS).path())
                .isEqualTo(snapshot);
        assertThatThrownBy(() -> hub.resolve("org/model")).hasMessageContaining("org/model");
        Path blob = link(snapshot, "model.safetensors", "weights");
        assertThat(hub.resolve("org/model").path()).isEqualTo(snapshot);
        Files.delete(blob);
        assertThatThrownBy(() -> hub.resolve("org/model")).isInstanceOf(HeadstartException.class);
    }

    @Test
    void shardedWeightsAreWholeWhenEveryShardIsThere() throws IOException {
        Path snapshot = snapshot("org/model");
        link(snapshot, "config.json", "{}");
        link(
                snapshot,
                "model.safetensors.index.json",
                "{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\",\"b\":\"model-00002-of-00002.safetensors\"}}");
        link(snapshot, "model-00001-of-00002.safetensors", "1");
        assertThatThrownBy(() -> hub.resolve("org/model")).isInstanceOf(HeadstartException.class);
        link(snapshot, "model-00002-of-00002.safetensors", "2");
        assertThat(hub.resolve("org/model").path()).isEqualTo(snapshot);
    }

    @Test
    void anIndexThatLeadsOutOfTheFolderIsRefused() throws IOException {
        for (String name : new String[] {"../../secret", "/etc/passwd", "a/b.safetensors", "..", "C:\\\\x"}) {
            Path snapshot = snapshot("org/evil");
            link(snapshot, "config.json", "{}");
            link(snapshot, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"" + name + "\"}}");
            assertThatThrownBy(() -> hub.resolve("org/evil"))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("model.safetensors.index.json");
        }
    }

    @Test
    void aSentenceTransformersFolderKeepsItsWeightsWhereModulesJsonSays() throws IOException {
        Path snapshot = snapshot("org/sentences");
        link(
                snapshot,
                "modules.json",
                "[{\"path\":\"0_Transformer\",\"type\":\"sentence_transformers.models.Transformer\"},"
                        + "{\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"}]");
        link(snapshot, "1_Pooling/config.json", "{}");
        link(snapshot, "0_Transformer/config.json", "{}");
        assertThatThrownBy(() -> hub.resolve("org/sentences")).isInstanceOf(HeadstartException.class);
        link(snapshot, "0_Transformer/model.safetensors", "weights");
        assertThat(hub.resolve("org/sentences").path()).isEqualTo(snapshot);
    }

    @Test
    void ourOwnCacheHoldsWholeModelsOnly() throws IOException {
        Path folder = Files.createDirectories(ownCache.resolve("models/org--model/1.0"));
        Files.writeString(folder.resolve("config.json"), "{}");
        assertThatThrownBy(() -> hub.resolve("org/model")).isInstanceOf(HeadstartException.class);
        Files.writeString(folder.resolve("headstart_origin.json"), "{}");
        assertThat(hub.resolve("org/model").path()).isEqualTo(folder);
        assertThat(hub.resolve("org/model@1.0").path()).isEqualTo(folder);
        assertThatThrownBy(() -> hub.resolve("org/model@2.0")).isInstanceOf(HeadstartException.class);
    }

    @Test
    void whatIsNoModelIsSaidInOneLine() throws IOException {
        Path file = Files.writeString(temp.resolve("notes.md"), "x");
        assertThatThrownBy(() -> hub.resolve(file.toString())).hasMessageContaining("is a file");
        assertThatThrownBy(() -> hub.resolve("./no/such/folder")).hasMessageContaining("no folder ./no/such/folder");
        assertThatThrownBy(() -> hub.resolve("")).hasMessageContaining("empty");
        assertThatThrownBy(() -> hub.resolve("org/a--b")).hasMessageContaining("neither");
        assertThatThrownBy(() -> hub.resolve("org/model@../../x")).hasMessageContaining("no revision");
        assertThatThrownBy(() -> hub.resolve("org/model@a", "b", FileSelection.MODEL))
                .hasMessageContaining("leave one of them out");
        assertThatThrownBy(() -> hub.resolve("no-such-model"))
                .hasMessageContaining(sharedCache.toString())
                .hasMessageNotContaining("\n");
    }

    private Path snapshot(String name) throws IOException {
        Path repository = sharedCache.resolve("models--" + name.replace("/", "--"));
        Files.createDirectories(repository.resolve("refs"));
        Files.createDirectories(repository.resolve("blobs"));
        Files.writeString(repository.resolve("refs/main"), COMMIT);
        return Files.createDirectories(repository.resolve("snapshots").resolve(COMMIT));
    }

    private static Path link(Path snapshot, String name, String content) throws IOException {
        Path blob = snapshot.resolve("../../blobs/" + Integer.toHexString((name + content).hashCode()))
                .normalize();
        Files.writeString(blob, content);
        Path link = snapshot.resolve(name);
        Path folder = Files.createDirectories(link.resolve("..").normalize());
        Files.deleteIfExists(link);
        Files.createSymbolicLink(link, folder.relativize(blob));
        return blob;
    }
}
