package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.data.Offset.offset;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.LoadOptions;
import dev.headstart.hub.ModelFolder;
import dev.headstart.nn.Precision;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Texts without padding give at every real position what the padded call gives: plain and packed kernels, every encoder family. */
class PackingTest {
    private static final List<String> FAMILIES =
            List.of("bert", "roberta", "xlm-roberta", "distilbert", "electra", "albert", "mpnet", "modernbert");
    private static final int[] LENGTHS = {11, 11, 7, 7, 7, 4, 9, 3};

    static Stream<Path> cases() throws IOException {
        Path shared = Shared.root().resolve("golden");
        return Stream.concat(FAMILIES.stream().map(f -> shared.resolve(f).resolve("base")), own())
                .filter(c -> Files.exists(c.resolve("case.json")));
    }

    private static Stream<Path> own() throws IOException {
        Path folder = Shared.repositoryRoot().resolve("core/src/test/resources/encoders");
        try (Stream<Path> all = Files.list(folder)) {
            return all.sorted().toList().stream();
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void equalsThePaddedCall(Path folder) throws IOException {
        String architecture = new ObjectMapper()
                .readTree(folder.resolve("case.json").toFile())
                .path("architecture")
                .asText();
        if (architecture.endsWith("MultipleChoice")) {
            return; // its inputs have another shape
        }
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = Models.load(
                        new ModelFolder(folder.toString(), folder.resolve("model"), false),
                        architecture,
                        LoadOptions.defaults().withDevice("cpu"))) {
            same(model, 1e-5);
            model.optimize(Precision.FP32);
            same(model, 1e-5);
            model.optimize(Precision.BF16);
            same(model, 0.06);
        }
    }

    private static void same(PreTrainedModel<?> model, double tolerance) {
        int longest = Arrays.stream(LENGTHS).max().orElseThrow();
        long[][] ids = new long[LENGTHS.length][longest];
        long[][] mask = new long[LENGTHS.length][longest];
        int pad = model.config().integer("pad_token_id", 0);
        for (int r = 0; r < LENGTHS.length; r++) {
            for (int s = 0; s < longest; s++) {
                ids[r][s] = s < LENGTHS[r] ? 5 + (r * 31 + s * 7) % 20 : pad;
                mask[r][s] = s < LENGTHS[r] ? 1 : 0;
            }
        }
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put("input_ids", Tensors.int64(ids));
        tensors.put("attention_mask", Tensors.int64(mask));
        Inputs in = Inputs.of(tensors);
        try (ModelOutput padded = model.forward(in);
                ModelOutput packed = model.forward(in.withLengths(LENGTHS))) {
            padded.tensors().forEach((name, t) -> {
                Tensor other = Objects.requireNonNull(packed.tensors().get(name));
                assertThat(other.shape()).isEqualTo(t.shape());
                for (int r = 0; r < LENGTHS.length; r++) {
                    boolean byToken = t.dim() >= 2 && t.size(1) == longest;
                    float[] want = Tensors.floats(byToken ? t.select(0, r).narrow(0, 0, LENGTHS[r]) : t.select(0, r));
                    float[] got =
                            Tensors.floats(byToken ? other.select(0, r).narrow(0, 0, LENGTHS[r]) : other.select(0, r));
                    for (int i = 0; i < want.length; i++) {
                        assertThat((double) got[i])
                                .as("%s row %d", name, r)
                                .isCloseTo(want[i], offset(tolerance * (1 + Math.abs(want[i]))));
                    }
                }
            });
        }
    }
}
