package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.ModelFolder;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Precision;
import dev.headstart.nn.QuantizedWeight;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A quantized folder loads with kernels for its bits, is near the plain model, keeps its kernels, and trains on its plain weights. */
class QuantizationTest {
    @TempDir
    private Path folder;

    /** A model of the class with new weights, large enough that quantizing it pays. */
    private Path model(String type) throws IOException {
        String sizes = type.equals("gpt2")
                ? "\"vocab_size\": 100, \"n_embd\": 128, \"n_layer\": 2, \"n_head\": 4, \"n_positions\": 32"
                : "\"vocab_size\": 100, \"hidden_size\": 128, \"intermediate_size\": 256, \"num_hidden_layers\": 2,"
                        + " \"num_attention_heads\": 4";
        Path plain = Files.createDirectories(folder.resolve(type));
        Files.writeString(
                plain.resolve("config.json"),
                "{\"model_type\": \"" + type + "\", \"initializer_range\": 0.1, " + sizes + "}");
        String architecture = type.equals("gpt2") ? "GPT2LMHeadModel" : "LlamaForCausalLM";
        try (PreTrainedModel<?> model = Models.fromConfig(
                ConfigJson.read(plain.resolve("config.json")),
                architecture,
                LoadOptions.defaults().withDevice("cpu"))) {
            model.savePretrained(plain);
        }
        return plain;
    }

    private static PreTrainedModel<?> load(Path path) {
        return Models.fromPretrained(path.toString(), LoadOptions.defaults().withDevice("cpu"));
    }

    private static float[] logits(PreTrainedModel<?> model) {
        long[][] ids = {{5, 9, 13, 40, 7, 22}};
        try (PointerScope scope = new PointerScope();
                ModelOutput out = model.forward(Inputs.of(Map.of("input_ids", Tensors.int64(ids))))) {
            return Tensors.floats(Objects.requireNonNull(out.tensors().get("logits")));
        }
    }

    private static double error(float[] a, float[] b) {
        double difference = 0;
        double size = 0;
        for (int i = 0; i < a.length; i++) {
            difference += (a[i] - b[i]) * (a[i] - b[i]);
            size += a[i] * a[i];
        }
        return Math.sqrt(difference / size);
    }

    @ParameterizedTest
    @CsvSource({"llama,8,0.05", "llama,4,0.25", "gpt2,8,0.05", "gpt2,4,0.25"})
    void aQuantizedFolderIsAModel(String name, int bits, double most) throws IOException {
        Path out = folder.resolve("q");
        Path in = model(name);
        Quantization.Report report = Quantization.write(new ModelFolder(name, in, false), bits, 32, out, null);
        assertThat(report.layers()).isPositive();
        assertThat(report.bytesAfter()).isLessThan(report.bytesBefore());
        try (PreTrainedModel<?> plain = load(in);
                PreTrainedModel<?> small = load(out)) {
            assertThat(small.linears().stream().map(Linear::kernelName)).contains("int" + bits);
            float[] expected = logits(plain);
            float[] found = logits(small);
            assertThat(error(expected, found)).isBetween(1e-6, most);
            small.optimize(Precision.FP32); // what a pipeline does before it generates
            assertThat(small.linears().stream().map(Linear::kernelName)).contains("int" + bits);
            assertThat(logits(small)).containsExactly(found);
            small.train();
            small.eval();
            assertThat(small.linears().stream().map(Linear::kernelName)).containsOnly("plain");
            assertThat(error(found, logits(small))).isLessThan(0.05); // the same weights, activations no longer rounded
            small.savePretrained(folder.resolve("plain"));
        }
        try (PreTrainedModel<?> again = load(folder.resolve("plain"))) {
            assertThat(again.config().node().has("quantization_config")).isFalse();
        }
    }

    @Test
    void fourBitsKeepTheValuesOfAGroup() {
        try (PointerScope scope = new PointerScope()) {
            float[] values = new float[64 * 64];
            for (int i = 0; i < values.length; i++) {
                values[i] = -1 + i % 16 / 8f; // sixteen values, exact in bfloat16
            }
            Tensor w = Tensor.create(values, 64, 64);
            QuantizedWeight q = Objects.requireNonNull(QuantizedWeight.int4(w, 32));
            assertThat(Tensors.floats(q.dequantized(ScalarType.Float))).containsExactly(values);
        }
    }

    @Test
    void weightsQuantizedByOthersAreRefused() throws IOException {
        Path copy = Files.createDirectories(folder.resolve("gptq"));
        String config = Files.readString(model("llama").resolve("config.json"));
        Files.writeString(
                copy.resolve("config.json"),
                config.replaceFirst("\\{", "{\"quantization_config\": {\"quant_method\": \"gptq\"},"));
        assertThatThrownBy(() -> load(copy))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("gptq")
                .hasMessageContaining("headstart quantize");
    }

    @Test
    void missingScalesAreNamed() throws IOException {
        Path out = folder.resolve("q");
        Quantization.write(new ModelFolder("x", model("llama"), false), 4, 32, out, null);
        byte[] bytes = Files.readAllBytes(out.resolve("model.safetensors"));
        String text = new String(bytes, StandardCharsets.ISO_8859_1);
        Files.writeString(
                out.resolve("model.safetensors"),
                text.replaceFirst("q_proj.weight_zero", "q_proj.weight_null"),
                StandardCharsets.ISO_8859_1);
        assertThatThrownBy(() -> load(out))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("weight_zero is missing");
    }
}
