package dev.headstart.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.io.Checkpoint;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Models in jars on the class path. */
class ZooTest {
    @TempDir
    Path temp;

    /** A jar as the zoo's module makes one: files below the model's id, and an index with their hashes. */
    private Path jar(String name, String id, Map<String, byte[]> files, Map<String, String> hashes) throws IOException {
        Path jar = temp.resolve(name);
        try (OutputStream out = Files.newOutputStream(jar);
                ZipOutputStream zip = new ZipOutputStream(out)) {
            zip.putNextEntry(new ZipEntry(Zoo.PLACE + "index.json"));
            zip.write(new ObjectMapper()
                    .writeValueAsBytes(Map.of(
                            "models",
                            List.of(Map.of("id", id, "version", "1", "license", "apache-2.0", "files", hashes)))));
            for (var file : files.entrySet()) {
                zip.putNextEntry(new ZipEntry(Zoo.PLACE + id + "/" + file.getKey()));
                zip.write(file.getValue());
            }
        }
        return jar;
    }

    private static Map<String, String> hashes(Map<String, byte[]> files) {
        Map<String, String> hashes = new TreeMap<>();
        files.forEach((name, content) -> hashes.put(name, FakeHub.sha256(content)));
        return hashes;
    }

    private static Map<String, byte[]> tinyBert() throws IOException {
        Map<String, byte[]> files = new TreeMap<>();
        try (Stream<Path> list =
                Files.list(Shared.repositoryRoot().resolve("core/src/test/resources/encoders/bert-base/model"))) {
            for (Path file : list.toList()) {
                files.put(file.getFileName().toString(), Files.readAllBytes(file));
            }
        }
        return files;
    }

    private Hub hub(ClassLoader loader) {
        return Hub.of(new HubOptions.Builder(temp.resolve("hf"), temp.resolve("own"))
                .offline(true)
                .zoo(loader)
                .build());
    }

    @Test
    void aModelOnTheClassPathNeedsNoNetwork() throws IOException {
        Map<String, byte[]> files = tinyBert();
        Path jar = jar("zoo.jar", "bert-tiny", files, hashes(files));
        Path folder;
        try (URLClassLoader loader = new URLClassLoader(new URL[] {jar.toUri().toURL()})) {
            Hub hub = hub(loader);
            assertThat(hub.zoo()).containsExactly("bert-tiny");
            folder = hub.resolve("bert-tiny").path();
            assertThat(folder).hasParentRaw(temp.resolve("own/models/bert-tiny"));
            assertThat(hub.resolve("bert-tiny@main").path()).isEqualTo(folder);
            assertThat(hub.resolve("bert-tiny").immutable()).isTrue();
            assertThatThrownBy(() -> hub.resolve("bert-tiny@v2")).isInstanceOf(HeadstartException.class);
            assertThat(hub.cached()).singleElement().satisfies(model -> {
                assertThat(model.id()).isEqualTo("bert-tiny");
                assertThat(model.origin()).contains("zoo");
            });
        }
        for (var file : files.entrySet()) {
            assertThat(Files.readAllBytes(folder.resolve(file.getKey()))).isEqualTo(file.getValue());
        }
        try (var weights = Checkpoint.open(folder, true)) {
            assertThat(weights.names()).contains("embeddings.word_embeddings.weight");
        }
    }

    @Test
    void anotherJarOfTheSameModelNeverMeetsTheFolderOfTheFirst() throws IOException {
        Map<String, byte[]> files = tinyBert();
        Path first = jar("zoo-1.jar", "bert-tiny", files, hashes(files));
        Path before;
        try (URLClassLoader loader = new URLClassLoader(new URL[] {first.toUri().toURL()})) {
            before = hub(loader).resolve("bert-tiny").path();
        }
        files.put("README.md", "# retrained".getBytes(StandardCharsets.UTF_8));
        Path second = jar("zoo-2.jar", "bert-tiny", files, hashes(files));
        try (URLClassLoader loader =
                new URLClassLoader(new URL[] {second.toUri().toURL()})) {
            Path after = hub(loader).resolve("bert-tiny").path();
            assertThat(after).isNotEqualTo(before);
            assertThat(after.resolve("README.md")).hasContent("# retrained");
            assertThat(before.resolve("README.md")).doesNotExist();
        }
    }

    @Test
    void theOrderIsZooThenSharedCacheThenOurOwn() throws IOException {
        Map<String, byte[]> files = tinyBert();
        String commit = "0123456789abcdef0123456789abcdef01234567";
        Path shared = temp.resolve("hf/models--bert-tiny/snapshots/" + commit);
        Path own = temp.resolve("own/models/bert-tiny/0");
        for (Path folder : List.of(shared, own)) {
            Files.createDirectories(folder);
            for (var file : files.entrySet()) {
                Files.write(folder.resolve(file.getKey()), file.getValue());
            }
        }
        Files.writeString(own.resolve(OwnCache.ORIGIN), "{}");
        Files.createDirectories(temp.resolve("hf/models--bert-tiny/refs"));
        Files.writeString(temp.resolve("hf/models--bert-tiny/refs/main"), commit);
        Path jar = jar("zoo.jar", "bert-tiny", files, hashes(files));
        try (URLClassLoader loader = new URLClassLoader(new URL[] {jar.toUri().toURL()});
                URLClassLoader none = new URLClassLoader(new URL[0], null)) {
            assertThat(hub(loader).resolve("bert-tiny").path()).isNotIn(shared, own);
            assertThat(hub(none).resolve("bert-tiny").path()).isEqualTo(shared);
            JarModel.delete(temp.resolve("hf"));
            JarModel.delete(temp.resolve("own/models/bert-tiny/" + newest(own)));
            assertThat(hub(none).resolve("bert-tiny").path()).isEqualTo(own);
        }
    }

    /** What the zoo unpacked beside it. */
    private static String newest(Path own) throws IOException {
        try (Stream<Path> list = Files.list(OwnCache.parent(own))) {
            return list.filter(p -> !p.equals(own))
                    .findFirst()
                    .orElseThrow()
                    .getFileName()
                    .toString();
        }
    }

    @Test
    void aDamagedJarIsNamedAndLeavesNothing() throws IOException {
        Map<String, byte[]> files = tinyBert();
        Map<String, String> hashes = hashes(files);
        files.put("config.json", "{}".getBytes(StandardCharsets.UTF_8));
        Path jar = jar("damaged.jar", "bert-tiny", files, hashes);
        try (URLClassLoader loader = new URLClassLoader(new URL[] {jar.toUri().toURL()})) {
            assertThatThrownBy(() -> hub(loader).resolve("bert-tiny"))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("bert-tiny/config.json is not what the zoo's index says")
                    .hasMessageContaining("damaged.jar")
                    .hasMessageNotContaining("\n");
            assertThat(hub(loader).cached()).isEmpty();
        }
    }

    @Test
    void namesThatClimbOutAreRefused() throws IOException {
        Map<String, byte[]> files = Map.of("../../../evil", new byte[1]);
        Path jar = jar("evil.jar", "bert-tiny", files, hashes(files));
        try (URLClassLoader loader = new URLClassLoader(new URL[] {jar.toUri().toURL()})) {
            assertThatThrownBy(() -> hub(loader).resolve("bert-tiny"))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("../../../evil");
        }
        try (Stream<Path> all = Files.walk(temp)) {
            assertThat(all.filter(p -> p.endsWith("evil"))).isEmpty();
        }
    }
}
