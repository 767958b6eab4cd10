package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Precision;
import dev.headstart.testing.Shared;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code to(dtype)} and {@code to(device)} on loaded models. */
class ConversionTest {
    private static final LoadOptions CPU = LoadOptions.defaults().withDevice("cpu");
    private static final String CONVOLUTIONS = "vision-golden/mobilenet_v2/segmentation/model";
    private static final String BERT = "encoders/bert-masked-lm/model";

    private static PreTrainedModel<?> load(String folder, LoadOptions options) {
        Path path = Shared.repositoryRoot().resolve("core/src/test/resources").resolve(folder);
        return Models.fromPretrained(path.toString(), options);
    }

    private static float[] logits(PreTrainedModel<?> model) {
        try (PointerScope scope = new PointerScope()) {
            Inputs in = model.config().modelType().equals("bert")
                            || model.config().modelType().equals("llama")
                    ? Inputs.of(Map.of("input_ids", Tensors.int64(new long[][] {{2, 5, 9, 13, 3}})))
                    : Inputs.of(Map.of(
                            "pixel_values",
                            torch.arange(new Scalar(3 * 32 * 32))
                                    .sin()
                                    .view(1, 3, 32, 32)
                                    .to(Ops.type(any(model)))));
            try (ModelOutput out = model.forward(in)) {
                Tensor logits = Objects.requireNonNull(out.tensors().get("logits"));
                assertThat(Ops.type(logits)).isEqualTo(Ops.type(any(model)));
                return Tensors.floats(logits);
            }
        }
    }

    private static Tensor any(PreTrainedModel<?> model) {
        return model.namedParameters().values().iterator().next().tensor();
    }

    @ParameterizedTest
    @ValueSource(strings = {BERT, "decoders/llama-rope-yarn/model", CONVOLUTIONS})
    void equalsLoadingInThatType(String folder) {
        try (PreTrainedModel<?> model = load(folder, CPU);
                PreTrainedModel<?> loaded = load(folder, CPU.withDtype("bfloat16"))) {
            float[] before = logits(model);
            model.to("bf16");
            for (Parameter p : model.namedParameters().values()) {
                ScalarType want = p.name().endsWith("num_batches_tracked") ? ScalarType.Long : ScalarType.BFloat16;
                assertThat(Ops.type(p.tensor())).as(p.name()).isEqualTo(want);
            }
            assertThat(logits(model)).containsExactly(logits(loaded));
            assertThat(model.config().text("dtype", "")).isEqualTo("bfloat16");
            model.to("float64");
            model.to("cpu");
            assertThat(logits(model)).hasSameSizeAs(before);
        }
    }

    @Test
    void thereAndBackIsTheSameModel(@TempDir Path folder) {
        try (PreTrainedModel<?> model = load(BERT, CPU)) {
            float[] before = logits(model);
            model.to("float64");
            float[] wide = logits(model);
            for (int i = 0; i < before.length; i++) {
                assertThat(wide[i]).isCloseTo(before[i], offset(1e-5f));
            }
            model.to("float32");
            assertThat(logits(model)).containsExactly(before);
            model.to("bfloat16");
            model.savePretrained(folder);
            try (PreTrainedModel<?> again = Models.fromPretrained(folder.toString(), CPU.withDtype("auto"))) {
                assertThat(Ops.type(any(again))).isEqualTo(ScalarType.BFloat16);
                assertThat(logits(again)).containsExactly(logits(model));
            }
        }
    }

    @Test
    void whatIsTrainedStaysTrained() {
        try (PreTrainedModel<?> model = load(BERT, CPU);
                PointerScope scope = new PointerScope()) {
            model.freeze("bert.embeddings.", true);
            model.train();
            model.to("float64");
            for (Parameter p : model.namedParameters().values()) {
                assertThat(p.trainable()).as(p.name()).isEqualTo(!p.name().startsWith("bert.embeddings."));
            }
            Inputs in = Inputs.of(Map.of("input_ids", Tensors.int64(new long[][] {{2, 5, 3}})));
            try (ModelOutput out = model.forward(in)) {
                Objects.requireNonNull(out.tensors().get("logits")).sum().backward();
            }
            Tensor weight = model.linears().get(0).weight().tensor();
            assertThat(weight.grad().defined()).isTrue();
            assertThat(Ops.type(weight.grad())).isEqualTo(ScalarType.Double);
        }
    }

    @Test
    void packedLayersAreRefused() {
        try (PreTrainedModel<?> model = load(BERT, CPU);
                PreTrainedModel<?> folded = Models.fromConfig(
                        new ConfigJson(
                                JsonNodeFactory.instance
                                        .objectNode()
                                        .put("model_type", "resnet")
                                        .put("layer_type", "basic"),
                                "test"),
                        "ResNetModel",
                        CPU)) {
            model.optimize(Precision.FP32);
            float[] before = logits(model);
            assertThatThrownBy(() -> model.to("bfloat16"))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("packed-fp32")
                    .hasMessageContaining("train() and eval()");
            assertThat(logits(model)).containsExactly(before);
            model.train();
            model.eval();
            model.to("bfloat16");
            folded.optimize(Precision.FP32);
            assertThatThrownBy(() -> folded.to("bfloat16")).hasMessageContaining("folded normalization");
        }
    }

    @Test
    void runningCallsAreNotDisturbed() throws InterruptedException {
        try (PreTrainedModel<?> model = load(BERT, CPU)) {
            CountDownLatch started = new CountDownLatch(1);
            CountDownLatch end = new CountDownLatch(1);
            Thread thread = new Thread(() -> model.within(false, () -> {
                started.countDown();
                try {
                    end.await();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
                return "";
            }));
            thread.start();
            started.await();
            assertThatThrownBy(() -> model.to("bfloat16"))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("BertForMaskedLM is computing")
                    .hasMessageContaining("wait for the call's end");
            end.countDown();
            thread.join();
            assertThat(Ops.type(any(model))).isEqualTo(ScalarType.Float);
            model.to("bfloat16");
        }
    }

    @Test
    void whatIsNotThereIsNamed() {
        PreTrainedModel<?> model = load(BERT, CPU);
        assertThatThrownBy(() -> model.to("int3"))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("bfloat16")
                .hasMessageContaining("int3");
        if (!torch.cuda_is_available()) {
            assertThatThrownBy(() -> model.to("cuda"))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("no usable GPU");
        }
        model.close();
        assertThatThrownBy(() -> model.to("cpu")).hasMessageContaining("is closed");
    }

    @Test
    void theOldWeightsAreFreed() {
        try (PreTrainedModel<?> model = load(BERT, CPU)) {
            model.to("bfloat16");
            model.to("float32");
            long before = Pointer.totalCount();
            for (int i = 0; i < 10; i++) {
                model.to("bfloat16");
                model.to("float32");
            }
            assertThat(Pointer.totalCount() - before).isLessThan(10);
        }
    }
}
