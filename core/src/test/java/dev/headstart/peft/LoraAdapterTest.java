package dev.headstart.peft;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.AdapterFolder;
import dev.headstart.io.Safetensors;
import dev.headstart.models.AutoModelForCausalLM;
import dev.headstart.models.AutoModelForSequenceClassification;
import dev.headstart.models.Inputs;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Adapters that Python peft wrote (conformance/peft_adapters.py), and ours that it reads. */
class LoraAdapterTest {
    private static final LoadOptions OFFLINE = LoadOptions.defaults().withOffline(true);

    @TempDir
    Path temp;

    private static Path golden(String name) {
        return Shared.repositoryRoot().resolve("core/src/test/resources/peft").resolve(name);
    }

    private static PreTrainedModel<?> load(String name, String folder) {
        return name.equals("bert")
                ? AutoModelForSequenceClassification.fromPretrained(
                        folder, OFFLINE.withNumLabels(3).withInit(LoadOptions.Init.NEW_HEAD))
                : AutoModelForCausalLM.fromPretrained(folder, OFFLINE);
    }

    private static void assertLogits(PreTrainedModel<?> model, Map<String, Tensor> expected, String field) {
        try (PointerScope scope = new PointerScope();
                ModelOutput out = model.forward(Inputs.of(Map.of(
                        "input_ids", Objects.requireNonNull(expected.get("input_ids")),
                        "attention_mask", Objects.requireNonNull(expected.get("attention_mask")))))) {
            float[] want = Tensors.floats(Objects.requireNonNull(expected.get(field)));
            float[] found = Tensors.floats(Objects.requireNonNull(out.tensors().get("logits")));
            assertThat(found).hasSameSizeAs(want);
            for (int i = 0; i < want.length; i++) {
                assertThat(found[i]).isCloseTo(want[i], offset(2e-5f));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"bert", "gpt2", "llama", "tied-head", "tied-words", "tied-both", "tied-kept"})
    void anAdapterOfPeftGivesItsNumbersMergedAndNot(String name) throws IOException {
        Map<String, Tensor> expected = Safetensors.readMap(golden(name).resolve("expected.safetensors"));
        Path base = golden(name).resolve("base");
        try (PreTrainedModel<?> model = load(name, base.toString())) {
            LoraAdapter adapter = LoraAdapter.load(model, golden(name).resolve("adapter"));
            assertLogits(model, expected, "adapted");
            adapter.merge();
            assertThat(adapter.isMerged()).isTrue();
            assertLogits(model, expected, "merged");
            adapter.unmerge();
            assertLogits(model, expected, "adapted");
            // What we write is what peft wrote: the same tensors, and a configuration that means the same.
            adapter.save(temp);
            Map<String, Tensor> ours = Safetensors.readMap(temp.resolve("adapter_model.safetensors"));
            Map<String, Tensor> theirs = Safetensors.readMap(golden(name).resolve("adapter/adapter_model.safetensors"));
            assertThat(ours.keySet()).isEqualTo(theirs.keySet());
            theirs.forEach((key, t) -> assertThat(Tensors.floats(Objects.requireNonNull(ours.get(key))))
                    .as(key)
                    .containsExactly(Tensors.floats(t), offset(1e-7f))); // merging and back rounds
            assertThat(LoraConfig.read(temp))
                    .isEqualTo(LoraConfig.read(golden(name).resolve("adapter")));
            String written = System.getProperty("headstart.peft.out"); // for conformance/peft_adapters.py --check
            if (written != null) {
                adapter.save(Path.of(written, name, "java"));
            }
            adapter.remove();
            assertLogits(model, expected, name.equals("bert") ? "adapted" : "base", name.equals("bert"));
        }
    }

    /** After removal the base model answers again; BERT's head was drawn at random, so only a change can be asked for. */
    private static void assertLogits(
            PreTrainedModel<?> model, Map<String, Tensor> expected, String field, boolean differs) {
        if (!differs) {
            assertLogits(model, expected, field);
        } else {
            assertThatThrownBy(() -> assertLogits(model, expected, field)).isInstanceOf(AssertionError.class);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"bert", "gpt2", "llama", "tied-head", "tied-words", "tied-both", "tied-kept"})
    void anAdapterFolderLoadsLikeAModel(String name) throws IOException {
        Map<String, Tensor> expected = Safetensors.readMap(golden(name).resolve("expected.safetensors"));
        Path folder = adapterFolder(name, golden(name).resolve("base").toString());
        try (PreTrainedModel<?> model = name.equals("bert")
                ? AutoModelForSequenceClassification.fromPretrained(folder.toString(), OFFLINE)
                : AutoModelForCausalLM.fromPretrained(folder.toString(), OFFLINE)) {
            assertLogits(model, expected, "merged");
            assertThat(model.state().added()).isEmpty();
            model.savePretrained(temp.resolve("merged"));
        }
        try (PreTrainedModel<?> again = load(name, temp.resolve("merged").toString())) {
            assertLogits(again, expected, "merged");
        }
    }

    private Path adapterFolder(String name, String base) throws IOException {
        Path folder = Files.createDirectories(temp.resolve("adapter-" + name));
        String config = Files.readString(golden(name).resolve("adapter/adapter_config.json"));
        Files.writeString(folder.resolve("adapter_config.json"), config.replace("\"BASE\"", "\"" + base + "\""));
        Files.copy(
                golden(name).resolve("adapter/adapter_model.safetensors"), folder.resolve("adapter_model.safetensors"));
        return folder;
    }

    @Test
    void anAdapterWithoutAFittingBaseIsRefused() throws IOException {
        Path none = adapterFolder("bert", "BASE");
        Files.writeString(none.resolve("adapter_config.json"), "{\"peft_type\": \"LORA\"}");
        assertThat(AdapterFolder.is(none)).isTrue();
        assertThatThrownBy(() -> AutoModelForSequenceClassification.fromPretrained(none.toString(), OFFLINE))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("base_model_name_or_path names no model");
        Path wrong = adapterFolder("gpt2", golden("bert").resolve("base").toString());
        assertThatThrownBy(() -> AutoModelForSequenceClassification.fromPretrained(wrong.toString(), OFFLINE))
                .isInstanceOf(HeadstartException.class);
    }
}
