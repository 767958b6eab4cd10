package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.ModelFolder;
import dev.headstart.io.Safetensors;
import dev.headstart.nn.Ops;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.assertj.core.data.Offset;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The life of BERT's relatives beside their numbers, which TextGoldenTest compares. */
class EncodersTest {
    private static final LoadOptions CPU = LoadOptions.defaults().withDevice("cpu");

    static List<Path> cases() throws IOException {
        try (Stream<Path> all = Files.list(Shared.repositoryRoot().resolve("core/src/test/resources/encoders"))) {
            return all.filter(c -> c.getFileName()
                            .toString()
                            .matches("(bert|roberta|xlm-roberta|distilbert|electra|albert|mpnet)-.*"))
                    .sorted()
                    .toList();
        }
    }

    private static Path folder(String name) {
        return Shared.repositoryRoot().resolve("core/src/test/resources/encoders/" + name + "/model");
    }

    private static PreTrainedModel<?> load(Path folder) {
        return Models.load(new ModelFolder(folder.toString(), folder, false), null, CPU);
    }

    private static Inputs ids(int n) {
        return Inputs.of(Map.of("input_ids", Tensors.int64(new long[][] {
            LongStream.range(0, n).map(i -> 4 + i % 20).toArray()
        })));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void savesWhatTransformersSaves(Path golden, @TempDir Path to) {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = load(golden.resolve("model"))) {
            model.savePretrained(to);
            Map<String, Tensor> want = Safetensors.readMap(golden.resolve("model/model.safetensors"));
            Map<String, Tensor> got = Safetensors.readMap(to.resolve("model.safetensors"));
            assertThat(got).containsOnlyKeys(want.keySet());
            want.forEach((name, t) -> assertThat(torch.equal(Objects.requireNonNull(got.get(name)), t))
                    .as(name)
                    .isTrue());
        }
    }

    @ParameterizedTest
    @CsvSource({
        "roberta-base-given-positions, 14", // 16 places, of which padding has the first two
        "roberta-base-positions, 12", // pad_token_id 3
        "xlm-roberta-masked-lm, 14",
        "mpnet-base-pad, 14", // counts from 1 although pad_token_id is 3
        "distilbert-base-sinusoids, 16",
        "electra-base-same-size, 16",
        "albert-base-groups, 16"
    })
    void takesAsManyTokensAsItHasPlaces(String name, int most) {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = load(folder(name))) {
            assertThat(model.maxLength()).isEqualTo(most);
            model.forward(ids(most)).close();
            assertThatThrownBy(() -> model.forward(ids(most + 1)))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("the input has " + (most + 1) + " tokens, the model takes at most " + most);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "roberta-base-positions, RobertaForSequenceClassification, RobertaForMaskedLM",
        "distilbert-base-sinusoids, DistilBertForSequenceClassification, DistilBertForMaskedLM",
        "electra-base-same-size, ElectraForSequenceClassification, ElectraForPreTraining",
        "albert-base-groups, AlbertForSequenceClassification, AlbertForPreTraining",
        "mpnet-base-pad, MPNetForSequenceClassification, MPNetForMaskedLM"
    })
    void aNewHeadIsMadeOnlyWhenAskedFor(String name, String classifier, String preTraining) {
        String base = folder(name).toString();
        assertThatThrownBy(() -> AutoModelForSequenceClassification.fromPretrained(base, CPU))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("classifier.")
                .hasMessageContaining("are missing");
        LoadOptions fresh = CPU.withInit(LoadOptions.Init.NEW_HEAD);
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model =
                        AutoModelForSequenceClassification.fromPretrained(base, fresh.withNumLabels(3));
                PreTrainedModel<?> again = AutoModelForPreTraining.fromPretrained(base, fresh);
                ModelOutput out = model.forward(ids(5))) {
            assertThat(model.getClass().getSimpleName()).isEqualTo(classifier);
            assertThat(again.getClass().getSimpleName()).isEqualTo(preTraining);
            assertThat(Objects.requireNonNull(out.tensors().get("logits")).shape())
                    .containsExactly(1, 3);
            assertThat(model).isInstanceOf(FeatureHead.class);
            assertThat(model.config().size("hidden_size", 1)).isEqualTo(8);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "bert-classification",
                "roberta-classification-many",
                "distilbert-classification-many",
                "electra-classification",
                "albert-classification",
                "mpnet-classification"
            })
    void featuresOfTheFirstTokenAreEnoughForTheHead(String name) {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = load(folder(name));
                ModelOutput whole = model.forward(ids(7).withHiddenStates(true))) {
            Tensor last = Objects.requireNonNull(
                    whole.tensors().get("hidden_states." + model.config().size("num_hidden_layers", 0)));
            try (ModelOutput head = model.forward(Inputs.of(Map.of("features", last.select(1, 0))))) {
                assertThat(Tensors.floats(Objects.requireNonNull(head.tensors().get("logits"))))
                        .containsExactly(
                                Tensors.floats(
                                        Objects.requireNonNull(whole.tensors().get("logits"))),
                                Offset.offset(1e-5f));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"bfloat16", "float16"})
    void otherTypesStayNear(String type) throws IOException {
        for (Path golden : cases()) {
            Path model = golden.resolve("model");
            try (PointerScope scope = new PointerScope();
                    PreTrainedModel<?> low =
                            Models.load(new ModelFolder(model.toString(), model, false), null, CPU.withDtype(type))) {
                Map<String, Tensor> in = new LinkedHashMap<>(Safetensors.readMap(golden.resolve("inputs.safetensors")));
                in.keySet().removeIf(n -> n.contains("label") || n.endsWith("_positions"));
                in.replaceAll((n, t) -> t.is_floating_point() ? t.to(Ops.typeNamed(type)) : t);
                Map<String, Tensor> want = Safetensors.readMap(golden.resolve("outputs.safetensors"));
                try (ModelOutput out = low.forward(Inputs.of(in))) {
                    out.tensors().forEach((name, t) -> {
                        float[] w = Tensors.floats(Objects.requireNonNull(want.get(name)));
                        float[] g = Tensors.floats(t);
                        double distance = 0;
                        double size = 1e-3;
                        for (int i = 0; i < w.length; i++) {
                            distance += (g[i] - w[i]) * (g[i] - w[i]);
                            size += w[i] * w[i];
                        }
                        assertThat(Math.sqrt(distance / size))
                                .as("%s %s", golden, name)
                                .isLessThan(0.1);
                    });
                }
            }
        }
    }

    @Test
    void newSinusoidalPositionsAreSinesAndCosines() throws IOException {
        ConfigJson config = ConfigJson.read(folder("distilbert-base-sinusoids").resolve("config.json"));
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = Models.fromConfig(config, "DistilBertModel", CPU)) {
            Tensor table = Objects.requireNonNull(model.namedParameters().get("embeddings.position_embeddings.weight"))
                    .tensor();
            float[] row = Tensors.floats(table.select(0, 3)); // size 8
            for (int j = 0; j < row.length; j++) {
                double angle = 3 / Math.pow(10000, (j - j % 2) / 8.0);
                assertThat(row[j])
                        .isCloseTo((float) (j % 2 == 0 ? Math.sin(angle) : Math.cos(angle)), Offset.offset(1e-6f));
            }
        }
    }

    @Test
    void manyCallsLeaveNoNativeMemoryBehind() {
        for (String name :
                List.of("roberta-base-positions", "electra-base-same-size", "albert-base-groups", "mpnet-base-pad")) {
            try (PointerScope scope = new PointerScope();
                    PreTrainedModel<?> model = load(folder(name))) {
                Inputs in = ids(9);
                for (int i = 0; i < 20; i++) {
                    model.forward(in).close();
                }
                long before = Pointer.totalCount();
                for (int i = 0; i < 200; i++) {
                    model.forward(in).close();
                }
                assertThat(Pointer.totalCount() - before).as(name).isLessThan(50);
            }
        }
    }

    @Test
    void wrongInputsAreNamed() {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> roberta = load(folder("roberta-base-given-positions"));
                PreTrainedModel<?> albert = load(folder("albert-base-groups"))) {
            assertThatThrownBy(() -> roberta.forward(ids(5).with(
                                    "position_ids", Tensors.int64(new long[][] {{0, 1, 2, 3, 16}}))))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("position_ids: 16 is outside 0..15");
            assertThatThrownBy(() -> albert.forward(ids(5).with(
                                    "token_type_ids", Tensors.int64(new long[][] {{0, 0, 2, 0, 0}}))))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("token_type_ids: 2 is outside 0..1");
            assertThatThrownBy(() -> albert.forward(Inputs.of(Map.of())))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("input_ids is missing");
        }
    }

    @Test
    void wrongConfigurationsAreNamed(@TempDir Path dir) throws IOException {
        Files.copy(folder("electra-multiple-choice").resolve("model.safetensors"), dir.resolve("model.safetensors"));
        String config = Files.readString(folder("electra-multiple-choice").resolve("config.json"));
        Files.writeString(
                dir.resolve("config.json"),
                config.replace("\"summary_type\": \"first\"", "\"summary_type\": \"attn\""));
        assertThatThrownBy(() -> load(dir))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining(
                        "config.json: summary_type must be first, last, mean or cls_index, found \"attn\"");
        Files.writeString(
                dir.resolve("config.json"), config.replace("\"num_attention_heads\": 2", "\"num_attention_heads\": 3"));
        assertThatThrownBy(() -> load(dir))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("hidden_size 8 must be a multiple of num_attention_heads 3");
    }
}
