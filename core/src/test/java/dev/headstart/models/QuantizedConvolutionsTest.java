package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.ModelFolder;
import dev.headstart.nn.Memory;
import dev.headstart.nn.Precision;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
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
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private static Tensor pixels(long seed) {
        return pixels(seed, 48);
    }

    private static Tensor pixels(long seed, int side) {
        torch.manual_seed(seed);
        return torch.randn(4, 3, side, side);
    }

    private static Map<String, float[]> outputs(PreTrainedModel<?> model) {
        return outputs(model, 48);
    }

    private static Map<String, float[]> outputs(PreTrainedModel<?> model, int side) {
        try (PointerScope scope = new PointerScope();
                ModelOutput out = model.forward(
                        Inputs.of(Map.of("pixel_values", pixels(99, side))).withHiddenStates(true))) {
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

    private static float[] logits(PreTrainedModel<?> model, int images, int side, boolean hidden) {
        try (PointerScope scope = new PointerScope()) {
            return logits(model, pixels(images, side).narrow(0, 0, images), hidden);
        }
    }

    private static float[] logits(PreTrainedModel<?> model, Tensor pixels, boolean hidden) {
        try (PointerScope scope = new PointerScope();
                ModelOutput out =
                        model.forward(Inputs.of(Map.of("pixel_values", pixels)).withHiddenStates(hidden))) {
            return Tensors.floats(Objects.requireNonNull(out.tensors().get("logits")));
        }
    }

    /** One to three images go through all blocks in one call; who asks for hidden states has them block by block, by the same products. */
    @ParameterizedTest
    @ValueSource(strings = {"basic", "bottleneck"})
    void blocksInOneCallAreThoseOneByOne(String type) {
        Path in = model(type), out = dir.resolve("q");
        Quantization.write(new ModelFolder(type, in, false), 8, 32, out, model -> {
            try (PointerScope scope = new PointerScope()) {
                model.forward(Inputs.of(Map.of("pixel_values", pixels(1)))).close();
            }
        });
        for (Precision p : List.of(Precision.FP32, Precision.BF16, Precision.INT8)) {
            ModelFolder folder = new ModelFolder(type, p == Precision.INT8 ? out : in, false);
            try (PreTrainedModel<?> model = Models.load(folder, null, LoadOptions.defaults())) {
                if (p != Precision.INT8) {
                    model.optimize(p);
                }
                for (int images : new int[] {1, 3, 2, 1, 4, 3}) {
                    for (int side : new int[] {48, 33}) {
                        float[] expected = logits(model, images, side, true);
                        assertThat(error(expected, logits(model, images, side, false)))
                                .as("%s, %d images of %d", p, images, side)
                                .isLessThan(1e-6);
                    }
                }
                Tensor x = Memory.keep(pixels(1).narrow(0, 0, 1));
                float[] alone = logits(model, x, false);
                boolean same =
                        IntStream.range(0, 64).parallel().allMatch(i -> Arrays.equals(alone, logits(model, x, false)));
                assertThat(same).isTrue();
                if (p == Precision.FP32) { // other kernels
                    model.optimize(Precision.BF16);
                    assertThat(error(alone, logits(model, x, false))).isBetween(1e-4, 0.03);
                    model.optimize(Precision.FP32); // the head keeps what bfloat16 made of it
                    assertThat(error(logits(model, x, true), logits(model, x, false)))
                            .isLessThan(1e-6);
                }
                x.close();
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

    /**
     * Stem, pooling, projections and sums stay in 8 bits from layer to layer; what is shown of the inside is values. Small images end at a single place. A folder
     * of before sums were in 8 bits has no ranges of what is added to them. The limit is that of 8 bits above.
     */
    @ParameterizedTest
    @CsvSource({"basic,48", "bottleneck,48", "bottleneck,8"})
    void hiddenStatesOfAQuantizedFolderAreValues(String type, int side) throws IOException {
        Path in = model(type), out = dir.resolve("q");
        quantize(type, in, out);
        float[][] logits = new float[2][];
        for (int i = 0; i < logits.length; i++) {
            if (i == 1) {
                editRanges(out, ranges -> {
                    List<String> results = new ArrayList<>();
                    ranges.fieldNames().forEachRemaining(results::add);
                    results.removeIf(name -> !name.endsWith(".result"));
                    assertThat(results).hasSize(2); // of the projections
                    ranges.remove(results);
                });
            }
            try (PreTrainedModel<?> plain =
                            Models.load(new ModelFolder(type, in, false), null, LoadOptions.defaults());
                    PreTrainedModel<?> small =
                            Models.load(new ModelFolder(type, out, false), null, LoadOptions.defaults())) {
                Map<String, float[]> expected = outputs(plain, side), found = outputs(small, side);
                assertThat(found).containsKeys("hidden_states.0", "hidden_states.1", "hidden_states.2");
                found.forEach((name, values) -> assertThat(error(Objects.requireNonNull(expected.get(name)), values))
                        .as(name)
                        .isBetween(1e-5, 0.1));
                logits[i] = logits(found);
                try (PointerScope scope = new PointerScope();
                        ModelOutput quick = small.forward(Inputs.of(Map.of("pixel_values", pixels(99, side))))) {
                    assertThat(Tensors.floats(
                                    Objects.requireNonNull(quick.tensors().get("logits"))))
                            .as("writing sums over what nobody reads any more changes nothing")
                            .containsExactly(logits[i]);
                }
            }
        }
        assertThat(logits[0]).as("sums in 8 bits and in fp32").isNotEqualTo(logits[1]);
    }

    private static void quantize(String id, Path in, Path out) {
        Quantization.write(new ModelFolder(id, in, false), 8, 32, out, model -> {
            for (int i = 0; i < 4; i++) {
                try (PointerScope scope = new PointerScope()) {
                    model.forward(Inputs.of(Map.of("pixel_values", pixels(i)))).close();
                }
            }
        });
    }

    private static void editRanges(Path folder, Consumer<ObjectNode> edit) throws IOException {
        Path config = folder.resolve("config.json");
        ObjectNode json = json(Files.readString(config));
        edit.accept((ObjectNode) json.path("quantization_config").path("activation_ranges"));
        Files.writeString(config, json.toString());
    }

    @ParameterizedTest
    @ValueSource(strings = {"\"wide\"", "nothing"})
    void damagedRangesAreNamed(String found) throws IOException {
        Path in = model("basic"), out = dir.resolve("q");
        quantize("basic", in, out);
        String name = "resnet.embedder.embedder.convolution.weight";
        editRanges(out, ranges -> {
            if (found.equals("nothing")) {
                ranges.remove(name);
            } else {
                ranges.put(name, "wide");
            }
        });
        assertThatThrownBy(() -> Models.load(new ModelFolder("q", out, false), null, LoadOptions.defaults()))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll("activation_ranges", name, "found " + found, "quantize the model again");
    }
}
