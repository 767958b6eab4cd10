package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.io.Checkpoint;
import dev.headstart.io.Safetensors;
import dev.headstart.io.TensorInfo;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

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
        assertThat(again.err()).contains("expected a new or empty folder");
    }
}
