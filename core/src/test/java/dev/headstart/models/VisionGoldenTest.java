package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.LoadOptions;
import dev.headstart.hub.ModelFolder;
import dev.headstart.io.Safetensors;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Vision families against what transformers and timm compute (conformance/vision_cases.py; the shared cases where they are). */
class VisionGoldenTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final List<String> FAMILIES = List.of(
            "resnet",
            "torchvision-resnet",
            "vit",
            "deit",
            "dinov2",
            "dinov2_with_registers",
            "convnext",
            "convnextv2",
            "swin",
            "mobilenet_v2",
            "clip",
            "segformer",
            "yolos",
            "detr",
            "timm");

    @TempDir
    Path folder;

    static Stream<Path> cases() throws IOException {
        Path own = Shared.repositoryRoot().resolve("core/src/test/resources/vision-golden");
        return Stream.concat(in(own), in(Shared.root().resolve("golden")));
    }

    private static Stream<Path> in(Path root) throws IOException {
        List<Path> found = new ArrayList<>();
        for (String family : FAMILIES) {
            Path at = root.resolve(family);
            if (Files.isDirectory(at)) {
                try (Stream<Path> all = Files.list(at)) {
                    all.filter(c -> Files.exists(c.resolve("case.json")))
                            .sorted()
                            .forEach(found::add);
                }
            }
        }
        return found.stream();
    }

    private static PreTrainedModel<?> load(Path model) {
        return Models.load(
                new ModelFolder(model.toString(), model, false),
                null,
                LoadOptions.defaults().withDevice("cpu"));
    }

    private static void check(PreTrainedModel<?> model, Path at) throws IOException {
        JsonNode forward = JSON.readTree(at.resolve("case.json").toFile()).path("forward");
        try (PointerScope scope = new PointerScope()) {
            JsonNode kwargs = forward.path("kwargs").isObject() ? forward.get("kwargs") : JSON.createObjectNode();
            Inputs in = Inputs.of(Safetensors.readMap(at.resolve("inputs.safetensors")))
                    .withHiddenStates(forward.path("output_hidden_states").asBoolean())
                    .withAttentions(forward.path("output_attentions").asBoolean())
                    .withKwargs(kwargs);
            Map<String, Tensor> want = Safetensors.readMap(at.resolve("outputs.safetensors"));
            try (ModelOutput out = model.forward(in)) {
                Map<String, Tensor> got = out.tensors();
                want.forEach((name, w) -> {
                    Tensor g = Objects.requireNonNull(got.get(name), name);
                    assertThat(g.shape()).as(name).isEqualTo(w.shape());
                    Tensor allowed = w.abs().mul(new Scalar(1e-3)).add(new Scalar(1e-4));
                    assertThat(g.sub(w).abs().sub(allowed).max().item_double())
                            .as(name)
                            .isLessThanOrEqualTo(0);
                });
            }
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void forwardAgrees(Path at) throws IOException {
        try (PreTrainedModel<?> model = load(at.resolve("model"))) {
            check(model, at);
        }
    }

    /** Packed Linears, folded batch normalization, and back. */
    @ParameterizedTest
    @MethodSource("cases")
    void optimizedAgrees(Path at) throws IOException {
        try (PreTrainedModel<?> model = load(at.resolve("model"))) {
            model.optimize(dev.headstart.nn.Precision.FP32);
            check(model, at);
            model.train();
            model.eval();
            check(model, at);
        }
    }

    /** Also checkpoints that came under timm's names: they are saved as transformers' families. */
    @ParameterizedTest
    @MethodSource("cases")
    void whatIsSavedLoadsAgain(Path at) throws IOException {
        try (PreTrainedModel<?> model = load(at.resolve("model"))) {
            model.savePretrained(folder);
        }
        try (PreTrainedModel<?> model = load(folder)) {
            check(model, at);
        }
    }

    /** Every parameter that is not a buffer gets a gradient from the loss. */
    @ParameterizedTest
    @MethodSource("cases")
    void gradientsReachEveryParameter(Path at) throws IOException {
        Path inputs = at.resolve("inputs.safetensors");
        try (PreTrainedModel<?> model = load(at.resolve("model"));
                PointerScope scope = new PointerScope()) {
            Map<String, Tensor> in = Safetensors.readMap(inputs);
            if (in.keySet().stream().noneMatch(k -> k.startsWith("labels"))) {
                return;
            }
            model.train();
            JsonNode kwargs = JSON.readTree(at.resolve("case.json").toFile())
                    .path("forward")
                    .path("kwargs");
            ModelOutput out =
                    model.forward(Inputs.of(in).withKwargs(kwargs.isObject() ? kwargs : JSON.createObjectNode()));
            Objects.requireNonNull(out.tensors().get("loss")).backward();
            Map<String, String> without = new TreeMap<>();
            model.namedParameters().forEach((name, p) -> {
                if (!p.isBuffer() && !p.isFrozen() && !p.tensor().grad().defined()) {
                    without.put(name, "no gradient");
                }
            });
            assertThat(without.keySet())
                    .allMatch(n -> n.contains("mask_token") || n.contains("post_layernorm") || n.contains("conv_1x1"));
        }
    }

    @Test
    void batchNormLearnsUnlessFrozen() throws IOException {
        Path at = Shared.repositoryRoot().resolve("core/src/test/resources/vision-golden/resnet/regression");
        try (PreTrainedModel<?> model = load(at.resolve("model"));
                PointerScope scope = new PointerScope()) {
            String norm = "resnet.embedder.embedder.normalization.";
            Tensor mean = Objects.requireNonNull(model.namedParameters().get(norm + "running_mean"))
                    .tensor();
            Tensor count = Objects.requireNonNull(model.namedParameters().get(norm + "num_batches_tracked"))
                    .tensor();
            assertThat(dev.headstart.nn.Ops.type(count)).isEqualTo(ScalarType.Long);
            long before = count.item_long();
            Tensor old = mean.clone();
            Tensor pixels = torch.randn(2, 3, 32, 32);
            model.freeze("resnet.", true);
            model.train();
            model.forward(Inputs.of(Map.of("pixel_values", pixels))).close();
            assertThat(mean.equal(old)).isTrue();
            assertThat(count.item_long()).isEqualTo(before);
            model.freeze("resnet.", false);
            model.train();
            model.forward(Inputs.of(Map.of("pixel_values", pixels))).close();
            assertThat(mean.equal(old)).isFalse();
            assertThat(count.item_long()).isEqualTo(before + 1);
            model.eval();
            Tensor learned = mean.clone();
            model.forward(Inputs.of(Map.of("pixel_values", pixels))).close();
            assertThat(mean.equal(learned)).isTrue();
        }
    }
}
