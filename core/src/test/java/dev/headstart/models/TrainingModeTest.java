package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.LoadOptions;
import dev.headstart.io.Checkpoint;
import dev.headstart.io.TensorSource;
import dev.headstart.models.Bert.BertForMaskedLM;
import dev.headstart.nn.Parameter;
import dev.headstart.testing.Shared;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;

/** What every model offers for training: parameters by name, training and inference mode, freezing, attentions. */
class TrainingModeTest {
    private static final Path FOLDER =
            Shared.repositoryRoot().resolve("core/src/test/resources/encoders/bert-masked-lm/model");

    private static BertForMaskedLM load() {
        return BertForMaskedLM.fromPretrained(
                FOLDER.toString(), LoadOptions.defaults().withDevice("cpu"));
    }

    private static Inputs inputs() {
        return Inputs.of(Map.of("input_ids", Tensors.int64(new long[][] {{2, 5, 9, 13, 3}})));
    }

    @Test
    void parametersHaveTheCheckpointsNamesAndTiedOnesAppearOnce() {
        try (BertForMaskedLM model = load();
                TensorSource stored = Checkpoint.open(FOLDER, false)) {
            assertThat(stored.names()).containsAll(model.namedParameters().keySet());
            assertThat(model.namedParameters())
                    .containsKeys("bert.embeddings.word_embeddings.weight", "cls.predictions.bias")
                    .doesNotContainKey("cls.predictions.decoder.weight");
            long numbers = model.namedParameters().values().stream()
                    .filter(p -> !p.isBuffer())
                    .mapToLong(p -> p.tensor().numel())
                    .sum();
            assertThat(model.numParameters()).isEqualTo(numbers);
        }
    }

    @Test
    void dropoutDropsInTrainingAloneAndResultsCarryGradientsThere() {
        try (PointerScope scope = new PointerScope();
                BertForMaskedLM model = load()) {
            Tensor first = model.forward(inputs()).logits();
            assertThat(first.requires_grad()).isFalse();
            assertThat(Tensors.floats(model.forward(inputs()).logits())).containsExactly(Tensors.floats(first));
            model.train();
            Tensor trained = model.forward(inputs()).logits();
            assertThat(trained.requires_grad()).isTrue();
            assertThat(Tensors.floats(model.forward(inputs()).logits())).isNotEqualTo(Tensors.floats(trained));
            model.eval();
            Tensor again = model.forward(inputs()).logits();
            assertThat(again.requires_grad()).isFalse();
            assertThat(Tensors.floats(again)).containsExactly(Tensors.floats(first));
            assertThat(model.forward(inputs().withGradients(true)).logits().requires_grad())
                    .isTrue();
        }
    }

    @Test
    void frozenParametersGetNoGradient() {
        try (PointerScope scope = new PointerScope();
                BertForMaskedLM model = load()) {
            model.freeze("bert.", true);
            model.train();
            model.forward(inputs()).logits().sum().backward();
            for (Parameter p : model.namedParameters().values()) {
                assertThat(p.tensor().grad().defined())
                        .as(p.name())
                        .isEqualTo(!p.name().startsWith("bert."));
            }
            model.freeze("bert.encoder.layer.0.", false);
            model.train();
            model.forward(inputs()).logits().sum().backward();
            for (Parameter p : model.namedParameters().values()) {
                boolean learns = !p.name().startsWith("bert.") || p.name().startsWith("bert.encoder.layer.0.");
                assertThat(p.tensor().grad().defined()).as(p.name()).isEqualTo(learns);
            }
        }
    }

    @Test
    void attentionsAndHiddenStatesComeWhenTheyAreAskedFor() {
        try (PointerScope scope = new PointerScope();
                BertForMaskedLM model = load()) {
            assertThat(model.forward(inputs()).tensors()).containsOnlyKeys("logits");
            ModelOutput out = model.forward(inputs().withAttentions(true).withHiddenStates(true));
            int layers = model.config().integer("num_hidden_layers", 0);
            int heads = model.config().integer("num_attention_heads", 0);
            assertThat(out.tensors()).containsKeys("hidden_states." + layers, "attentions." + (layers - 1));
            Tensor attention = Objects.requireNonNull(out.tensors().get("attentions.0"));
            assertThat(attention.shape()).containsExactly(1, heads, 5, 5);
            for (float row : Tensors.floats(attention.sum(-1))) {
                assertThat(row).isCloseTo(1f, org.assertj.core.data.Offset.offset(1e-5f));
            }
        }
    }
}
