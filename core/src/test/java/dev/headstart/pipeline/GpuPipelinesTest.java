package dev.headstart.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.headstart.LoadOptions;
import dev.headstart.nn.Natives;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What the pipelines' golden cases say, on a GPU; skipped where there is none. {@code -Dheadstart.gpu.device=cpu} runs the test itself there. */
class GpuPipelinesTest {
    private static final ObjectMapper JSON = JsonMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .build();
    private static final String DEVICE = System.getProperty("headstart.gpu.device", "cuda");

    @BeforeEach
    void needsAGpu() {
        Natives.load();
        assumeTrue(DEVICE.equals("cpu") || torch.cuda_is_available(), "no usable GPU here: skipped");
    }

    static Stream<Path> pipelines() throws IOException {
        try (Stream<Path> all = Files.list(Shared.repositoryRoot().resolve("core/src/test/resources/pipelines"))) {
            return all.sorted().toList().stream();
        }
    }

    @ParameterizedTest
    @MethodSource("pipelines")
    void pipelinesGiveTheSame(Path at) throws IOException {
        JsonNode golden = JSON.readTree(at.resolve("case.json").toFile());
        JsonNode runs =
                golden.has("runs") ? golden.get("runs") : JSON.createArrayNode().add(golden.get("pipeline"));
        PipelineOptions options =
                PipelineOptions.DEFAULT.withLoad(LoadOptions.defaults().withDevice(DEVICE));
        for (JsonNode run : runs) {
            List<String> inputs = new ArrayList<>();
            run.get("inputs").forEach(i -> inputs.add(i.isTextual() ? i.asText() : i.toString()));
            String task = run.get("task").asText();
            try (Pipeline pipeline = Pipeline.of(task, at.resolve("model").toString(), options)) {
                JsonNode got = JSON.valueToTree(pipeline.run(inputs, run.get("kwargs")));
                alike(at.getFileName() + " " + task + " " + run.get("kwargs"), got, run.get("expected"));
            }
        }
    }

    private static void alike(String where, JsonNode got, JsonNode want) {
        if (want.isNumber()) {
            assertThat(Math.abs(got.asDouble() - want.asDouble()))
                    .as("%s: %s instead of %s", where, got, want)
                    .isLessThanOrEqualTo(1e-4 + 1e-3 * Math.abs(want.asDouble()));
        } else if (want.isContainerNode()) {
            assertThat(got.size()).as(where).isEqualTo(want.size());
            for (int i = 0; want.isArray() && i < want.size(); i++) {
                alike(where + "[" + i + "]", got.get(i), want.get(i));
            }
            want.properties().forEach(e -> alike(where + "." + e.getKey(), got.path(e.getKey()), e.getValue()));
        } else {
            assertThat(got).as(where).isEqualTo(want);
        }
    }
}
