package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.data.Offset.offset;

import dev.headstart.LoadOptions;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.nn.Precision;
import dev.headstart.testing.Shared;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A packed model gives what the plain one gives, its outputs live as long as their owner wants, and training gets the weights back. */
class PackedModelTest {
    private static PreTrainedModel<?> load() {
        Path model = Shared.repositoryRoot().resolve("core/src/test/resources/decoders/llama-rope-yarn/model");
        return AutoModelForCausalLM.fromPretrained(
                model.toString(), LoadOptions.defaults().withDevice("cpu"));
    }

    private static ModelOutput forward(PreTrainedModel<?> model) {
        try (PointerScope scope = new PointerScope()) {
            return model.forward(Inputs.of(Map.of("input_ids", Tensors.int64(new long[][] {{5, 9, 13, 40, 7, 22}}))));
        }
    }

    @ParameterizedTest
    @EnumSource(Precision.class)
    void outputsOutliveTheCall(Precision precision) {
        try (PreTrainedModel<?> model = load()) {
            float[] plain;
            try (ModelOutput out = forward(model)) {
                plain = Tensors.floats(Objects.requireNonNull(out.tensors().get("logits")));
            }
            model.optimize(precision);
            List<ModelOutput> kept = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                kept.add(forward(model)); // the calls after the first would overwrite what the first left behind
            }
            double tolerance = precision == Precision.FP32 ? 1e-5 : precision == Precision.INT4 ? 0.5 : 0.1;
            for (ModelOutput out : kept) {
                float[] packed =
                        Tensors.floats(Objects.requireNonNull(out.tensors().get("logits")));
                for (int i = 0; i < plain.length; i++) {
                    assertThat((double) packed[i]).isCloseTo(plain[i], offset(tolerance * (1 + Math.abs(plain[i]))));
                }
                out.close();
            }
        }
    }

    /** A decoder without its encoder, whose shared table a packed kernel holds. */
    @ParameterizedTest
    @EnumSource(Precision.class)
    void aDecoderAloneIsPacked(Precision precision) {
        Path folder = Shared.repositoryRoot().resolve("core/src/test/resources/seq2seq/bart-causal/model");
        try (PreTrainedModel<?> model = AutoModelForCausalLM.fromPretrained(
                folder.toString(), LoadOptions.defaults().withDevice("cpu"))) {
            float[] plain;
            try (ModelOutput out = forward(model)) {
                plain = Tensors.floats(Objects.requireNonNull(out.tensors().get("logits")));
            }
            model.optimize(precision);
            try (ModelOutput out = forward(model)) {
                float[] packed =
                        Tensors.floats(Objects.requireNonNull(out.tensors().get("logits")));
                double tolerance = precision == Precision.FP32 ? 1e-5 : precision == Precision.INT4 ? 0.5 : 0.1;
                for (int i = 0; i < plain.length; i++) {
                    assertThat((double) packed[i]).isCloseTo(plain[i], offset(tolerance * (1 + Math.abs(plain[i]))));
                }
            }
        }
    }

    @Test
    void trainingGetsTheWeightsBack() {
        try (PreTrainedModel<?> model = load()) {
            float[] before = weights(model);
            model.optimize(Precision.FP32);
            model.train();
            assertThat(weights(model)).containsExactly(before);
        }
    }

    @Test
    void aSavedModelIsTheSameModel(@TempDir Path folder) {
        try (PreTrainedModel<?> model = load();
                ModelOutput before = forward(model)) {
            model.savePretrained(folder);
            try (PreTrainedModel<?> again = AutoModelForCausalLM.fromPretrained(
                            folder.toString(), LoadOptions.defaults().withDevice("cpu"));
                    ModelOutput after = forward(again)) {
                assertThat(Tensors.floats(Objects.requireNonNull(after.tensors().get("logits"))))
                        .containsExactly(Tensors.floats(
                                Objects.requireNonNull(before.tensors().get("logits"))));
                assertThat(((GenerativeModel) again).generationConfig().ids("eos_token_id"))
                        .containsExactly(2);
            }
        }
    }

    private static float[] weights(PreTrainedModel<?> model) {
        try (PointerScope scope = new PointerScope()) {
            Tensor w = model.linears().get(0).plainWeight();
            return Tensors.floats(w);
        }
    }
}
