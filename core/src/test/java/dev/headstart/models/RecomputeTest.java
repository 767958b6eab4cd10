package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.LoadOptions;
import dev.headstart.nn.Autocast;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Recompute;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Layers that are computed again give the losses and gradients of layers that are not, dropout included, in less memory. */
class RecomputeTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** A model of a golden's shape with new weights and much dropout. */
    private static PreTrainedModel<?> model(String golden, String architecture) throws IOException {
        Path file = Shared.require("golden/" + golden + "/model").resolve("config.json");
        ObjectNode config = (ObjectNode) JSON.readTree(Files.readString(file));
        for (String p : new String[] {
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "resid_pdrop",
            "embd_pdrop",
            "attn_pdrop",
            "dropout",
            "attention_dropout",
            "dropout_rate",
            "mlp_dropout",
            "activation_dropout"
        }) {
            config.put(p, 0.3);
        }
        return Models.fromConfig(
                new ConfigJson(config, file.toString()),
                architecture,
                LoadOptions.defaults().withInit(LoadOptions.Init.NEW_HEAD).withSeed(3));
    }

    private static Inputs inputs(PreTrainedModel<?> model, boolean generates, boolean words) {
        SplittableRandom random = new SplittableRandom(5);
        int vocabulary = model.config().integer("vocab_size", 0);
        long[][] ids = new long[3][7];
        long[][] mask = new long[3][7];
        for (int b = 0; b < 3; b++) {
            for (int s = 0; s < 7; s++) {
                ids[b][s] = 4 + random.nextInt(vocabulary - 4);
                mask[b][s] = s < 7 - b ? 1 : 0;
            }
        }
        Map<String, Tensor> in = new LinkedHashMap<>();
        in.put("input_ids", Tensors.int64(ids));
        in.put("attention_mask", Tensors.int64(mask));
        in.put("labels", words || generates ? Tensors.int64(ids) : Tensors.int64(new long[] {0, 1, 0}));
        return Inputs.of(in);
    }

    private record Pass(double loss, Map<String, float[]> gradients) {}

    private static Pass pass(PreTrainedModel<?> model, Inputs in, boolean again, boolean bf16) {
        torch.manual_seed(11);
        Map<String, float[]> gradients = new LinkedHashMap<>();
        try (PointerScope scope = new PointerScope();
                @Nullable Recompute segments = again ? Recompute.open() : null) {
            Tensor loss;
            try (@Nullable Autocast cast = bf16 ? new Autocast(DeviceType.CPU) : null) {
                loss = Objects.requireNonNull(model.forward(in).tensors().get("loss"));
            }
            if (segments == null) {
                loss.backward();
            } else {
                segments.backward(loss);
            }
            gradients.putAll(takeGradients(model));
            float next = torch.rand(1).item_float(); // later random numbers are the same too
            gradients.put("next", new float[] {next});
            return new Pass(loss.item_double(), gradients);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "bert/base,BertForMaskedLM,false",
        "bert/base,BertForSequenceClassification,false",
        "bert/base,BertForMaskedLM,true",
        "albert/base,AlbertForMaskedLM,false",
        "distilbert/base,DistilBertForMaskedLM,false",
        "mpnet/base,MPNetForMaskedLM,false",
        "modernbert/base,ModernBertForMaskedLM,false",
        "deberta-v2/base,DebertaV2ForMaskedLM,false",
        "gpt2/lm,GPT2LMHeadModel,false",
        "gpt2/lm,GPT2LMHeadModel,true",
        "llama/lm,LlamaForCausalLM,false",
        "gemma2/lm,Gemma2ForCausalLM,false",
        "t5/train,T5ForConditionalGeneration,false",
        "t5/train,T5ForConditionalGeneration,true",
        "bart/base,BartForConditionalGeneration,false",
        "marian/translation,MarianMTModel,false"
    })
    void lossAndGradientsAreTheSame(String golden, String architecture, boolean bf16) throws IOException {
        boolean generates = architecture.matches(".*(LMHead|CausalLM|ConditionalGeneration|MTModel).*");
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = model(golden, architecture)) {
            model.train();
            Inputs in = inputs(model, generates, architecture.endsWith("MaskedLM"));
            Pass plain = pass(model, in, false, bf16);
            Pass again = pass(model, in, true, bf16);
            assertThat(again.loss()).isEqualTo(plain.loss());
            assertThat(again.gradients()).hasSameSizeAs(plain.gradients());
            double largest = 0;
            for (Map.Entry<String, float[]> e : plain.gradients().entrySet()) {
                float[] got = Objects.requireNonNull(again.gradients().get(e.getKey()), e.getKey());
                assertThat(got).as(e.getKey()).hasSameSizeAs(e.getValue());
                for (int i = 0; i < e.getValue().length; i++) { // sums over layers may be added in another order
                    assertThat((double) got[i])
                            .as(e.getKey())
                            .isCloseTo(e.getValue()[i], within((bf16 ? 3e-3 : 2e-6) * Math.max(1, Math.abs(got[i]))));
                    largest = Math.max(largest, Math.abs(got[i]));
                }
            }
            assertThat(largest).isGreaterThan(1e-3);
        }
    }

    @Test
    void itTakesLessMemory() throws IOException {
        ObjectNode config = JSON.createObjectNode();
        config.put("model_type", "bert")
                .put("vocab_size", 50)
                .put("hidden_size", 128)
                .put("num_hidden_layers", 12);
        config.put("num_attention_heads", 4).put("intermediate_size", 512).put("max_position_embeddings", 128);
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = Models.fromConfig(
                        new ConfigJson(config, "test"), "BertForSequenceClassification", LoadOptions.defaults())) {
            model.train();
            Inputs in = Inputs.of(
                    Map.of("input_ids", Tensors.int64(new long[16][128]), "labels", Tensors.int64(new long[16])));
            long start = settled();
            long few = held(model, in, true) - start;
            start = settled();
            long many = held(model, in, false) - start;
            assertThat(few).isLessThan(many / 2);
        }
    }

    /** Memory of the process once what was freed has gone back to the system: what is asked for next would else come from there, and not be seen. */
    private static long settled() {
        System.gc();
        Pointer.trimMemory();
        return Pointer.physicalBytes();
    }

    /** Memory of the process between forward and backward. */
    private static long held(PreTrainedModel<?> model, Inputs in, boolean again) {
        try (PointerScope scope = new PointerScope();
                @Nullable Recompute segments = again ? Recompute.open() : null) {
            Tensor loss = Objects.requireNonNull(model.forward(in).tensors().get("loss"));
            long bytes = Pointer.physicalBytes();
            if (segments == null) {
                loss.backward();
            } else {
                segments.backward(loss);
            }
            return bytes;
        }
    }

    /** The gradients by name; the model has none afterwards. */
    static Map<String, float[]> takeGradients(PreTrainedModel<?> model) {
        Map<String, float[]> gradients = new LinkedHashMap<>();
        for (Parameter p : model.namedParameters().values()) {
            Tensor g = p.tensor().grad();
            if (g.defined()) {
                gradients.put(p.name(), Tensors.floats(g));
                p.tensor().mutable_grad().reset();
            }
        }
        return gradients;
    }
}
