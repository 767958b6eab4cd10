package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.LoadOptions;
import dev.headstart.generation.Generation;
import dev.headstart.generation.GenerationConfig;
import dev.headstart.generation.GenerationOutput;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.hub.ModelFolder;
import dev.headstart.io.Safetensors;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every golden case of the text families, those shared by all and our own (conformance/decoders.py, decoder_variants.py, encoders.py, random_encoders.py, seq2seq.py). */
class TextGoldenTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final List<String> FAMILIES = List.of(
            "bert",
            "roberta",
            "xlm-roberta",
            "distilbert",
            "electra",
            "albert",
            "mpnet",
            "modernbert",
            "deberta-v2",
            "gpt2",
            "llama",
            "mistral",
            "qwen2",
            "qwen3",
            "gemma2",
            "gemma3",
            "t5",
            "mt5",
            "bart",
            "marian",
            "pegasus",
            "m2m_100");

    static Stream<Path> cases() throws IOException {
        Path own = Shared.repositoryRoot().resolve("core/src/test/resources");
        Stream<Path> folders =
                Stream.of("decoders", "encoders", "random", "seq2seq", "tied").map(own::resolve);
        Path shared = Shared.root().resolve("golden");
        if (Files.isDirectory(shared)) {
            folders = Stream.concat(folders, FAMILIES.stream().map(shared::resolve));
        }
        return folders.filter(Files::isDirectory)
                .flatMap(TextGoldenTest::list)
                .filter(c -> Files.exists(c.resolve("case.json"))
                        && !Files.exists(c.resolve("adapter"))); // adapters: see the peft tests
    }

    private static Stream<Path> list(Path folder) {
        try (Stream<Path> all = Files.list(folder)) {
            return all.sorted().toList().stream();
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void computesWhatTransformersComputes(Path folder) throws IOException {
        JsonNode golden = JSON.readTree(folder.resolve("case.json").toFile());
        ModelFolder model = new ModelFolder(folder.toString(), folder.resolve("model"), false);
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> loaded = Models.load(
                        model,
                        golden.path("architecture").asText(),
                        LoadOptions.defaults().withDevice("cpu"))) {
            if (Files.exists(folder.resolve("outputs.safetensors"))) {
                JsonNode f = golden.get("forward");
                Map<String, Tensor> in = Safetensors.readMap(folder.resolve("inputs.safetensors"));
                Inputs inputs = Inputs.of(in)
                        .withHiddenStates(f.path("output_hidden_states").asBoolean())
                        .withAttentions(f.path("output_attentions").asBoolean());
                if (f.has("kwargs")) {
                    inputs = inputs.withKwargs(f.get("kwargs"));
                }
                try (ModelOutput out = loaded.forward(inputs)) {
                    Map<String, Tensor> got = out.tensors();
                    Safetensors.readMap(folder.resolve("outputs.safetensors")).forEach((name, want) -> {
                        assertThat(got).as("%s", folder).containsKey(name);
                        compare(
                                folder + " " + name,
                                Objects.requireNonNull(got.get(name)),
                                want,
                                f,
                                in.get("attention_mask"));
                    });
                }
            }
            for (JsonNode g : golden.path("generate")) {
                Map<String, Tensor> in = new LinkedHashMap<>();
                g.get("inputs")
                        .properties()
                        .forEach(e ->
                                in.put(e.getKey(), Tensors.int64(JSON.convertValue(e.getValue(), long[][].class))));
                GenerationConfig config = GenerationConfig.empty()
                        .with(JSON.convertValue(g.get("kwargs"), new TypeReference<Map<String, Object>>() {}));
                GenerationOutput out = Generation.of((GenerativeModel) loaded)
                        .inputs(in)
                        .config(config)
                        .generate();
                assertThat(out.sequences())
                        .as("%s %s", folder, g.get("kwargs"))
                        .isDeepEqualTo(JSON.convertValue(g.get("sequences"), long[][].class));
            }
        }
    }

    private static void compare(String what, Tensor got, Tensor want, JsonNode f, @Nullable Tensor mask) {
        assertThat(got.shape()).as(what).isEqualTo(want.shape());
        float[] g = Tensors.floats(got);
        float[] w = Tensors.floats(want);
        double atol = f.path("atol").asDouble(1e-4);
        double rtol = f.path("rtol").asDouble(1e-3);
        boolean skip = f.path("ignore_padding").asBoolean() && mask != null && want.dim() >= 2;
        long[] shape = want.shape();
        boolean attention = skip && what.contains("attentions") && shape.length == 4;
        boolean positions = skip && mask != null && !attention && shape[0] == mask.size(0) && shape[1] == mask.size(1);
        float[] real = mask != null && skip ? Tensors.floats(mask) : new float[0];
        for (int i = 0; i < w.length; i++) {
            if (mask != null && (attention || positions)) {
                long s = mask.size(1);
                long per = attention ? shape[3] : want.numel() / (shape[0] * shape[1]);
                long row = i / per; // (b, h, query) or (b, s)
                long place = attention ? row / (shape[1] * s) * s + row % s : row;
                if (real[(int) place] == 0) {
                    continue;
                }
            }
            assertThat((double) Math.abs(g[i] - w[i]))
                    .as("%s, element %d: %s instead of %s", what, i, g[i], w[i])
                    .isLessThanOrEqualTo(atol + rtol * Math.abs(w[i]));
        }
    }
}
