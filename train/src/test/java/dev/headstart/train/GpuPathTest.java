package dev.headstart.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.ConfigJson;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What training does for the sake of a GPU gives what it gives without, here on the CPU. */
class GpuPathTest {
    private static final String CONFIG = """
            {"model_type": "gpt2", "vocab_size": 12, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16}
            """;

    /** 10 examples whose tokens are drawn when a batch is made. */
    private static final TrainingData DATA = new TrainingData() {
        @Override
        public int size() {
            return 10;
        }

        @Override
        public Map<String, Tensor> batch(int[] indexes, SplittableRandom random) {
            long[][] ids = new long[indexes.length][6];
            for (int r = 0; r < ids.length; r++) {
                for (int i = 0; i < 6; i++) {
                    ids[r][i] = (indexes[r] + random.nextInt(3) * i) % 12;
                }
            }
            Map<String, Tensor> batch = new LinkedHashMap<>();
            batch.put("input_ids", Tensors.int64(ids));
            batch.put("labels", Tensors.int64(ids));
            return batch;
        }
    };

    private static PreTrainedModel<?> model() throws IOException {
        return Models.fromConfig(
                new ConfigJson((ObjectNode) new ObjectMapper().readTree(CONFIG), "test"),
                "GPT2LMHeadModel",
                LoadOptions.defaults().withDevice("cpu"));
    }

    private static Trainer trainer(PreTrainedModel<?> model, String optimizer, List<double[]> steps) {
        TrainingArguments arguments = TrainingArguments.defaults()
                .learningRate(1e-2)
                .batchSize(3)
                .gradientAccumulationSteps(2)
                .maxGradNorm(0.5)
                .optimizer(optimizer)
                .maxSteps(7);
        return new Trainer(model, arguments, DATA).callback(new TrainerCallback() {
            @Override
            public void onStep(Step s) {
                steps.add(new double[] {s.loss(), s.gradNorm() == null ? -1 : s.gradNorm()});
            }
        });
    }

    private static float[] weights(PreTrainedModel<?> model) {
        return Tensors.floats(
                java.util.Objects.requireNonNull(model.namedParameters().get("transformer.h.1.mlp.c_fc.weight"))
                        .tensor());
    }

    @ParameterizedTest
    @ValueSource(strings = {"adamw", "adafactor"})
    void sameLossesNormsAndWeights(String optimizer) throws IOException {
        List<double[]> plain = new ArrayList<>();
        List<double[]> gpu = new ArrayList<>();
        try (PreTrainedModel<?> a = model();
                PreTrainedModel<?> b = model()) {
            trainer(a, optimizer, plain).train();
            trainer(b, optimizer, gpu).asOnGpu().train();
            assertThat(gpu).hasSize(7);
            for (int i = 0; i < 7; i++) {
                assertThat(gpu.get(i)).containsExactly(plain.get(i), within(1e-5));
            }
            assertThat(plain.get(0)[1]).isGreaterThan(0.5); // something was clipped
            assertThat(weights(b)).containsExactly(weights(a), within(1e-5f));
        }
    }

    @Test
    void notANumberLeavesTheWeights() throws IOException {
        try (PreTrainedModel<?> model = model()) {
            List<float[]> before = new ArrayList<>();
            int[] calls = {0};
            Trainer trainer = trainer(model, "adamw", new ArrayList<>())
                    .asOnGpu()
                    .objective((m, batch) -> {
                        Tensor loss = Objective.ofModel().loss(m, batch);
                        before.add(weights(m));
                        return ++calls[0] == 5 ? loss.mul(new Scalar(Double.NaN)) : loss;
                    });
            assertThatThrownBy(trainer::train)
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("step 3: the loss is NaN");
            assertThat(weights(model)).containsExactly(before.get(4));
        }
    }
}
