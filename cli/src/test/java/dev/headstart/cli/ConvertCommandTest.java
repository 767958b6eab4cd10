package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.headstart.io.Checkpoint;
import dev.headstart.io.Safetensors;
import dev.headstart.io.TensorInfo;
import dev.headstart.pipeline.Pipeline;
import dev.headstart.pipeline.SentenceEmbeddingPipeline;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ConvertCommandTest {
    @TempDir
    Path dir;

    @Test
    void weightsChangeTypeAndTheRestIsCopied() throws IOException {
        Path model = Files.createDirectory(dir.resolve("model"));
        Files.writeString(model.resolve("config.json"), "{}");
        try (var w = Tensor.create(1f, 2f);
                var ids = Tensor.create(3L)) {
            Safetensors.write(model.resolve("model.safetensors"), Map.of("w", w, "ids", ids));
        }
        Path out = dir.resolve("out");
        var result = HeadstartCommandTest.run(
                "convert", "--model", model.toString(), "--output", out.toString(), "--dtype", "bf16");
        assertThat(result.code()).as(result.err()).isZero();
        try (var source = Checkpoint.open(out, false)) {
            assertThat(source.info("w")).isEqualTo(new TensorInfo("BF16", List.of(2L)));
            assertThat(source.info("ids")).isEqualTo(new TensorInfo("I64", List.of(1L)));
        }
        assertThat(out.resolve("config.json")).hasContent("{}");
        var again = HeadstartCommandTest.run("convert", "--model", model.toString(), "--output", out.toString());
        assertThat(again.code()).isEqualTo(1);
        assertThat(again.err()).contains("the folder is not empty; choose another");
    }

    @ParameterizedTest
    @CsvSource({"convert,--dtype,fp32", "quantize,--precision,int8"})
    void aSentenceTransformersFolderStaysOne(String command, String option, String value) {
        Path model = ArchitectureTest.ROOT.resolve("core/src/test/resources/pipelines/sentence-dense-norm/model");
        Path out = dir.resolve("out");
        var made = HeadstartCommandTest.run(
                command, "--model", model.toString(), "--output", out.toString(), option, value);
        assertThat(made.code()).as(made.err()).isZero();
        try (SentenceEmbeddingPipeline before = Pipeline.sentenceEmbedding(model.toString());
                SentenceEmbeddingPipeline after = Pipeline.sentenceEmbedding(out.toString())) {
            float[] expected = before.apply("the film was good");
            float[] found = after.apply("the film was good");
            assertThat(found).hasSameSizeAs(expected);
            for (int i = 0; i < expected.length; i++) {
                assertThat(found[i]).isCloseTo(expected[i], within(0.05f));
            }
        }
    }
}
