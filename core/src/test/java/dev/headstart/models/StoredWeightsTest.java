package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.ModelFolder;
import dev.headstart.io.Safetensors;
import dev.headstart.nn.Natives;
import dev.headstart.nn.Parameter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Under which name and in which type a checkpoint stores its tables. */
class StoredWeightsTest {
    private static final LoadOptions ON_CPU = LoadOptions.defaults().withDevice("cpu");
    private static final String LLAMA = """
            {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": %d, "hidden_size": 64, "intermediate_size": 32,
             "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "tie_word_embeddings": %s}""";

    @TempDir
    Path dir;

    @BeforeAll
    static void natives() {
        Natives.load();
    }

    private PreTrainedModel<?> fresh(String config) throws IOException {
        ObjectNode json = (ObjectNode) new ObjectMapper().readTree(config);
        return Models.fromConfig(
                new ConfigJson(json, "test"), json.get("architectures").get(0).asText(), ON_CPU.withSeed(3));
    }

    private static float[] logits(PreTrainedModel<?> model) {
        try (PointerScope scope = new PointerScope()) {
            Map<String, Tensor> in = new LinkedHashMap<>();
            in.put("input_ids", Tensors.int64(1, 5, 9, 2).view(1, 4));
            if (model.config().node().path("is_encoder_decoder").asBoolean()) {
                in.put("decoder_input_ids", Tensors.int64(0, 7, 3).view(1, 3));
            }
            try (var out = model.forward(Inputs.of(in))) {
                return Tensors.floats(Objects.requireNonNull(out.tensors().get("logits")));
            }
        }
    }

    /** transformers finds a tied table under whichever of its names the file has it. */
    @Test
    void aTiedTableMayBeStoredUnderAnyOfItsNames() throws IOException {
        String small = LLAMA.formatted(50, "true");
        Map<String, List<String>> tied = Map.of(
                small,
                List.of("model.embed_tokens.weight", "lm_head.weight"),
                """
                {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": 50, "d_model": 16, "d_ff": 32, "d_kv": 8,
                 "num_layers": 1, "num_heads": 2, "is_encoder_decoder": true}""",
                List.of(
                        "shared.weight",
                        "encoder.embed_tokens.weight",
                        "decoder.embed_tokens.weight",
                        "lm_head.weight"),
                """
                {"model_type": "bart", "architectures": ["BartForConditionalGeneration"], "vocab_size": 50, "d_model": 16,
                 "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
                 "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 40, "is_encoder_decoder": true}""",
                List.of(
                        "model.shared.weight",
                        "model.encoder.embed_tokens.weight",
                        "model.decoder.embed_tokens.weight",
                        "lm_head.weight"),
                """
                {"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 50, "hidden_size": 16, "intermediate_size": 32,
                 "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 40}""",
                List.of("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"));
        int n = 0;
        for (Map.Entry<String, List<String>> family : tied.entrySet()) {
            Path whole = dir.resolve("whole-" + n++);
            float[] expected;
            try (PreTrainedModel<?> model = fresh(family.getKey())) {
                expected = logits(model);
                model.savePretrained(whole);
            }
            String stored = family.getValue().get(0);
            for (String only : family.getValue()) {
                Path folder = Files.createDirectory(dir.resolve(whole.getFileName() + "-" + only));
                Files.copy(whole.resolve("config.json"), folder.resolve("config.json"));
                try (PointerScope scope = new PointerScope()) {
                    Map<String, Tensor> tensors = Safetensors.readMap(whole.resolve("model.safetensors"));
                    tensors.put(only, Objects.requireNonNull(tensors.remove(stored)));
                    Safetensors.write(folder.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
                }
                for (LoadOptions options : List.of(ON_CPU, ON_CPU.withPrecision("fp32"))) {
                    try (PreTrainedModel<?> model =
                            Models.load(new ModelFolder("test", folder, false), null, options)) {
                        assertThat(logits(model)).as(only).containsExactly(expected, offset(1e-5f));
                    }
                }
            }
        }
        Path headless = dir.resolve("headless");
        try (PreTrainedModel<?> model = fresh(small)) {
            model.savePretrained(headless);
        }
        try (PointerScope scope = new PointerScope()) {
            Map<String, Tensor> tensors = Safetensors.readMap(headless.resolve("model.safetensors"));
            tensors.remove("model.embed_tokens.weight");
            Safetensors.write(headless.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
        }
        assertThatThrownBy(() -> Models.load(new ModelFolder("test", headless, false), null, ON_CPU))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("1 weights of LlamaForCausalLM are missing: model.embed_tokens.weight");
    }

    /** A large table that nothing shares stays in the file's 16 bits where the model computes in them; rows come in fp32 as before. */
    @Test
    void untiedTablesOfHalfCheckpointsStayHalf() throws IOException {
        int vocab = 1 << 16; // times 64: 4 million elements
        Path half = dir.resolve("half"), full = dir.resolve("full");
        try (PreTrainedModel<?> model = fresh(LLAMA.formatted(vocab, "false"))) {
            model.to("bfloat16");
            model.savePretrained(half);
            model.to("float32");
            model.savePretrained(full);
        }
        String table = "model.embed_tokens.weight";
        LoadOptions bf16 = ON_CPU.withPrecision("bf16");
        try (PreTrainedModel<?> kept = Models.load(new ModelFolder("test", half, false), null, bf16);
                PreTrainedModel<?> plain = Models.load(new ModelFolder("test", full, false), null, bf16)) {
            Parameter stored = Objects.requireNonNull(kept.namedParameters().get(table));
            assertThat(stored.tensor().numel()).isZero(); // not there in fp32
            assertThat(Objects.requireNonNull(plain.namedParameters().get(table))
                            .tensor()
                            .numel())
                    .isEqualTo(64L * vocab);
            assertThat(kept.numParameters()).isEqualTo(plain.numParameters());
            float[] expected = logits(plain);
            assertThat(logits(kept)).containsExactly(expected);

            kept.savePretrained(dir.resolve("again"));
            try (PointerScope scope = new PointerScope()) {
                Tensor saved = Objects.requireNonNull(Safetensors.readMap(dir.resolve("again/model.safetensors"))
                        .get(table));
                Tensor original = Objects.requireNonNull(
                        Safetensors.readMap(half.resolve("model.safetensors")).get(table));
                assertThat(saved.equal(original.to(ScalarType.Float))).isTrue();
            }
            kept.train(); // back in fp32
            assertThat(stored.tensor().numel()).isEqualTo(64L * vocab);
            assertThat(stored.trainable()).isTrue();
            kept.eval();
            assertThat(logits(kept)).hasSameSizeAs(expected);
        }
    }
}
