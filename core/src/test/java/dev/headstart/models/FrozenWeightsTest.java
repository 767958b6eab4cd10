package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.io.Safetensors;
import dev.headstart.nn.Autocast;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Ops;
import dev.headstart.peft.LoraAdapter;
import dev.headstart.peft.LoraConfig;
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
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Frozen weights that training keeps in bf16: the same steps, and the same fp32 weights afterwards. */
class FrozenWeightsTest {
    @TempDir
    Path temp;

    private Path folder;

    @BeforeEach
    void copy() throws IOException {
        folder = Files.createDirectory(temp.resolve("model"));
        try (Stream<Path> files = Files.list(Shared.require("golden/bert/classification/model"))) {
            for (Path f : files.toList()) {
                Files.copy(f, folder.resolve(f.getFileName()));
            }
        }
    }

    private PreTrainedModel<?> model() {
        return AutoModelForSequenceClassification.fromPretrained(
                folder.toString(), LoadOptions.defaults().withOffline(true));
    }

    private static LoraAdapter adapted(PreTrainedModel<?> model) {
        LoraAdapter adapter = LoraAdapter.create(model, LoraConfig.of(4, 8, List.of(), List.of("classifier")), 1);
        try (NoGradGuard guard = new NoGradGuard()) { // so that the deltas do something, and their A has gradients
            adapter.tensors().forEach((name, t) -> t.add_(new Scalar(name.contains("lora_B") ? 0.01 : 0)));
        }
        return adapter;
    }

    private static Map<String, float[]> values(PreTrainedModel<?> model) {
        Map<String, float[]> all = new LinkedHashMap<>();
        model.namedParameters().forEach((name, p) -> {
            assertThat(Ops.type(p.tensor())).as(name).isNotEqualTo(ScalarType.BFloat16);
            all.put(name, Tensors.floats(p.tensor().detach()));
        });
        return all;
    }

    private static void same(Map<String, float[]> got, Map<String, float[]> expected) {
        assertThat(got.keySet()).isEqualTo(expected.keySet());
        expected.forEach((name, v) -> assertThat(got.get(name)).as(name).containsExactly(v));
    }

    private static List<Linear> inBf16(PreTrainedModel<?> model) {
        return model.linears().stream()
                .filter(l -> Ops.type(l.weight().tensor()) == ScalarType.BFloat16)
                .toList();
    }

    /** Loss and gradients of the adapter under autocast, by name. */
    private static Map<String, float[]> step(PreTrainedModel<?> model, LoraAdapter adapter) {
        torch.manual_seed(5);
        Map<String, float[]> all = new LinkedHashMap<>();
        try (PointerScope scope = new PointerScope()) {
            Tensor loss;
            try (Autocast cast = new Autocast(DeviceType.CPU)) {
                Inputs in = Inputs.of(Map.of(
                        "input_ids",
                        Tensors.int64(new long[][] {{5, 6, 7, 8, 9}, {9, 8, 7, 6, 5}}),
                        "labels",
                        Tensors.int64(new long[] {0, 1})));
                loss = Objects.requireNonNull(model.forward(in).tensors().get("loss"));
            }
            loss.backward();
            all.put("loss", new float[] {loss.item_float()});
            adapter.tensors().forEach((name, t) -> {
                all.put(name, Tensors.floats(t.grad()));
                t.mutable_grad().reset();
            });
        }
        return all;
    }

    @Test
    void stepsAreTheSameAndTheWeightsComeBack() {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = model()) {
            Map<String, float[]> original = values(model);
            LoraAdapter adapter = adapted(model);
            model.train();
            Map<String, float[]> plain = step(model, adapter);
            Map<String, float[]> trained = values(model);
            model.lowerFrozen();
            assertThat(inBf16(model)).hasSize(model.linears().size() - 1); // all but the classifier, which is trained
            assertThat(inBf16(model).stream().map(Linear::name)).doesNotContain("classifier");
            Map<String, float[]> lowered = step(model, adapter);
            same(lowered, plain);
            assertThat(plain.entrySet().stream().filter(e -> e.getKey().contains("lora_A")))
                    .isNotEmpty()
                    .allSatisfy(e -> assertThat(e.getValue()).isNotEqualTo(new float[e.getValue().length]));
            model.eval();
            same(values(model), trained);
            same(values(model), original);
        }
    }

    @Test
    void aSavedAndAMergedModelHaveTheWeightsOfOneThatWasNeverLowered() {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = model();
                PreTrainedModel<?> never = model()) {
            Map<String, float[]> original = values(model);
            LoraAdapter adapter = adapted(model);
            LoraAdapter other = adapted(never);
            model.train();
            model.lowerFrozen();
            model.savePretrained(temp.resolve("saved"));
            assertThat(inBf16(model)).isNotEmpty();
            Map<String, Tensor> saved = Safetensors.readMap(temp.resolve("saved/model.safetensors"));
            original.forEach((name, v) -> assertThat(Tensors.floats(Objects.requireNonNull(saved.get(name), name)))
                    .as(name)
                    .containsExactly(v));
            adapter.merge(); // while it is lowered
            other.merge();
            same(values(model), values(never));
        }
    }

    @Test
    void whatTheCheckpointCannotGiveBackStays() {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = model()) {
            Linear changed = model.linears().get(2);
            try (NoGradGuard guard = new NoGradGuard()) {
                changed.weight().tensor().mul_(new Scalar(1.0001));
            }
            Map<String, float[]> before = values(model);
            adapted(model);
            model.train();
            model.lowerFrozen();
            assertThat(inBf16(model)).isNotEmpty().doesNotContain(changed);
            model.eval();
            same(values(model), before);
        }
    }

    @Test
    void aCheckpointThatChangesMeanwhileIsAnError() {
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = model()) {
            adapted(model);
            model.train();
            model.lowerFrozen();
            Path file = folder.resolve("model.safetensors");
            Map<String, Tensor> tensors = new LinkedHashMap<>(Safetensors.readMap(file));
            String name = inBf16(model).get(0).weight().name();
            tensors.put(name, Objects.requireNonNull(tensors.get(name)).mul(new Scalar(2)));
            Safetensors.write(file, tensors, Map.of());
            assertThatThrownBy(model::eval)
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining(name)
                    .hasMessageContaining("must stay as it is");
            tensors.remove(name);
            Safetensors.write(file, tensors, Map.of());
            assertThatThrownBy(model::eval)
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("no longer holds " + name);
        }
    }

    @Test
    void onlyTrainingLowers() {
        try (PreTrainedModel<?> model = model()) {
            assertThatThrownBy(model::lowerFrozen).isInstanceOf(IllegalStateException.class);
            model.train();
            model.lowerFrozen(); // nothing is frozen
            assertThat(inBf16(model)).isEmpty();
        }
    }
}
