package dev.headstart.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Image pipelines against the output of transformers' pipelines, one by one and in batches, and bad images. */
class ImagePipelineTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path folder;

    private static void same(JsonNode got, JsonNode want, double tolerance, double box, String path) {
        if (want.isObject()) {
            want.properties()
                    .forEach(e -> same(got.path(e.getKey()), e.getValue(), tolerance, box, path + "." + e.getKey()));
        } else if (want.isArray()) {
            assertThat(got.size()).as(path).isEqualTo(want.size());
            for (int i = 0; i < want.size(); i++) {
                same(got.get(i), want.get(i), tolerance, box, path + "[" + i + "]");
            }
        } else if (want.isNumber()) {
            assertThat(got.asDouble())
                    .as(path)
                    .isCloseTo(want.asDouble(), within(path.contains(".box.") ? box : tolerance));
        } else {
            assertThat(got).as(path).isEqualTo(want);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "vit/classification",
                "resnet/classification-bottleneck",
                "convnext/classification",
                "clip/model",
                "yolos/detection",
                "detr/detection"
            })
    void golden(String name) throws IOException {
        Path at = Shared.require("golden/" + name);
        JsonNode c = JSON.readTree(at.resolve("case.json").toFile()).get("pipeline");
        List<String> inputs = new ArrayList<>();
        c.get("inputs").forEach(i -> inputs.add(at.resolve(i.asText()).toString()));
        JsonNode kwargs = c.path("kwargs").isObject() ? c.get("kwargs") : JSON.createObjectNode();
        double tolerance = c.path("atol").asDouble(2e-4) + 1e-3;
        try (Pipeline pipeline =
                Pipeline.of(c.get("task").asText(), at.resolve("model").toString(), PipelineOptions.DEFAULT)) {
            same(
                    JSON.valueToTree(pipeline.run(inputs, kwargs)),
                    c.get("expected"),
                    tolerance,
                    c.path("box_atol").asDouble(0),
                    name);
            // twenty images go through in batches, with packed weights
            List<String> many = Collections.nCopies(20, inputs.get(0));
            JsonNode all = JSON.valueToTree(pipeline.run(many, kwargs));
            assertThat(all.size()).isEqualTo(20);
            for (JsonNode one : all) {
                same(
                        one,
                        c.get("expected").get(0),
                        tolerance,
                        c.path("box_atol").asDouble(0),
                        name);
            }
        }
    }

    @Test
    void badImagesAreNamed() throws IOException {
        Path model = Shared.require("golden/vit/classification/model");
        Path good = Shared.require("golden/vit/classification/image.png");
        Path bad = Files.writeString(folder.resolve("bad.jpg"), "no image");
        try (Pipeline pipeline = Pipeline.imageClassification(model.toString())) {
            List<String> inputs = new ArrayList<>(Collections.nCopies(20, good.toString()));
            inputs.set(17, bad.toString());
            assertThatThrownBy(() -> pipeline.run(inputs, JSON.createObjectNode()))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("bad.jpg");
            assertThat(pipeline.run(List.of(good.toString(), good.toUri().toString()), JSON.createObjectNode()))
                    .hasSize(2);
            assertThatThrownBy(() -> pipeline.run(List.of("https://example.com/cat.jpg"), JSON.createObjectNode()))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("https://example.com/cat.jpg")
                    .hasMessageContaining("download");
        }
        try (Pipeline pipeline = Pipeline.zeroShotImageClassification(
                Shared.require("golden/clip/model/model").toString())) {
            assertThatThrownBy(() -> pipeline.run(List.of(good.toString()), JSON.createObjectNode()))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("candidate_labels");
        }
    }
}
