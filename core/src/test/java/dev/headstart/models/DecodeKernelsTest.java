package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.LoadOptions;
import dev.headstart.generation.DecodingSession;
import dev.headstart.generation.Generation;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.nn.Linear;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import java.util.stream.LongStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Kernels for one token at a time: weights large enough for them, of one row, a few and many, with an output layer that shares its table with the embedding. */
class DecodeKernelsTest {
    @TempDir
    private Path folder;

    private Path model() throws IOException {
        return FreshModel.write(folder, "GPT2LMHeadModel", """
            {"model_type": "gpt2", "initializer_range": 0.1, "vocab_size": 8200, "n_embd": 512, "n_layer": 2, "n_head": 8, "n_positions": 128}
            """);
    }

    private static PreTrainedModel<?> load(Path path, String precision) {
        LoadOptions options = LoadOptions.defaults().withDevice("cpu");
        return Models.fromPretrained(path.toString(), precision.isEmpty() ? options : options.withPrecision(precision));
    }

    private static float[] logits(PreTrainedModel<?> model, int tokens) {
        long[][] ids = {
            LongStream.range(0, tokens).map(i -> (i * 37 + 999) % 1000).toArray()
        };
        try (PointerScope scope = new PointerScope();
                ModelOutput out = model.forward(Inputs.of(Map.of("input_ids", Tensors.int64(ids))))) {
            return Tensors.floats(Objects.requireNonNull(out.tensors().get("logits")));
        }
    }

    private static double error(float[] a, float[] b) {
        assertThat(a).hasSameSizeAs(b);
        double difference = 0;
        double size = 0;
        for (int i = 0; i < a.length; i++) {
            difference += (a[i] - b[i]) * (a[i] - b[i]);
            size += a[i] * a[i];
        }
        return Math.sqrt(difference / size);
    }

    /**
     * The plain model has the weights that the kernels give back, so what differs is how the product is computed. fp32: up to 2,048 products are added in
     * another order, 2^-24 x sqrt(2048) = 2.7e-6. bf16 and int4 (activations in bf16): 2^-9 / sqrt(3) for weights and activations of the nine products one
     * after the other, 0.5 %, which the network's curves enlarge. int8: activations in 255 steps over about 6.5 standard deviations, 0.7 % a product, 2.2 % after
     * nine.
     */
    @ParameterizedTest
    @CsvSource({"fp32,3e-6", "bf16,0.02", "int8,0.045", "int4,0.02"})
    void equalsThePlainModel(String precision, double most, @TempDir Path rounded) throws IOException {
        try (PreTrainedModel<?> packed = load(model(), precision)) {
            packed.savePretrained(rounded);
            compare(packed, rounded, most);
        }
    }

    /** The kernels of processors and systems that let no code be made. */
    @ParameterizedTest
    @CsvSource({"fp32,3e-6", "bf16,0.02", "int8,0.045", "int4,0.02"})
    void soDoesItWithoutCodeOfOurOwn(String precision, double most, @TempDir Path rounded) throws IOException {
        System.setProperty("dev.headstart.machineCode", "false");
        try {
            equalsThePlainModel(precision, most, rounded);
        } finally {
            System.clearProperty("dev.headstart.machineCode");
        }
    }

    /**
     * A step of one row is recorded and runs as one program, steps of several rows go layer by layer; what rows hold moves in between. Sums are added in another order, and
     * what is rounded after them goes the other way once in a while: as far as rounding itself is from the plain model, at most.
     */
    @ParameterizedTest
    @CsvSource({"fp32,3e-6", "bf16,0.02", "int8,0.045", "int4,0.02"})
    void aStepOfOneRowIsThatOfSeveral(String precision, double most) throws IOException {
        try (PreTrainedModel<?> model = load(model(), precision);
                PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard();
                DecodingSession one = ((GenerationMixin<?>) model).session(Map.of(), 1, 60);
                DecodingSession two = ((GenerationMixin<?>) model).session(Map.of(), 2, 60)) {
            long[] prompt = {5, 80, 17, 3};
            one.step(Tensors.int64(new long[][] {prompt}), new int[] {4});
            two.step(Tensors.int64(new long[][] {prompt, prompt}), new int[] {4, 4});
            for (int i = 0; i < 40; i++) {
                long id = (i * 37 + 11) % 1000;
                if (i == 20) { // other buffers for the same row
                    one.select(new int[] {0, 0, 0});
                    one.select(new int[] {2});
                }
                float[] row = Tensors.floats(one.step(Tensors.int64(new long[][] {{id}}), new int[] {1}));
                Tensor rows = two.step(Tensors.int64(new long[][] {{id}, {id}}), new int[] {1, 1});
                assertThat(error(Tensors.floats(rows.select(0, 1).contiguous()), row))
                        .describedAs("step %d", i)
                        .isLessThan(most);
            }
        }
    }

    private static void compare(PreTrainedModel<?> packed, Path path, double most) {
        try (PreTrainedModel<?> plain = load(path, "")) {
            for (int tokens : new int[] {1, 6, 6, 30, 100, 30, 30, 1}) { // a small batch again is packed another way
                assertThat(error(logits(plain, tokens), logits(packed, tokens)))
                        .as(tokens + " tokens")
                        .isLessThan(most);
            }
            assertThat(packed.numParameters()).isEqualTo(plain.numParameters());
        }
    }

    /** Gemma's activations grow beyond 65,504: here the first layer's, by a norm whose weights are 30,000. */
    @Test
    void activationsBeyondHalfPrecisionStayFinite(@TempDir Path large, @TempDir Path rounded) throws IOException {
        try (PreTrainedModel<?> model = load(model(), "");
                NoGradGuard none = new NoGradGuard()) {
            Objects.requireNonNull(model.namedParameters().get("transformer.h.0.ln_2.weight"))
                    .tensor()
                    .fill_(new Scalar(30_000.0));
            model.savePretrained(large);
        }
        try (PreTrainedModel<?> packed = load(large, "bf16")) {
            packed.savePretrained(rounded);
            compare(packed, rounded, 0.02);
        }
    }

    @Test
    void generatesTheSameTokens() throws IOException {
        Path path = model();
        try (PreTrainedModel<?> plain = load(path, "");
                PreTrainedModel<?> packed = load(path, "fp32")) {
            for (int beams : new int[] {1, 3}) {
                assertThat(generate(packed, beams)).isEqualTo(generate(plain, beams));
            }
        }
    }

    private static long[] generate(PreTrainedModel<?> model, int beams) {
        return Generation.of((GenerativeModel) model)
                .with("max_new_tokens", 20)
                .with("do_sample", false)
                .with("num_beams", beams)
                .prompt(new long[] {3, 999, 500})
                .generate()
                .sequences()[0];
    }

    @Test
    void trainingAndSavingGetTheWeightsBack(@TempDir Path saved) throws IOException {
        Path path = model();
        try (PreTrainedModel<?> plain = load(path, "");
                PreTrainedModel<?> packed = load(path, "fp32")) {
            packed.savePretrained(saved);
            assertThat(saved.resolve("model.safetensors")).hasSameBinaryContentAs(path.resolve("model.safetensors"));
            assertThat(packed.linears().stream().map(Linear::kernelName)).doesNotContain("plain");
            packed.train();
            packed.eval();
            plain.namedParameters().forEach((name, p) -> {
                Tensor again = Objects.requireNonNull(packed.namedParameters().get(name))
                        .tensor();
                assertThat(p.tensor().equal(again)).as(name).isTrue();
            });
            assertThat(logits(packed, 6)).containsExactly(logits(plain, 6));
        }
    }
}
