package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.generation.Generation;
import dev.headstart.hub.ModelFolder;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Precision;
import dev.headstart.nn.QuantizedWeight;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
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
        return FreshModel.write(
                folder.resolve(type),
                type.equals("gpt2") ? "GPT2LMHeadModel" : "LlamaForCausalLM",
                "{\"model_type\": \"" + type + "\", \"initializer_range\": 0.1, " + sizes + "}");
    }

    private static PreTrainedModel<?> load(Path path) {
        return Models.fromPretrained(path.toString(), LoadOptions.defaults().withDevice("cpu"));
    }

    private static float[] logits(PreTrainedModel<?> model) {
        return logits(model, new long[][] {{5, 9, 13, 40, 7, 22}});
    }

    private static float[] logits(PreTrainedModel<?> model, long[][] ids) {
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

    /** Inputs of which some are large and most come together, as in a trained model: the outputs change less where the weights are fitted to them. */
    @Test
    void fourBitsAreFittedToTheInputs() {
        try (PointerScope scope = new PointerScope()) {
            Generator seed = Generation.newGenerator(3L);
            GeneratorOptional generator = new GeneratorOptional(seed);
            Tensor w = torch.empty(96, 128).normal_(0, 1, generator);
            Tensor common = torch.empty(512, 8).normal_(0, 1, generator);
            Tensor x = common.mm(torch.empty(8, 128).normal_(0, 1, generator))
                    .add(torch.empty(512, 128).normal_(0, 0.5, generator)); // [512, 128]
            QuantizedWeight alone = Objects.requireNonNull(QuantizedWeight.int4(w, 32));
            QuantizedWeight fitted = Objects.requireNonNull(QuantizedWeight.int4(w, 32, x.t().mm(x)));
            Tensor y = x.mm(w.t());
            float[] expected = Tensors.floats(y);
            double before = error(
                    expected,
                    Tensors.floats(x.mm(alone.dequantized(ScalarType.Float).t())));
            double after = error(
                    expected,
                    Tensors.floats(x.mm(fitted.dequantized(ScalarType.Float).t())));
            assertThat(after).isBetween(1e-6, 0.5 * before);
        }
    }

    @ParameterizedTest
    @CsvSource({"llama", "gpt2"})
    void aModelOfFourBitsIsNearerWithExamples(String name) throws IOException {
        Path in = model(name);
        ModelFolder source = new ModelFolder(name, in, false);
        SplittableRandom random = new SplittableRandom(5);
        long[][] seen = new long[64][];
        Arrays.setAll(seen, i -> random.longs(32, 3, 45).toArray());
        Quantization.write(source, 4, 32, folder.resolve("alone"), null);
        Quantization.write(source, 4, 32, folder.resolve("fitted"), model -> {
            try (PointerScope scope = new PointerScope();
                    ModelOutput out = model.forward(Inputs.of(Map.of("input_ids", Tensors.int64(seen))))) {
                // only the inputs of the layers count
            }
        });
        long[][] others = new long[16][];
        Arrays.setAll(others, i -> random.longs(32, 3, 45).toArray());
        try (PreTrainedModel<?> plain = load(in);
                PreTrainedModel<?> alone = load(folder.resolve("alone"));
                PreTrainedModel<?> fitted = load(folder.resolve("fitted"))) {
            float[] expected = logits(plain, others);
            assertThat(error(expected, logits(fitted, others)))
                    .isBetween(1e-6, 0.9 * error(expected, logits(alone, others)));
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
