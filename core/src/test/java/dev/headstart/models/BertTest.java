package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.io.Safetensors;
import dev.headstart.models.Bert.BertForMaskedLM;
import dev.headstart.models.Bert.BertForSequenceClassification;
import dev.headstart.models.Bert.BertModel;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Precision;
import dev.headstart.testing.Shared;
import dev.headstart.text.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** BERT as users meet it: the introduction's example on the real weights, life of a model, and damaged folders. */
class BertTest {
    private static final LoadOptions CPU = LoadOptions.defaults().withDevice("cpu");

    private static Path tiny(String name) {
        return Shared.repositoryRoot().resolve("core/src/test/resources/encoders/" + name + "/model");
    }

    private static BertModel base() {
        return BertModel.fromPretrained(tiny("bert-base").toString(), CPU);
    }

    private static Inputs ids(long... ids) {
        return Inputs.of(Map.of("input_ids", Tensors.int64(new long[][] {ids})));
    }

    @Test
    void theIntroductionsExample() {
        try (var tokenizer = Tokenizer.fromPretrained("bert-base-uncased", CPU.withOffline(true));
                var model = BertModel.fromPretrained("bert-base-uncased", CPU.withOffline(true));
                var outputs =
                        model.forward(tokenizer.encode("Artificial intelligence is revolutionizing industries."))) {
            assertThat(outputs.lastHiddenState().shape()).containsExactly(1, 9, 768);
            float[] first = Tensors.floats(outputs.lastHiddenState());
            float[] pooled = Tensors.floats(Objects.requireNonNull(outputs.poolerOutput()));
            float[] wantFirst = {0.0145f, 0.1889f, -0.1653f, 0.0691f, -0.4779f};
            float[] wantPooled = {-0.9650f, -0.7246f, -0.9940f, 0.9239f, 0.8873f};
            for (int i = 0; i < 5; i++) {
                assertThat(first[i]).isCloseTo(wantFirst[i], offset(1e-4f));
                assertThat(pooled[i]).isCloseTo(wantPooled[i], offset(1e-4f));
            }
        } catch (HeadstartException e) {
            String message = String.valueOf(e.getMessage());
            Assumptions.assumeFalse(
                    message.contains("not on this machine") || message.contains("offline"),
                    () ->
                            "skipped: bert-base-uncased is not on this machine (headstart models fetch bert-base-uncased): "
                                    + message);
            throw e;
        }
    }

    @Test
    void aThousandCallsLeaveNoNativeMemoryBehind() {
        try (BertModel model = base();
                PointerScope scope = new PointerScope()) {
            Inputs in = ids(2, 5, 6, 7, 3);
            for (int i = 0; i < 50; i++) {
                model.forward(in).close();
            }
            long before = Pointer.totalCount();
            for (int i = 0; i < 1000; i++) {
                model.forward(in).close();
            }
            assertThat(Pointer.totalCount() - before).isLessThan(50);
        }
    }

    @Test
    void packedLayersGiveTheSameAndTrainingGetsTheWeightsBack() {
        try (PointerScope scope = new PointerScope();
                BertModel model = base()) {
            Linear layer = model.linears().get(0);
            float[] weight = Tensors.floats(layer.weight().tensor());
            Inputs in = ids(2, 5, 6, 7, 3);
            float[] plain = Tensors.floats(model.forward(in).lastHiddenState());
            model.optimize(Precision.FP32);
            assertThat(layer.kernelName()).isEqualTo("packed-fp32");
            float[] packed = Tensors.floats(model.forward(in).lastHiddenState());
            for (int i = 0; i < plain.length; i++) {
                assertThat(packed[i]).isCloseTo(plain[i], offset(1e-5f));
            }
            assertThatThrownBy(() -> layer.forward(torch.ones(1, layer.in())))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("has no gradient");
            model.train();
            assertThat(layer.kernelName()).isEqualTo("plain");
            assertThat(Tensors.floats(layer.weight().tensor())).isEqualTo(weight);
            model.forward(in).lastHiddenState().sum().backward();
            assertThat(layer.weight().tensor().grad().defined()).isTrue();
        }
    }

    @Test
    void closedModelsRefuseCalls() {
        BertModel model = base();
        model.close();
        model.close();
        try (PointerScope scope = new PointerScope()) {
            assertThatThrownBy(() -> model.forward(ids(2, 3)))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessage("BertModel is closed");
        }
    }

    @Test
    void callsFromManyThreadsAgreeAndCloseWaits() throws InterruptedException {
        BertModel model = base();
        float[] want;
        try (PointerScope scope = new PointerScope()) {
            want = Tensors.floats(model.forward(ids(2, 5, 6, 7, 3)).lastHiddenState());
        }
        AtomicInteger same = new AtomicInteger();
        Thread[] threads = new Thread[16];
        for (int t = 0; t < threads.length; t++) {
            threads[t] = new Thread(() -> {
                for (int i = 0; i < 20; i++) {
                    try (PointerScope scope = new PointerScope();
                            var out = model.forward(ids(2, 5, 6, 7, 3))) {
                        same.addAndGet(java.util.Arrays.equals(want, Tensors.floats(out.lastHiddenState())) ? 1 : 0);
                    }
                }
            });
            threads[t].start();
        }
        for (Thread t : threads) {
            t.join();
        }
        model.close();
        assertThat(same.get()).isEqualTo(16 * 20);
    }

    @Test
    void savedModelsLoadAgain(@TempDir Path folder) {
        try (PointerScope scope = new PointerScope();
                var model =
                        BertForMaskedLM.fromPretrained(tiny("bert-masked-lm").toString(), CPU)) {
            model.savePretrained(folder);
            float[] want = Tensors.floats(model.forward(ids(2, 5, 6, 7, 3)).logits());
            try (var again = BertForMaskedLM.fromPretrained(folder.toString(), CPU)) {
                assertThat(Tensors.floats(again.forward(ids(2, 5, 6, 7, 3)).logits()))
                        .isEqualTo(want);
            }
        }
    }

    @Test
    void aNewHeadIsMadeOnlyWhenAskedFor() {
        String base = tiny("bert-base").toString();
        assertThatThrownBy(() -> BertForSequenceClassification.fromPretrained(base, CPU))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("classifier.weight")
                .hasMessageContaining("are missing");
        LoadOptions fresh =
                CPU.withInit(LoadOptions.Init.NEW_HEAD).withNumLabels(3).withSeed(7);
        try (PointerScope scope = new PointerScope();
                var model = BertForSequenceClassification.fromPretrained(base, fresh);
                var again = BertForSequenceClassification.fromPretrained(base, fresh)) {
            float[] logits = Tensors.floats(model.forward(ids(2, 5, 3)).logits());
            assertThat(logits)
                    .hasSize(3)
                    .isEqualTo(Tensors.floats(again.forward(ids(2, 5, 3)).logits()));
        }
    }

    // === Bad input ===

    private static void fails(ThrowingCallable call, String... parts) {
        assertThatThrownBy(call).isInstanceOf(HeadstartException.class).satisfies(e -> {
            String message = String.valueOf(e.getMessage());
            assertThat(message).doesNotContain("\n");
            for (String part : parts) {
                assertThat(message).contains(part);
            }
        });
    }

    private static Path copy(Path to, Consumer<Map<String, Tensor>> change) throws IOException {
        Files.copy(tiny("bert-base").resolve("config.json"), to.resolve("config.json"));
        Map<String, Tensor> tensors =
                new LinkedHashMap<>(Safetensors.readMap(tiny("bert-base").resolve("model.safetensors")));
        change.accept(tensors);
        Safetensors.write(to.resolve("model.safetensors"), tensors);
        return to;
    }

    @Test
    void damagedFoldersAreNamed(@TempDir Path dir) throws IOException {
        try (PointerScope scope = new PointerScope()) {
            Path empty = Files.createDirectory(dir.resolve("empty"));
            fails(() -> BertModel.fromPretrained(empty.toString(), CPU), "config.json");

            Path wrong = Files.createDirectory(dir.resolve("wrong"));
            Files.writeString(wrong.resolve("config.json"), "{\"model_type\": \"bert\", \"hidden_size\": \"x\"}");
            Files.copy(tiny("bert-base").resolve("model.safetensors"), wrong.resolve("model.safetensors"));
            fails(() -> BertModel.fromPretrained(wrong.toString(), CPU), "hidden_size", "whole number", "\"x\"");
            Files.writeString(wrong.resolve("config.json"), "{\"model_type\": ");
            fails(() -> BertModel.fromPretrained(wrong.toString(), CPU), "config.json", "not valid JSON");
            Files.writeString(
                    wrong.resolve("config.json"),
                    "{\"model_type\": \"nonesuch\", \"auto_map\": {\"AutoModel\": \"x.Y\"}}");
            fails(() -> AutoModel.fromPretrained(wrong.toString(), CPU), "auto_map", "never runs");

            String layer = "encoder.layer.0.output.dense.weight";
            Path missing = copy(Files.createDirectory(dir.resolve("missing")), m -> m.remove(layer));
            fails(() -> BertModel.fromPretrained(missing.toString(), CPU), "model.safetensors", layer, "missing");
            Path shape = copy(Files.createDirectory(dir.resolve("shape")), m -> m.put(layer, torch.ones(3, 4)));
            fails(
                    () -> BertModel.fromPretrained(shape.toString(), CPU),
                    layer,
                    "has shape [3, 4]",
                    "hidden_size",
                    "do not belong together");
            Path nan = copy(
                    Files.createDirectory(dir.resolve("nan")),
                    m -> m.put(layer, Objects.requireNonNull(m.get(layer)).mul(new Scalar(Double.NaN))));
            fails(() -> BertModel.fromPretrained(nan.toString(), CPU), layer, "NaN");

            Path cut = copy(Files.createDirectory(dir.resolve("cut")), m -> {});
            byte[] bytes = Files.readAllBytes(cut.resolve("model.safetensors"));
            Files.write(cut.resolve("model.safetensors"), java.util.Arrays.copyOf(bytes, bytes.length / 2));
            fails(() -> BertModel.fromPretrained(cut.toString(), CPU), "model.safetensors");
        }
    }

    @Test
    void labelsThatTheModelHasNoClassForAreNamed() {
        try (PointerScope scope = new PointerScope();
                var model = BertForSequenceClassification.fromPretrained(
                        tiny("bert-classification").toString(), CPU)) {
            for (long label : new long[] {77, -1}) {
                fails(
                        () -> model.forward(ids(2, 5, 3).with("labels", Tensor.create(label))),
                        "labels: " + label + " is outside 0..",
                        "num_labels");
            }
            model.forward(ids(2, 5, 3).with("labels", Tensor.create(0L))).close();
        }
    }

    @Test
    void wrongInputsAreNamed() {
        try (PointerScope scope = new PointerScope();
                BertModel model = base()) {
            fails(() -> model.forward(Inputs.of(Map.of())), "input_ids", "missing");
            fails(() -> model.forward(ids(2, 1_000_000)), "input_ids", "1000000", "outside");
            long[] longText = new long[model.maxLength() + 1];
            fails(() -> model.forward(ids(longText)), "at most " + model.maxLength());
            fails(
                    () -> model.forward(Inputs.of(Map.of("input_ids", torch.ones(1, 4)))),
                    "input_ids: expected whole numbers of shape [batch, length], found [1, 4] float");
            fails(
                    () -> model.forward(Inputs.of(Map.of("input_ids", Tensor.create(2L, 5L, 3L)))),
                    "input_ids",
                    "found [3] long");
            fails(() -> model.forward(ids()), "input_ids", "found [1, 0] long");
            Tensor five = torch.ones(1, 5).to(torch.ScalarType.Long);
            fails(
                    () -> model.forward(ids(2, 5, 6, 3).with("attention_mask", five)),
                    "attention_mask: expected the shape of input_ids, [1, 4], found [1, 5] long");
            fails(() -> model.forward(ids(2, 5, 6, 3).with("token_type_ids", five)), "token_type_ids", "[1, 5] long");
            fails(
                    () -> model.forward(ids(2, 5, 6, 3).with("position_ids", five)),
                    "BertModel cannot compute with these inputs",
                    "position_ids [1, 5] long",
                    "check their shapes");
            fails(() -> model.forward(ids(2, 3).with("colour", torch.ones(1))), "takes no colour", "input_ids");
        }
    }
}
