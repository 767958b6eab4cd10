package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.generation.Generation;
import dev.headstart.generation.GenerationConfig;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.hub.ModelFolder;
import dev.headstart.io.Safetensors;
import dev.headstart.nn.Natives;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Recompute;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Every family on a GPU against the same on the CPU: outputs, generated tokens, gradients, saved files, precisions, threads. Skipped where there is no GPU.
 *
 * <p>The models are the golden ones of the resources, and those below the folders that {@code -Dheadstart.gpu.models=a,b} names: a folder with a case.json beside
 * its {@code model}, or one with a config.json and weights, which is given random tokens and pixels. {@code -Dheadstart.gpu.device=cpu} runs the test itself
 * where there is no GPU.
 */
class GpuTest {
    private static final ObjectMapper JSON = JsonMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .build();
    private static final String DEVICE = System.getProperty("headstart.gpu.device", "cuda");

    @TempDir
    Path folder;

    @BeforeEach
    void needsAGpu() {
        Natives.load();
        assumeTrue(DEVICE.equals("cpu") || torch.cuda_is_available(), "no usable GPU here: skipped");
    }

    /** What the GPU reports late belongs to the test that asked for it. */
    @AfterEach
    void waits() {
        if (!DEVICE.equals("cpu") && torch.cuda_is_available()) {
            torch.cuda_synchronize();
        }
    }

    // === Models ===

    /** @param at the folder with case.json, or the model's own */
    private record Case(Path at, Path model) {
        JsonNode golden() {
            try {
                Path file = at.resolve("case.json");
                return Files.exists(file) ? JSON.readTree(file.toFile()) : JSON.createObjectNode();
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        }

        ConfigJson config() {
            return ConfigJson.read(model.resolve("config.json"));
        }

        String architecture() {
            String named = golden().path("architecture").asText();
            List<String> own = named.isEmpty() ? config().architectures() : List.of(named);
            return own.isEmpty() ? "" : own.get(0);
        }

        PreTrainedModel<?> load(String device) {
            return load(LoadOptions.defaults().withDevice(device));
        }

        PreTrainedModel<?> load(LoadOptions options) {
            String named = golden().path("architecture").asText();
            return Models.load(
                    new ModelFolder(model.toString(), model, false), named.isEmpty() ? null : named, options);
        }

        @Override
        public String toString() {
            int names = at.getNameCount();
            return at.subpath(Math.max(0, names - 2), names).toString();
        }
    }

    static Stream<Case> cases() throws IOException {
        Path own = Shared.repositoryRoot().resolve("core/src/test/resources");
        List<Path> roots = new ArrayList<>();
        for (String name : List.of("encoders", "decoders", "seq2seq", "random", "tied", "vision-golden")) {
            roots.add(own.resolve(name));
        }
        for (String more : System.getProperty("headstart.gpu.models", "").split(",")) {
            if (!more.isBlank()) {
                roots.add(Path.of(more.strip()));
            }
        }
        List<Case> all = new ArrayList<>();
        for (Path root : roots) {
            try (Stream<Path> files = Files.walk(root, 5)) {
                files.filter(Files::isDirectory).sorted().forEach(at -> {
                    boolean golden = Files.exists(at.resolve("case.json"))
                            && Files.exists(at.resolve("model/config.json"))
                            && (hasWeights(at.resolve("model"))
                                    || !Files.exists(at.resolve("model/preprocessor_config.json")))
                            && !Files.exists(at.resolve("adapter"));
                    boolean plain = Files.exists(at.resolve("config.json"))
                            && !Files.exists(at.resolveSibling("case.json"))
                            && hasWeights(at);
                    if (golden) {
                        all.add(new Case(at, at.resolve("model")));
                    } else if (plain) {
                        all.add(new Case(at, at));
                    }
                });
            }
        }
        return all.stream().filter(GpuTest::known);
    }

    private static boolean known(Case c) {
        try {
            Models.family(c.config());
            return true;
        } catch (HeadstartException e) {
            return false;
        }
    }

    private static boolean hasWeights(Path at) {
        return Stream.of("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
                .anyMatch(f -> Files.exists(at.resolve(f)));
    }

    /** One case of each class. */
    static Stream<Case> classes() throws IOException {
        Map<String, Case> first = new LinkedHashMap<>();
        cases().forEach(c -> first.putIfAbsent(c.config().modelType() + " " + c.architecture(), c));
        return first.values().stream();
    }

    static Stream<Case> generating() throws IOException {
        return cases().filter(c -> c.golden().path("generate").size() > 0
                || c.golden().isEmpty()
                        && c.architecture().matches(".*(ForCausalLM|LMHeadModel|ForConditionalGeneration|MTModel)"));
    }

    // === Inputs ===

    private static Inputs inputs(Case c) {
        JsonNode forward = c.golden().path("forward");
        Path file = c.at.resolve("inputs.safetensors");
        Inputs in = Inputs.of(Files.exists(file) ? Safetensors.readMap(file) : random(c));
        JsonNode kwargs = forward.path("kwargs");
        return in.withHiddenStates(forward.path("output_hidden_states").asBoolean())
                .withAttentions(forward.path("output_attentions").asBoolean())
                .withKwargs(kwargs.isObject() ? kwargs : JSON.createObjectNode());
    }

    /** Random ids below vocab_size, pixels of image_size. */
    private static Map<String, Tensor> random(Case c) {
        ConfigJson config = c.config();
        SplittableRandom random = new SplittableRandom(7);
        Map<String, Tensor> in = new LinkedHashMap<>();
        String name = c.architecture();
        boolean clip = config.modelType().equals("clip");
        int vocabulary =
                clip ? config.sub("text_config").integer("vocab_size", 49408) : config.integer("vocab_size", 0);
        if (vocabulary > 0 && !name.contains("Vision")) {
            long[][] ids = ids(random, 2, 9, vocabulary);
            in.put("input_ids", Tensors.int64(ids));
            boolean seq2seq = config.flag("is_encoder_decoder", config.has("d_model"));
            if (seq2seq && !name.matches(".*(EncoderModel|ForCausalLM|ForTokenClassification)")) {
                in.put("decoder_input_ids", Tensors.int64(ids(random, 2, 9, vocabulary)));
            }
        }
        if (vocabulary == 0 || clip && !name.contains("Text")) {
            ConfigJson vision = clip ? config.sub("vision_config") : config;
            List<Integer> sides = vision.integers("image_size", List.of(clip ? 224 : 64));
            int height = sides.get(0), width = sides.get(sides.size() - 1);
            float[] pixels = new float[2 * 3 * height * width];
            for (int i = 0; i < pixels.length; i++) {
                pixels[i] = (float) (2 * random.nextDouble() - 1);
            }
            in.put("pixel_values", Tensors.float32(pixels, 2, 3, height, width));
        }
        return in;
    }

    private static long[][] ids(SplittableRandom random, int rows, int length, int vocabulary) {
        long[][] ids = new long[rows][length];
        for (long[] row : ids) {
            for (int i = 0; i < length; i++) {
                row[i] = Math.min(4, vocabulary - 1) + random.nextInt(Math.max(1, vocabulary - 4));
            }
        }
        return ids;
    }

    // === Comparing ===

    private record Values(long[] shape, float[] numbers) {}

    private static Map<String, Values> outputs(PreTrainedModel<?> model, Inputs in) {
        Map<String, Values> all = new LinkedHashMap<>();
        try (PointerScope scope = new PointerScope();
                ModelOutput out = model.forward(in)) {
            out.tensors().forEach((name, t) -> all.put(name, new Values(t.shape(), Tensors.floats(t))));
        }
        return all;
    }

    /** Positions of padding are left out: nothing reads them, and a query that sees nothing has no defined result. */
    private static void compare(
            String what, Map<String, Values> got, Map<String, Values> want, Map<String, Tensor> in, double most) {
        assertThat(got.keySet()).as(what).isEqualTo(want.keySet());
        boolean padded = false;
        List<Values> masks = new ArrayList<>();
        for (String name : List.of("attention_mask", "decoder_attention_mask")) {
            Tensor m = in.get(name);
            if (m != null && m.dim() == 2) {
                masks.add(new Values(m.shape(), Tensors.floats(m)));
                padded |= m.eq(new org.bytedeco.pytorch.Scalar(0)).any().item_bool();
            }
        }
        for (Map.Entry<String, Values> e : want.entrySet()) {
            Values w = e.getValue();
            Values g = Objects.requireNonNull(got.get(e.getKey()));
            assertThat(g.shape).as("%s: %s", what, e.getKey()).isEqualTo(w.shape);
            if (padded && e.getKey().contains("loss")) {
                continue; // it may count what padding predicts
            }
            double size = 1;
            for (float v : w.numbers) {
                size = Float.isFinite(v) ? Math.max(size, Math.abs(v)) : size;
            }
            for (int i = 0; i < w.numbers.length; i++) {
                double difference = Math.abs(g.numbers[i] - w.numbers[i]);
                boolean same = difference <= most * size || Float.compare(g.numbers[i], w.numbers[i]) == 0;
                if (!same && !isPadding(w.shape, i, masks)) {
                    fail("%s: %s%s, element %d: %s on %s, %s on the cpu (largest %.3g)"
                            .formatted(
                                    what,
                                    e.getKey(),
                                    java.util.Arrays.toString(w.shape),
                                    i,
                                    g.numbers[i],
                                    DEVICE,
                                    w.numbers[i],
                                    size));
                }
            }
        }
    }

    private static boolean isPadding(long[] shape, int element, List<Values> masks) {
        long numel = 1;
        for (long n : shape) {
            numel *= n;
        }
        for (Values m : masks) {
            long b = m.shape[0], s = m.shape[1];
            boolean states = shape.length >= 2 && shape[0] == b && shape[1] == s;
            boolean attention = shape.length == 4 && shape[0] == b && shape[2] == s;
            if (states || attention) {
                long per = attention ? shape[3] : numel / (b * s);
                long row = element / per; // (b, h, query) or (b, s)
                long place = attention ? row / (shape[1] * s) * s + row % s : row;
                if (m.numbers[(int) place] == 0) {
                    return true;
                }
            }
        }
        return false;
    }

    // === Inference ===

    @ParameterizedTest
    @MethodSource("cases")
    void computesAsOnTheCpu(Case c) {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> cpu = c.load("cpu");
                PreTrainedModel<?> gpu = c.load(DEVICE)) {
            Inputs in = inputs(c);
            compare(c.toString(), outputs(gpu, in), outputs(cpu, in), in.tensors(), 1e-4);
        }
    }

    /** Greedy, beams and sampling: a seed gives the same tokens on every device. */
    @ParameterizedTest
    @MethodSource("generating")
    void generatesTheSameTokens(Case c) {
        List<Map<String, Object>> configs = new ArrayList<>();
        List<Map<String, Tensor>> prompts = new ArrayList<>();
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> cpu = c.load("cpu");
                PreTrainedModel<?> gpu = c.load(DEVICE)) {
            for (JsonNode g : c.golden().path("generate")) {
                configs.add(JSON.convertValue(g.get("kwargs"), new TypeReference<Map<String, Object>>() {}));
                Map<String, Tensor> in = new LinkedHashMap<>();
                g.get("inputs")
                        .properties()
                        .forEach(e ->
                                in.put(e.getKey(), Tensors.int64(JSON.convertValue(e.getValue(), long[][].class))));
                prompts.add(in);
            }
            if (configs.isEmpty()) {
                configs.add(Map.of("max_new_tokens", 8, "do_sample", false));
                configs.add(Map.of("max_new_tokens", 8, "do_sample", false, "num_beams", 3));
                configs.add(Map.of("max_new_tokens", 8, "do_sample", true, "seed", 5, "top_k", 20));
                Map<String, Tensor> one = new LinkedHashMap<>(random(c));
                one.remove("decoder_input_ids");
                configs.forEach(x -> prompts.add(one));
            }
            for (int i = 0; i < configs.size(); i++) {
                assertThat(generate(gpu, prompts.get(i), configs.get(i)))
                        .as("%s %s", c, configs.get(i))
                        .isDeepEqualTo(generate(cpu, prompts.get(i), configs.get(i)));
            }
        }
    }

    private static long[][] generate(PreTrainedModel<?> model, Map<String, Tensor> in, Map<String, Object> kwargs) {
        return Generation.of((GenerativeModel) model)
                .inputs(in)
                .config(GenerationConfig.empty().with(kwargs))
                .generate()
                .sequences();
    }

    /** The towers of CLIP, which pipelines call one by one. */
    @ParameterizedTest
    @MethodSource("classes")
    void featuresOfClipAreTheSame(Case c) {
        assumeTrue(c.architecture().equals("CLIPModel"), "no CLIP");
        try (PointerScope scope = new PointerScope();
                Clip.CLIPModel cpu = (Clip.CLIPModel) c.load("cpu");
                Clip.CLIPModel gpu = (Clip.CLIPModel) c.load(DEVICE)) {
            Inputs in = inputs(c);
            for (boolean text : new boolean[] {true, false}) {
                try (ModelOutput want = text ? cpu.textFeatures(in) : cpu.imageFeatures(in);
                        ModelOutput got = text ? gpu.textFeatures(in) : gpu.imageFeatures(in)) {
                    Tensor w = Objects.requireNonNull(want.tensors().get("pooler_output"));
                    Tensor g = Objects.requireNonNull(got.tensors().get("pooler_output"));
                    assertThat(far(g, w)).as("%s text %s", c, text).isLessThan(1e-4);
                }
            }
        }
    }

    // === Precisions ===

    @ParameterizedTest
    @MethodSource("classes")
    void runsInBf16(Case c) {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> exact = c.load("cpu");
                PreTrainedModel<?> half =
                        c.load(LoadOptions.defaults().withDevice(DEVICE).withPrecision("bf16"))) {
            if (!DEVICE.equals("cpu")) {
                assertThat(half.namedParameters().values().stream()
                                .filter(p -> p.tensor().is_floating_point())
                                .map(p -> Ops.type(p.tensor())))
                        .as("%s", c)
                        .containsOnly(ScalarType.BFloat16);
            }
            Inputs in = inputs(c);
            Map<String, Values> want = outputs(exact, in);
            Map<String, Values> got = outputs(half, in);
            String main = main(want.keySet());
            float[] w = Objects.requireNonNull(want.get(main)).numbers;
            float[] g = Objects.requireNonNull(got.get(main)).numbers;
            double apart = 0, size = 0;
            List<Values> masks = new ArrayList<>();
            Tensor mask = in.tensors().get("attention_mask");
            if (mask != null && mask.dim() == 2) {
                masks.add(new Values(mask.shape(), Tensors.floats(mask)));
            }
            for (int i = 0; i < w.length; i++) {
                if (!isPadding(Objects.requireNonNull(want.get(main)).shape, i, masks)) {
                    apart += Math.pow(g[i] - w[i], 2);
                    size += Math.pow(w[i], 2);
                }
            }
            assertThat(Math.sqrt(apart / Math.max(size, 1e-12)))
                    .as("%s: %s in bf16", c, main)
                    .isLessThan(0.1);
        }
    }

    private static String main(java.util.Set<String> names) {
        return Stream.of("logits", "last_hidden_state", "start_logits", "logits_per_image", "reconstruction")
                .filter(names::contains)
                .findFirst()
                .orElseGet(() -> names.stream()
                        .filter(n -> !n.contains("loss"))
                        .findFirst()
                        .orElse(""));
    }

    /** What headstart quantize wrote is read as plain numbers on a GPU: the same ones that the CPU's kernels hold. */
    @ParameterizedTest
    @ValueSource(strings = {"bert 8", "gpt2 8", "gpt2 4", "llama 8", "llama 4", "t5 8"})
    void aQuantizedFolderRuns(String which) throws IOException {
        String[] asked = which.split(" ");
        Path plain = untrained(asked[0]);
        Path small = folder.resolve("small");
        Quantization.write(new ModelFolder("x", plain, false), Integer.parseInt(asked[1]), 32, small, null);
        Case c = new Case(small, small);
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> cpu = c.load("cpu");
                PreTrainedModel<?> gpu = c.load(DEVICE)) {
            cpu.train();
            cpu.eval(); // plain kernels over the same numbers
            if (DEVICE.equals("cpu")) {
                gpu.train();
                gpu.eval();
            }
            Inputs in = inputs(c);
            compare(which, outputs(gpu, in), outputs(cpu, in), in.tensors(), 1e-4);
            if (gpu instanceof GenerativeModel) {
                Map<String, Tensor> prompt = new LinkedHashMap<>(random(c));
                prompt.remove("decoder_input_ids");
                Map<String, Object> kwargs = new LinkedHashMap<>(Map.of("max_new_tokens", 6, "do_sample", false));
                if (asked[0].equals("t5")) {
                    kwargs.put("decoder_start_token_id", 0);
                }
                assertThat(generate(gpu, prompt, kwargs)).as(which).isDeepEqualTo(generate(cpu, prompt, kwargs));
            }
            gpu.savePretrained(folder.resolve("saved"));
        }
        try (PreTrainedModel<?> again = new Case(folder.resolve("saved"), folder.resolve("saved")).load("cpu")) {
            assertThat(again.quantized()).isFalse();
        }
    }

    @Test
    void eightBitsOfAPlainModelAreRefused() throws IOException {
        assumeTrue(!DEVICE.equals("cpu"), "the CPU has kernels for them");
        Path plain = untrained("bert");
        for (String precision : List.of("int8", "int4")) {
            assertThatThrownBy(() -> new Case(plain, plain)
                            .load(LoadOptions.defaults().withDevice(DEVICE).withPrecision(precision)))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("precision " + precision)
                    .hasMessageContaining("--device cpu");
        }
    }

    @Test
    void aGpuThatIsNotThereIsRefused() {
        assumeTrue(!DEVICE.equals("cpu"), "about GPUs");
        assertThatThrownBy(() -> Models.device("cuda:99"))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("cuda:99")
                .hasMessageContaining("--device cpu");
    }

    /** Wide enough that quantizing it pays. */
    private Path untrained(String type) throws IOException {
        String sizes = switch (type) {
            case "gpt2" -> "\"n_embd\": 128, \"n_layer\": 2, \"n_head\": 4, \"n_positions\": 32";
            case "t5" ->
                "\"d_model\": 128, \"d_ff\": 256, \"d_kv\": 32, \"num_heads\": 4, \"num_layers\": 2,"
                        + " \"is_encoder_decoder\": true, \"decoder_start_token_id\": 0, \"eos_token_id\": 1";
            default ->
                "\"hidden_size\": 128, \"intermediate_size\": 256, \"num_hidden_layers\": 2, \"num_attention_heads\": 4";
        };
        String architecture = switch (type) {
            case "gpt2" -> "GPT2LMHeadModel";
            case "t5" -> "T5ForConditionalGeneration";
            case "llama" -> "LlamaForCausalLM";
            default -> "BertForMaskedLM";
        };
        Path plain = Files.createDirectories(folder.resolve(type));
        Files.writeString(
                plain.resolve("config.json"),
                "{\"model_type\": \"" + type + "\", \"initializer_range\": 0.1, \"vocab_size\": 100, " + sizes + "}");
        try (PreTrainedModel<?> model = Models.fromConfig(
                ConfigJson.read(plain.resolve("config.json")),
                architecture,
                LoadOptions.defaults().withDevice("cpu").withSeed(3))) {
            model.savePretrained(plain);
        }
        return plain;
    }

    // === Training ===

    private record Step(double loss, Map<String, float[]> gradients) {}

    /** Loss and gradients of one step; without labels the loss is the mean square of the main output. */
    private static Step step(PreTrainedModel<?> model, Inputs in, boolean again) {
        Map<String, float[]> gradients = new LinkedHashMap<>();
        torch.manual_seed(11);
        try (PointerScope scope = new PointerScope();
                @Nullable Recompute segments = again ? Recompute.open() : null) {
            Map<String, Tensor> out = model.forward(
                            in.withGradients(true).withHiddenStates(false).withAttentions(false))
                    .tensors();
            Tensor given = out.get("loss");
            Tensor loss = given != null
                    ? given
                    : Objects.requireNonNull(out.get(main(out.keySet())))
                            .to(ScalarType.Float)
                            .square()
                            .mean();
            if (segments == null) {
                loss.backward();
            } else {
                segments.backward(loss);
            }
            gradients.putAll(RecomputeTest.takeGradients(model));
            return new Step(loss.item_double(), gradients);
        }
    }

    private static void learning(PreTrainedModel<?> model) {
        model.namedParameters().values().stream()
                .filter(p -> !p.isBuffer() && p.tensor().is_floating_point() && !p.isFrozen())
                .forEach(p -> p.tensor().set_requires_grad(true));
    }

    private static void closeTo(String what, Step got, Step want) {
        assertThat(Math.abs(got.loss - want.loss))
                .as("%s: loss %s instead of %s", what, got.loss, want.loss)
                .isLessThanOrEqualTo(1e-4 * Math.max(1, Math.abs(want.loss)));
        assertThat(got.gradients.keySet()).as(what).isEqualTo(want.gradients.keySet());
        want.gradients.forEach((name, w) -> {
            float[] g = Objects.requireNonNull(got.gradients.get(name));
            double size = 0, apart = 0;
            for (int i = 0; i < w.length; i++) {
                size = Math.max(size, Math.abs(w[i]));
                apart = Math.max(apart, Math.abs(g[i] - w[i]));
            }
            assertThat(apart)
                    .as("%s: gradient of %s, largest %s", what, name, size)
                    .isLessThanOrEqualTo(1e-5 + 2e-3 * size);
        });
    }

    @ParameterizedTest
    @MethodSource("classes")
    void lossAndGradientsAreTheCpus(Case c) {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> cpu = c.load("cpu");
                PreTrainedModel<?> gpu = c.load(DEVICE)) {
            Inputs in = unpadded(inputs(c));
            learning(cpu);
            learning(gpu);
            closeTo(c.toString(), step(gpu, in, false), step(cpu, in, false));
        }
    }

    /** Dropout draws from the GPU's generator; what is computed again draws the same. */
    @ParameterizedTest
    @MethodSource("classes")
    void recomputesWithTheSameDropout(Case c) {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> gpu = c.load(DEVICE)) {
            Inputs in = unpadded(inputs(c));
            gpu.freeze("", false);
            gpu.train();
            boolean norms = !gpu.state().convNorms().isEmpty()
                    || gpu.namedParameters().keySet().stream().anyMatch(n -> n.endsWith("running_mean"));
            Step plain = step(gpu, in, false);
            assertThat(plain.loss).as("%s: loss in training", c).isFinite();
            assertThat(plain.gradients).as("%s: gradients in training", c).isNotEmpty();
            if (!norms) { // running statistics move with every pass
                closeTo(c.toString(), step(gpu, in, true), plain);
            }
        }
    }

    /** The loss of a text with padding may count what padding predicts. */
    private static Inputs unpadded(Inputs in) {
        Map<String, Tensor> tensors = new LinkedHashMap<>(in.tensors());
        tensors.replaceAll((name, t) -> name.endsWith("attention_mask") && t.dim() == 2 ? torch.ones_like(t) : t);
        return in.replace(tensors);
    }

    // === Places ===

    /** To the GPU and back, saved from there and loaded again: the same numbers. */
    @ParameterizedTest
    @MethodSource("classes")
    void movesAndSaves(Case c) {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> still = c.load("cpu");
                PreTrainedModel<?> moved = c.load("cpu")) {
            Inputs in = inputs(c);
            moved.to(DEVICE);
            compare(c + " after to(\"" + DEVICE + "\")", outputs(moved, in), outputs(still, in), in.tensors(), 1e-4);
            moved.savePretrained(folder.resolve("saved"));
            moved.to("cpu");
            same(c + " after to(\"cpu\")", moved, still);
        }
        Path saved = folder.resolve("saved");
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> still = c.load("cpu");
                PreTrainedModel<?> again = new Case(saved, saved).load("cpu")) {
            same(c + " saved and loaded", again, still);
        }
    }

    private static void same(String what, PreTrainedModel<?> got, PreTrainedModel<?> want) {
        want.namedParameters().forEach((name, p) -> {
            Parameter other = got.namedParameters().get(name);
            assertThat(other).as("%s: %s", what, name).isNotNull();
            assertThat(Objects.requireNonNull(other).tensor().is_cpu())
                    .as("%s: %s", what, name)
                    .isTrue();
            assertThat(other.tensor().equal(p.tensor()))
                    .as("%s: %s", what, name)
                    .isTrue();
        });
    }

    /** Several threads on one model. */
    @Test
    void threadsShareAModel() throws Exception {
        Case c = classes()
                .filter(x -> x.architecture().equals("BertForMaskedLM"))
                .findFirst()
                .orElseThrow();
        ExecutorService pool = Executors.newFixedThreadPool(4);
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> gpu = c.load(DEVICE)) {
            Inputs in = inputs(c);
            Map<String, Values> alone = outputs(gpu, in);
            List<Future<Map<String, Values>>> all = new ArrayList<>();
            for (int i = 0; i < 32; i++) {
                all.add(pool.submit(() -> outputs(gpu, in)));
            }
            for (Future<Map<String, Values>> one : all) {
                compare("threads", one.get(), alone, in.tensors(), 1e-6);
            }
        } finally {
            pool.shutdownNow();
        }
    }

    /** fp32 is fp32: neither products nor convolutions round to TF32. */
    @Test
    void thirtyTwoBitsAreThirtyTwo() {
        try (PointerScope scope = new PointerScope()) {
            var place = Models.device(DEVICE);
            torch.manual_seed(2);
            Tensor x = torch.rand(1, 64, 20, 20);
            Tensor w = torch.rand(64, 64, 3, 3);
            Tensor a = torch.rand(256, 512);
            Tensor b = torch.rand(512, 256);
            Tensor convolved = torch.conv2d(x.to(place, ScalarType.Float), w.to(place, ScalarType.Float));
            Tensor multiplied = a.to(place, ScalarType.Float).matmul(b.to(place, ScalarType.Float));
            Tensor wide = torch.conv2d(x.to(ScalarType.Double), w.to(ScalarType.Double));
            assertThat(far(convolved, wide)).as("convolution").isLessThan(1e-5);
            assertThat(far(multiplied, a.to(ScalarType.Double).matmul(b.to(ScalarType.Double))))
                    .as("product")
                    .isLessThan(1e-5);
        }
    }

    /** The largest difference over the largest number. */
    private static double far(Tensor got, Tensor want) {
        Tensor w = want.detach().cpu().to(ScalarType.Double);
        Tensor g = got.detach().cpu().to(ScalarType.Double);
        return g.sub(w).abs().max().item_double() / Math.max(1, w.abs().max().item_double());
    }
}
