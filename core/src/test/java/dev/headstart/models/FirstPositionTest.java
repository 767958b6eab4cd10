package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.headstart.LoadOptions;
import dev.headstart.hub.ModelFolder;
import dev.headstart.io.Safetensors;
import dev.headstart.nn.Recompute;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Heads that read the first position alone: the last layer computes no other, and scores and gradients are those of all positions. */
class FirstPositionTest {
    /** A golden's model without dropout. */
    private static PreTrainedModel<?> load(Path golden, Path to) throws IOException {
        for (String file : List.of("config.json", "model.safetensors")) {
            Files.copy(golden.resolve("model").resolve(file), to.resolve(file));
        }
        Path config = to.resolve("config.json");
        Files.writeString(config, Files.readString(config).replaceAll("(drop[a-z_]*\": )[0-9.]+", "$10.0"));
        return Models.load(
                new ModelFolder(to.toString(), to, false),
                null,
                LoadOptions.defaults().withDevice("cpu"));
    }

    private static float[] logits(PreTrainedModel<?> model, Map<String, Tensor> tensors, boolean all) {
        try (ModelOutput out = model.forward(Inputs.of(tensors).withHiddenStates(all))) {
            return Tensors.floats(Objects.requireNonNull(out.tensors().get("logits")));
        }
    }

    private record Pass(float[] logits, Map<String, float[]> gradients) {}

    /** @param all whether every position is computed, because hidden states are asked for */
    private static Pass pass(PreTrainedModel<?> model, Map<String, Tensor> tensors, boolean all, boolean again) {
        try (PointerScope scope = new PointerScope();
                @Nullable Recompute segments = again ? Recompute.open() : null) {
            Inputs in = Inputs.of(tensors).withHiddenStates(all);
            Tensor logits = Objects.requireNonNull(model.forward(in).tensors().get("logits"));
            Tensor loss = logits.mul(logits).sum();
            if (segments == null) {
                loss.backward();
            } else {
                segments.backward(loss);
            }
            return new Pass(Tensors.floats(logits.detach()), RecomputeTest.takeGradients(model));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "encoders/bert-classification",
        "encoders/bert-next-sentence",
        "encoders/bert-multiple-choice",
        "encoders/albert-classification", // one layer, run several times
        "encoders/distilbert-classification-many",
        "encoders/mpnet-classification", // a bias by distance
        "encoders/roberta-classification-many",
        "encoders/electra-multiple-choice-last", // reads another position
        "encoders/electra-multiple-choice-mean",
        "encoders/xlm-roberta-multiple-choice",
        "vision-golden/deit/classification"
    })
    void scoresAndGradientsAreThoseOfAllPositions(String name, @TempDir Path to) throws IOException {
        Path golden = Shared.repositoryRoot().resolve("core/src/test/resources/" + name);
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = load(golden, to)) {
            Map<String, Tensor> tensors = Safetensors.readMap(golden.resolve("inputs.safetensors"));
            tensors.keySet().removeIf(n -> n.contains("label"));
            Tensor ids = tensors.get("input_ids");
            if (ids == null) {
                tensors.computeIfPresent(
                        "pixel_values", (n, pixels) -> pixels.narrow(2, 0, 16).narrow(3, 0, 16));
            } else {
                Tensor mask = torch.ones_like(ids);
                mask.narrow(mask.dim() - 1, ids.size(-1) - 1, 1).zero_(); // the last token is padding
                tensors.put("attention_mask", mask);
            }
            float[] packed = logits(model, tensors, false);
            assertThat(packed).containsExactly(logits(model, tensors, true), within(1e-5f));
            model.train();
            Pass want = pass(model, tensors, true, false);
            assertThat(largest(want.logits())).isGreaterThan(1e-3f);
            assertThat(packed).containsExactly(want.logits(), within(1e-5f));
            for (boolean again : new boolean[] {false, true}) {
                Pass got = pass(model, tensors, false, again);
                assertThat(got.logits()).containsExactly(want.logits(), within(1e-5f));
                assertThat(got.gradients()).containsOnlyKeys(want.gradients().keySet());
                want.gradients().forEach((parameter, g) -> {
                    float largest = largest(g);
                    assertThat(Objects.requireNonNull(got.gradients().get(parameter)))
                            .as(parameter)
                            .containsExactly(g, within(1e-6f + 2e-5f * largest));
                });
            }
        }
    }

    private static float largest(float[] values) {
        float most = 0;
        for (float v : values) {
            most = Math.max(most, Math.abs(v));
        }
        return most;
    }
}
