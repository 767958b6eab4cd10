package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.ModelFolder;
import dev.headstart.nn.Precision;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Folded convolutions, in fp32 and in 8 bits, beside the plain ones. */
class QuantizedConvolutionsTest {
    @TempDir
    Path dir;

    /** A ResNet with new weights whose running statistics fit what it sees. */
    private Path model(String type) {
        Path folder = dir.resolve(type);
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = Models.fromConfig(
                        new ConfigJson(
                                json("{\"model_type\": \"resnet\", \"embedding_size\": 32, \"hidden_sizes\": [64, 128],"
                                        + " \"depths\": [2, 2], \"layer_type\": \"" + type + "\"}"),
                                "test"),
                        "ResNetForImageClassification",
                        LoadOptions.defaults().withSeed(3))) {
            model.train();
            for (int i = 0; i < 8; i++) {
                model.forward(Inputs.of(Map.of("pixel_values", pixels(i)))).close();
            }
            model.eval();
            model.savePretrained(folder);
        }
        return folder;
    }

    private static ObjectNode json(String text) {
        try {
            return (ObjectNode) new com.fasterxml.jackson.databind.ObjectMapper().readTree(text);
        } catch (java.io.IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private static Tensor pixels(long seed) {
        torch.manual_seed(seed);
        return torch.randn(4, 3, 48, 48);
    }

    private static Map<String, float[]> outputs(PreTrainedModel<?> model) {
        try (PointerScope scope = new PointerScope();
                ModelOutput out = model.forward(
                        Inputs.of(Map.of("pixel_values", pixels(99))).withHiddenStates(true))) {
            Map<String, float[]> all = new LinkedHashMap<>();
            out.tensors().forEach((name, t) -> all.put(name, Tensors.floats(t.contiguous())));
            return all;
        }
    }

    private static float[] logits(Map<String, float[]> outputs) {
        return Objects.requireNonNull(outputs.get("logits"));
    }

    private static double error(float[] a, float[] b) {
        double difference = 0, size = 0;
        for (int i = 0; i < a.length; i++) {
            difference += (a[i] - b[i]) * (a[i] - b[i]);
            size += a[i] * a[i];
        }
        return Math.sqrt(difference / size);
    }

    /**
     * Residual sums are written over what they are added to: no hidden state may change by that. bf16 rounds weights and activations of 13 convolutions by
     * 2^-9 / sqrt(3), 0.6 % in all; 8 bits by about 0.7 % each, 3.8 % in all; the limits leave room for what normalization enlarges (0.6 % to 2.3 %).
     */
    @ParameterizedTest
    @ValueSource(strings = {"basic", "bottleneck"})
    void foldedIsAsPlain(String type) {
        try (PreTrainedModel<?> model =
                Models.load(new ModelFolder(type, model(type), false), null, LoadOptions.defaults())) {
            Map<String, float[]> plain = outputs(model);
            assertThat(plain).containsKeys("logits", "hidden_states.0", "hidden_states.2");
            for (Precision p : List.of(Precision.FP32, Precision.BF16, Precision.INT8)) {
                model.optimize(p);
                double most = p == Precision.FP32 ? 1e-5 : p == Precision.BF16 ? 0.03 : 0.1;
                outputs(model)
                        .forEach((name, values) -> assertThat(error(Objects.requireNonNull(plain.get(name)), values))
                                .as(p + " " + name)
                                .isLessThan(most));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"basic", "bottleneck"})
    void aQuantizedFolderKeepsItsRanges(String type) {
        Path in = model(type), out = dir.resolve("q");
        Quantization.Report report = Quantization.write(new ModelFolder(type, in, false), 8, 32, out, model -> {
            for (int i = 0; i < 4; i++) {
                try (PointerScope scope = new PointerScope()) {
                    model.forward(Inputs.of(Map.of("pixel_values", pixels(i)))).close();
                }
            }
        });
        assertThat(report.bytesAfter()).isLessThan(report.bytesBefore() * 7 / 10);
        try (PreTrainedModel<?> plain = Models.load(new ModelFolder(type, in, false), null, LoadOptions.defaults());
                PreTrainedModel<?> small =
                        Models.load(new ModelFolder(type, out, false), null, LoadOptions.defaults())) {
            Map<String, float[]> expected = outputs(plain), found = outputs(small);
            assertThat(error(logits(expected), logits(found))).isBetween(1e-5, 0.05);
            assertThat(small.state().convNorms())
                    .allMatch(c -> c.range().low() <= c.range().high());
            small.optimize(Precision.FP32); // what a pipeline does after some images
            assertThat(error(logits(found), logits(outputs(small))))
                    .isLessThan(1e-5); // the head is packed, the convolutions stay as they are
            small.train();
            small.eval();
            assertThat(error(logits(found), logits(outputs(small)))).isBetween(1e-6, 0.05);
        }
    }

    @Test
    void damagedRangesAreNamed() throws java.io.IOException {
        Path in = model("basic"), out = dir.resolve("q");
        Quantization.write(new ModelFolder("basic", in, false), 8, 32, out, model -> {
            try (PointerScope scope = new PointerScope()) {
                model.forward(Inputs.of(Map.of("pixel_values", pixels(1)))).close();
            }
        });
        Path config = out.resolve("config.json");
        ObjectNode json = json(Files.readString(config));
        ((ObjectNode) json.path("quantization_config").path("activation_ranges"))
                .put("resnet.embedder.embedder.convolution.weight", "wide");
        Files.writeString(config, json.toString());
        assertThatThrownBy(() -> Models.load(new ModelFolder("q", out, false), null, LoadOptions.defaults()))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll("activation_ranges", "embedder", "\"wide\"", "quantize the model again");
    }
}
