package dev.headstart.pipeline;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.LoadOptions;
import dev.headstart.hub.ModelFolder;
import dev.headstart.io.Safetensors;
import dev.headstart.models.ConfigJson;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.testing.Shared;
import dev.headstart.text.Encoding;
import dev.headstart.text.Encodings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The way that pipelines and {@code extract} compute (sorted, batched by tokens, packed weights) against transformers' padded outputs, at the real
 * positions of every golden case of an encoder with a mask.
 */
class FastPathTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final LoadOptions CPU = LoadOptions.defaults().withDevice("cpu");

    static Stream<Path> cases() throws IOException {
        List<Path> all = new ArrayList<>();
        try (Stream<Path> own = Files.list(Shared.repositoryRoot().resolve("core/src/test/resources/encoders"))) {
            own.forEach(all::add);
        }
        Path shared = Shared.root().resolve("golden");
        if (Files.isDirectory(shared)) {
            try (Stream<Path> cases = Files.find(
                    shared, 3, (path, attributes) -> path.endsWith("case.json") && attributes.isRegularFile())) {
                cases.map(Path::getParent).forEach(all::add);
            }
        }
        return all.stream().sorted().filter(FastPathTest::fits);
    }

    /** Every case of a family there is that texts go into as pipelines make them: tokens alone, the mask's padding on the right. */
    private static boolean fits(Path folder) {
        Path config = folder.resolve("model/config.json");
        if (!Files.exists(folder.resolve("model/tokenizer.json"))
                || !Files.exists(config)
                || !Files.exists(folder.resolve("inputs.safetensors"))
                || Files.exists(folder.resolve("adapter"))) {
            return false;
        }
        String family = ConfigJson.read(config).modelType();
        if (Models.families().stream().noneMatch(f -> f.modelType().equals(family))) {
            return false;
        }
        try (PointerScope scope = new PointerScope()) {
            Map<String, Tensor> in = Safetensors.readMap(folder.resolve("inputs.safetensors"));
            Tensor mask = in.get("attention_mask");
            return mask != null
                    && mask.dim() == 2
                    && in.containsKey("input_ids")
                    && !Safetensors.readMap(folder.resolve("outputs.safetensors"))
                            .containsKey("encoder_last_hidden_state") // sequence to sequence
                    && in.keySet().stream().allMatch(FastPathTest::fromTokenizer)
                    && IntStream.range(0, (int) mask.size(0))
                            .mapToObj(r -> Tensors.longs(mask.select(0, r)))
                            .allMatch(FastPathTest::paddedOnTheRight);
        }
    }

    private static boolean fromTokenizer(String input) {
        return Set.of("input_ids", "attention_mask", "token_type_ids").contains(input)
                || input.contains("label")
                || input.endsWith("_positions");
    }

    private static boolean paddedOnTheRight(long[] mask) {
        return IntStream.range(1, mask.length).allMatch(i -> mask[i] <= mask[i - 1]);
    }

    @Test
    void familiesAreThere() throws IOException {
        List<String> found = cases().map(
                        c -> ConfigJson.read(c.resolve("model/config.json")).modelType())
                .distinct()
                .toList();
        assertThat(found).contains("bert");
        if (Files.isDirectory(Shared.root().resolve("golden"))) {
            assertThat(found).contains("roberta", "modernbert", "deberta-v2", "mpnet", "distilbert");
        }
    }

    /** A pipeline that hands on what the model says. */
    private static final class Probe extends TextPipeline {
        Probe(Path model, String architecture, PipelineOptions options) {
            super(model.toString(), () -> load(model, architecture), options);
        }

        private static PreTrainedModel<?> load(Path model, String architecture) {
            return Models.load(new ModelFolder(model.toString(), model, false), architecture, CPU);
        }

        @Override
        public List<?> run(List<String> inputs, JsonNode kwargs) {
            throw new UnsupportedOperationException();
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void equalsThePaddedForwardAtRealPositions(Path folder) throws IOException {
        JsonNode golden = JSON.readTree(folder.resolve("case.json").toFile());
        Path model = folder.resolve("model");
        try (PointerScope scope = new PointerScope()) {
            Map<String, Tensor> in = Safetensors.readMap(folder.resolve("inputs.safetensors"));
            Map<String, Tensor> want = Safetensors.readMap(folder.resolve("outputs.safetensors"));
            List<Encoding> rows = rows(in);
            long padded = Objects.requireNonNull(in.get("attention_mask")).size(1);
            double atol = golden.at("/forward/atol").asDouble(1e-4);
            double rtol = golden.at("/forward/rtol").asDouble(1e-3);
            for (int tokens : new int[] {1, (int) padded * 2, 2048}) { // single, two together, all together
                PipelineOptions options = PipelineOptions.DEFAULT.withLoad(CPU).withBatchTokens(tokens);
                try (Probe probe = new Probe(model, golden.path("architecture").asText(), options)) {
                    compare(
                            folder + " plain, batches of " + tokens,
                            probe,
                            rows,
                            rows.size(),
                            want,
                            padded,
                            atol,
                            rtol);
                    assertThat(probe.model.linears().get(0).kernelName()).isEqualTo("plain");
                    compare(folder + " packed, batches of " + tokens, probe, rows, 60, want, padded, atol, rtol);
                    assertThat(probe.model.linears().get(0).kernelName()).isEqualTo("packed-fp32");
                }
            }
            Tensor last = want.get("last_hidden_state");
            if (last != null) {
                features(model, rows, last, atol, rtol);
            }
        }
    }

    /** Real tokens of each row; a golden whose mask has holes would need another test. */
    private static List<Encoding> rows(Map<String, Tensor> in) {
        Tensor ids = Objects.requireNonNull(in.get("input_ids"));
        Tensor types = in.get("token_type_ids");
        Tensor mask = Objects.requireNonNull(in.get("attention_mask"));
        List<Encoding> rows = new ArrayList<>();
        for (int r = 0; r < ids.size(0); r++) {
            long[] m = Tensors.longs(mask.select(0, r));
            int n = (int) Arrays.stream(m).sum();
            assertThat(Arrays.copyOf(m, n)).containsOnly(1L);
            rows.add(Encodings.of(row(ids, r, n), types == null ? null : row(types, r, n)));
        }
        return rows;
    }

    private static long[] row(Tensor t, int r, int n) {
        return Arrays.copyOf(Tensors.longs(t.select(0, r)), n);
    }

    private static void compare(
            String what,
            Probe probe,
            List<Encoding> rows,
            int times,
            Map<String, Tensor> want,
            long padded,
            double atol,
            double rtol) {
        List<Encoding> all = IntStream.range(0, times)
                .mapToObj(i -> rows.get(i * 7 % rows.size()))
                .toList();
        List<Integer> seen = new ArrayList<>(Collections.nCopies(times, 0));
        probe.infer(all, true, (some, out) -> {
            Map<String, Tensor> got = out.tensors();
            want.forEach((name, w) -> {
                if (w.dim() < 2 || name.startsWith("attentions")) {
                    return;
                }
                Tensor g = Objects.requireNonNull(got.get(name), name);
                for (int r = 0; r < some.length; r++) {
                    int row = some[r] * 7 % rows.size();
                    Tensor one = w.select(0, row);
                    Tensor mine = g.select(0, r);
                    if (one.size(0) == padded) { // by position
                        int n = rows.get(row).length();
                        one = one.narrow(0, 0, n);
                        mine = mine.narrow(0, 0, n);
                    }
                    close(what + " " + name + " row " + row, Tensors.floats(mine), Tensors.floats(one), atol, rtol);
                }
            });
            for (int r : some) {
                seen.set(r, seen.get(r) + 1);
            }
        });
        assertThat(seen).as(what).containsOnly(1);
    }

    private static void features(Path model, List<Encoding> rows, Tensor last, double atol, double rtol) {
        PipelineOptions options = PipelineOptions.DEFAULT.withLoad(CPU);
        try (FeatureExtractor extractor =
                new FeatureExtractor(model.toString(), options, FeatureExtractor.Pooling.NONE, null)) {
            List<float[]> got = extractor.features(rows);
            for (int r = 0; r < rows.size(); r++) {
                Tensor real = last.select(0, r).narrow(0, 0, rows.get(r).length());
                close(model + " features of row " + r, got.get(r), Tensors.floats(real), atol, rtol);
            }
        }
    }

    private static void close(String what, float @Nullable [] got, float[] want, double atol, double rtol) {
        assertThat(got).as(what).hasSameSizeAs(want);
        for (int i = 0; i < want.length; i++) {
            assertThat((double) Math.abs(Objects.requireNonNull(got)[i] - want[i]))
                    .as("%s, element %d: %s instead of %s", what, i, got[i], want[i])
                    .isLessThanOrEqualTo(atol + rtol * Math.abs(want[i]));
        }
    }
}
