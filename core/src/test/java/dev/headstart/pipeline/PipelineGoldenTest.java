package dev.headstart.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.headstart.LoadOptions;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What the pipelines give as JSON against transformers and sentence-transformers (conformance/pipeline_cases.py, random_pipelines.py). */
class PipelineGoldenTest {
    private static final ObjectMapper JSON = JsonMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .build();

    static Stream<Path> cases() throws IOException {
        try (Stream<Path> all = Files.list(Shared.repositoryRoot().resolve("core/src/test/resources/pipelines"))) {
            return all.sorted().toList().stream();
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void givesWhatTheReferenceGives(Path folder) throws IOException {
        run(folder, "cpu", 1);
    }

    /** @param times how much further than on the CPU numbers may lie from the reference's */
    static void run(Path folder, String device, double times) throws IOException {
        PipelineOptions options =
                PipelineOptions.DEFAULT.withLoad(LoadOptions.defaults().withDevice(device));
        JsonNode golden = JSON.readTree(folder.resolve("case.json").toFile());
        JsonNode runs =
                golden.has("runs") ? golden.get("runs") : JSON.createArrayNode().add(golden.get("pipeline"));
        assertThat(runs).isNotEmpty();
        for (JsonNode run : runs) {
            List<String> inputs = new ArrayList<>();
            run.get("inputs").forEach(i -> inputs.add(i.isTextual() ? i.asText() : i.toString()));
            String task = run.get("task").asText();
            try (Pipeline pipeline = Pipeline.of(task, folder.resolve("model").toString(), options)) {
                JsonNode got = JSON.valueToTree(pipeline.run(inputs, run.get("kwargs")));
                compare(folder.getFileName() + " " + task + " " + run.get("kwargs"), got, run.get("expected"), times);
            }
        }
    }

    private static void compare(String where, JsonNode got, JsonNode want, double times) {
        if (want.isNumber()) {
            assertThat(got.asDouble())
                    .as(where)
                    .isCloseTo(want.asDouble(), within(times * (2e-5 + 2e-4 * Math.abs(want.asDouble()))));
        } else if (want.isArray()) {
            assertThat(got.size()).as(where + ": elements").isEqualTo(want.size());
            for (int i = 0; i < want.size(); i++) {
                compare(where + "[" + i + "]", got.get(i), want.get(i), times);
            }
        } else if (want.isObject()) {
            List<String> names = new ArrayList<>();
            got.fieldNames().forEachRemaining(names::add);
            List<String> wanted = new ArrayList<>();
            want.fieldNames().forEachRemaining(wanted::add);
            assertThat(names).as(where).hasSameElementsAs(wanted);
            wanted.forEach(name -> compare(where + "." + name, got.get(name), want.get(name), times));
        } else {
            assertThat(got).as(where).isEqualTo(want);
        }
    }
}
