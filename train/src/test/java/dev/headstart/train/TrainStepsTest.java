package dev.headstart.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.io.Safetensors;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Training steps, running statistics included, against torch and peft (conformance/vision_train.py and train_fuzz.py). */
class TrainStepsTest {
    @TempDir
    Path folder;

    static Stream<Path> cases() throws IOException, URISyntaxException {
        return Stream.concat(below("/vision-train"), below("/text-train"));
    }

    private static Stream<Path> below(String folder) throws IOException, URISyntaxException {
        Path root = Path.of(
                Objects.requireNonNull(TrainStepsTest.class.getResource(folder)).toURI());
        try (Stream<Path> all = Files.walk(root, 3)) {
            return all.filter(p -> p.endsWith("case.json")).map(Path::getParent).sorted().toList().stream();
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void lossesAndWeightsAgree(Path at) throws IOException {
        JsonNode train =
                new ObjectMapper().readTree(at.resolve("case.json").toFile()).get("train");
        Path outputs = folder.resolve("after.safetensors");
        List<Double> losses = TrainSteps.run(at.resolve("model").toString(), at.resolve("case.json"), outputs);
        assertThat(losses).hasSize(train.get("losses").size());
        for (int i = 0; i < losses.size(); i++) {
            assertThat(losses.get(i))
                    .as("step " + i)
                    .isCloseTo(
                            train.get("losses").get(i).asDouble(),
                            within(train.get("loss_atol").asDouble()));
        }
        Set<String> skipped = new HashSet<>();
        train.path("after_skip").forEach(n -> skipped.add(n.asText()));
        try (PointerScope scope = new PointerScope()) {
            Map<String, Tensor> got = Safetensors.readMap(outputs);
            Safetensors.readMap(at.resolve(train.get("after").asText())).forEach((name, want) -> {
                Tensor g = Objects.requireNonNull(got.get(name), name);
                assertThat(g.shape()).as(name).isEqualTo(want.shape());
                if (!skipped.contains(name) && want.numel() > 0) {
                    double error = g.to(torch.ScalarType.Float)
                            .sub(want.to(torch.ScalarType.Float))
                            .abs()
                            .max()
                            .item_double();
                    assertThat(error)
                            .as(name)
                            .isLessThanOrEqualTo(train.get("after_atol").asDouble());
                }
            });
        }
    }
}
