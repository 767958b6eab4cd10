package dev.headstart.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.ConfigJson;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Parameter;
import java.io.IOException;
import java.io.InputStream;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Beside transformers' Adafactor (conformance/adafactor.py). */
class AdafactorTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String CONFIG = """
            {"model_type": "gpt2", "vocab_size": 12, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16}
            """;

    private static PreTrainedModel<?> model() throws IOException {
        PreTrainedModel<?> model = Models.fromConfig(
                new ConfigJson((ObjectNode) JSON.readTree(CONFIG), "test"), "GPT2LMHeadModel", LoadOptions.defaults());
        model.train();
        return model;
    }

    /** A matrix and a vector, with the script's values. */
    private static List<Parameter> parameters(PreTrainedModel<?> model) {
        List<Parameter> two = List.of(
                Objects.requireNonNull(model.namedParameters().get("transformer.wte.weight")),
                Objects.requireNonNull(model.namedParameters().get("transformer.ln_f.bias")));
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            for (int k = 0; k < two.size(); k++) {
                two.get(k).tensor().copy_(values(two.get(k), k));
            }
        }
        return two;
    }

    private static Tensor values(Parameter p, int seed) {
        float[] v = new float[(int) p.tensor().numel()];
        for (int i = 0; i < v.length; i++) {
            v[i] = (float) Math.sin(seed + 0.7 * i);
        }
        return Tensor.create(v).view(p.tensor().shape());
    }

    private static void step(Optimizer optimizer, List<Parameter> parameters, int step, double lr) {
        optimizer.zeroGrad();
        try (PointerScope scope = new PointerScope()) {
            for (int k = 0; k < parameters.size(); k++) { // the gradient of a product's sum is the other factor
                Parameter p = parameters.get(k);
                Tensor gradient = values(p, 10 * (step + 1) + k).mul(new org.bytedeco.pytorch.Scalar(0.1));
                p.tensor().mul(gradient).sum().backward();
            }
            optimizer.step(lr);
        }
    }

    private static JsonNode cases() throws IOException {
        try (InputStream in = Objects.requireNonNull(AdafactorTest.class.getResourceAsStream("/adafactor.json"))) {
            return JSON.readTree(in);
        }
    }

    /** With the state written down and read back after each step. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void equalsTheReference(boolean together) throws IOException {
        for (JsonNode c : cases()) {
            try (PreTrainedModel<?> model = model()) {
                List<Parameter> two = parameters(model);
                List<ParameterGroup> groups =
                        List.of(new ParameterGroup(two, c.path("weight_decay").asDouble()));
                boolean scale = c.path("scale_parameter").asBoolean();
                Optimizer optimizer = new Adafactor(groups, scale, together);
                for (int i = 0; i < c.path("rates").size(); i++) {
                    step(optimizer, two, i, c.path("rates").path(i).asDouble());
                    Optimizer next = new Adafactor(groups, scale, together);
                    next.load(optimizer.state());
                    optimizer.close();
                    optimizer = next;
                }
                optimizer.close();
                for (int k = 0; k < 2; k++) {
                    float[] found = Tensors.floats(two.get(k).tensor().detach());
                    JsonNode expected = c.path(k == 0 ? "matrix" : "vector");
                    assertThat(found).hasSize(expected.size());
                    for (int i = 0; i < found.length; i++) {
                        assertThat(found[i]).isCloseTo((float) expected.path(i).asDouble(), within(1e-6f));
                    }
                }
            }
        }
    }

    @Test
    void stateOfOtherParametersIsRefused() throws IOException {
        try (PreTrainedModel<?> model = model();
                PointerScope scope = new PointerScope()) {
            List<Parameter> two = parameters(model);
            Optimizer optimizer = new Adafactor(List.of(new ParameterGroup(two, 0)), true);
            step(optimizer, two, 0, 1e-2);
            for (String kind : List.of("exp_avg_sq_row", "exp_avg_sq_col")) {
                Map<String, Tensor> state = new LinkedHashMap<>(optimizer.state());
                state.put(two.get(0).name() + ":" + kind, torch.zeros(5));
                try (Optimizer other = new Adafactor(List.of(new ParameterGroup(two, 0)), true)) {
                    assertThatThrownBy(() -> other.load(state))
                            .isInstanceOf(HeadstartException.class)
                            .hasMessageContainingAll(kind, "another run");
                }
            }
            optimizer.close();
        }
    }
}
