package dev.headstart.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.LoadOptions;
import dev.headstart.models.AutoModelForSequenceClassification;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.testing.Shared;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A thousand steps take no more memory than a hundred: batches of many lengths, dropout, clipping, AdamW. */
class SteadyMemoryTest {
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aThousandStepsDoNotGrow(boolean checkpointing) {
        String model = Shared.require("golden/bert/classification/model").toString();
        int steps = checkpointing ? 400 : 1000;
        long[] bytes = new long[steps + 1];
        TrainingData data = new TrainingData() {
            @Override
            public int size() {
                return 64;
            }

            @Override
            public int length(int index) {
                return 4 + index % 29;
            }

            @Override
            public Map<String, Tensor> batch(int[] indexes, SplittableRandom random) {
                int width = 0;
                for (int i : indexes) {
                    width = Math.max(width, length(i));
                }
                long[][] ids = new long[indexes.length][width];
                for (long[] row : ids) {
                    java.util.Arrays.setAll(row, i -> 5 + random.nextInt(50));
                }
                return Map.of("input_ids", Tensors.int64(ids), "labels", Tensors.int64(new long[indexes.length]));
            }
        };
        try (PreTrainedModel<?> m = AutoModelForSequenceClassification.fromPretrained(
                model, LoadOptions.defaults().withOffline(true))) {
            new Trainer(
                            m,
                            TrainingArguments.defaults()
                                    .maxSteps(steps)
                                    .batchSize(8)
                                    .gradientCheckpointing(checkpointing)
                                    .bf16(checkpointing),
                            data)
                    .callback(new TrainerCallback() {
                        @Override
                        public void onStep(Step s) {
                            bytes[(int) s.step()] = s.step() % 50 == 0 ? Pointer.physicalBytes() : 0;
                        }
                    })
                    .train();
        }
        long early = bytes[steps / 4 / 50 * 50];
        long late = bytes[steps / 50 * 50];
        assertThat(late - early).as("growth in bytes").isLessThan(24L << 20); // the Java heap may still grow a little
    }
}
