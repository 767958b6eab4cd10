package dev.headstart.benchmarks;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.Hub;
import dev.headstart.models.AutoModelForSequenceClassification;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.peft.LoraAdapter;
import dev.headstart.peft.LoraConfig;
import dev.headstart.train.Trainer;
import dev.headstart.train.TrainerCallback;
import dev.headstart.train.TrainingArguments;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Peak memory of fine-tuning a sequence classifier, {@code full} or {@code lora} (rank 8 on query and value, the head whole): one run a process, the same
 * batches in both. Prints the loss of the last step and the median step too, so that what saves memory shows what it costs.
 *
 * <p>Arguments: model id, full or lora, fp32 or bf16 (autocast), batch, length, steps.
 */
public final class TrainingMemory {
    private TrainingMemory() {}

    /** Trains and prints one line. */
    public static void main(String[] args) throws IOException {
        if (args.length != 6 || !List.of("full", "lora").contains(args[1])) {
            throw new HeadstartException("arguments: MODEL full|lora fp32|bf16 BATCH LENGTH STEPS");
        }
        boolean lora = args[1].equals("lora");
        int batch = Integer.parseInt(args[3]);
        int length = Integer.parseInt(args[4]);
        int steps = Integer.parseInt(args[5]);
        String folder = Hub.standard().resolve(args[0]).path().toString();
        long self = ProcessHandle.current().pid();
        List<Double> seconds = new ArrayList<>();
        double[] loss = new double[1];
        try (PreTrainedModel<?> model = AutoModelForSequenceClassification.fromPretrained(
                folder, LoadOptions.defaults().withNumLabels(2).withInit(LoadOptions.Init.NEW_HEAD))) {
            LoraAdapter adapter =
                    lora ? LoraAdapter.create(model, LoraConfig.of(8, 16, List.of(), List.of("classifier")), 1) : null;
            long loaded = VmHwm.of(self);
            TrainingArguments arguments = TrainingArguments.defaults()
                    .maxSteps(steps)
                    .batchSize(batch)
                    .groupByLength(false)
                    .bf16(args[2].equals("bf16"));
            new Trainer(model, arguments, TrainingBenchmark.Rows.random(4 * batch, length))
                    .adapter(adapter)
                    .callback(new TrainerCallback() {
                        @Override
                        public void onStep(Step step) {
                            seconds.add(step.seconds());
                            loss[0] = step.loss();
                        }
                    })
                    .train();
            System.out.printf(
                    Locale.ROOT,
                    "%s, %s, %d x %d tokens, %s, %d steps: peak memory %d MB (%d MB when the model was loaded), median step %.2f s, last loss %.6f%n",
                    args[0],
                    args[1],
                    batch,
                    length,
                    args[2],
                    steps,
                    VmHwm.of(self) / 1024,
                    loaded / 1024,
                    Figures.median(seconds),
                    loss[0]);
        }
    }
}
