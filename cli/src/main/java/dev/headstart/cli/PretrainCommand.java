package dev.headstart.cli;

import dev.headstart.HeadstartException;
import dev.headstart.train.Schedule;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.pretrain.Pretrain;
import dev.headstart.train.pretrain.PretrainOptions;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Trains a model from nothing. */
@Command(
        name = "pretrain",
        description = "Trains BERT, GPT or T5 from nothing on your texts; the result is an ordinary model folder.")
final class PretrainCommand implements Runnable {
    @Spec
    private @Nullable CommandSpec spec;

    @Option(names = "--objective", required = true, description = "mlm-nsp, mlm, clm or span-corruption.")
    private String objective = "";

    @Option(
            names = "--config",
            paramLabel = "NAME",
            description = "mini, small, base, or a config.json (${DEFAULT-VALUE}).")
    private String config = "mini";

    @Option(
            names = "--config-overrides",
            split = ",",
            paramLabel = "FIELD=VALUE",
            description = "Fields of the configuration that differ: n_layer=6,n_embd=192.")
    private Map<String, String> overrides = Map.of();

    @Option(
            names = "--data",
            required = true,
            split = ",",
            paramLabel = "PATH",
            description = "Text files, jsonl, csv, tsv or Parquet with a text column, folders of them.")
    private List<Path> data = List.of();

    @Option(
            names = {"--output", "--output-dir"},
            required = true,
            paramLabel = "DIR",
            description = "Folder to make.")
    private Path output = Path.of("");

    @Option(
            names = {"--overwrite", "--overwrite-output-dir"},
            description = "Write into a folder that is not empty.")
    private boolean overwrite;

    @Option(names = "--resume", description = "Go on from the last complete checkpoint in --output.")
    private boolean resume;

    @Option(names = "--init", paramLabel = "ID", description = "random, or a model to go on from (${DEFAULT-VALUE}).")
    private String init = "random";

    @Option(
            names = "--tokenizer",
            paramLabel = "ID",
            description =
                    "A folder or id; or wordpiece, bpe, unigram, char to learn one on the data. Default: by objective.")
    private @Nullable String tokenizer;

    @Option(names = "--vocab-size", description = "Of a tokenizer that is learnt; default 6000.")
    private int vocabSize;

    @Option(names = "--cased", description = "A learnt WordPiece keeps upper case and accents.")
    private boolean cased;

    @Option(
            names = {"--block-size", "--max-length", "--max-seq-length"},
            description = "Tokens of an example; default: what the model takes, at most 128.")
    private int blockSize;

    @Option(names = "--validation-split", description = "Part of every text held out (${DEFAULT-VALUE}).")
    private double validationSplit = 0.05;

    @Option(names = "--eval-tokens", description = "Most tokens that an evaluation reads (${DEFAULT-VALUE}).")
    private long evalTokens = 200_000;

    @Option(names = "--mlm-probability", description = "Part of the tokens that is predicted (${DEFAULT-VALUE}).")
    private double mlmProbability = 0.15;

    @Option(names = "--noise-density", description = "Part of the tokens that goes missing (${DEFAULT-VALUE}).")
    private double noiseDensity = 0.15;

    @Option(names = "--mean-noise-span-length", description = "Mean length of what goes missing (${DEFAULT-VALUE}).")
    private double meanSpan = 3;

    @Option(names = "--dropout", description = "While pre-training; default: the configuration's.")
    private @Nullable Double dropout;

    @Option(
            names = {"--learning-rate", "--lr"},
            description = "Highest learning rate (${DEFAULT-VALUE}).")
    private double learningRate = 5e-4;

    @Option(
            names = {"--lr-scheduler-type", "--schedule"},
            description =
                    "linear, cosine, cosine_with_restarts, polynomial, constant, constant_with_warmup, inverse_sqrt (${DEFAULT-VALUE}).")
    private String schedule = "cosine";

    @Option(names = "--warmup-steps", description = "Steps in which the rate rises from 0.")
    private long warmupSteps;

    @Option(
            names = "--warmup-ratio",
            description = "Part of all steps in which the rate rises from 0 (${DEFAULT-VALUE}).")
    private double warmupRatio = 0.05;

    @Option(
            names = {"--epochs", "--num-train-epochs"},
            description = "Passes over the data (${DEFAULT-VALUE}).")
    private double epochs = 1;

    @Option(names = "--max-steps", description = "Number of steps; wins over --epochs.")
    private long maxSteps = -1;

    @Option(
            names = {"--batch-size", "--per-device-train-batch-size"},
            description = "Examples in a batch (${DEFAULT-VALUE}).")
    private int batchSize = 16;

    @Option(names = "--eval-batch-size", description = "Examples in a batch of evaluation (${DEFAULT-VALUE}).")
    private int evalBatchSize = 16;

    @Option(names = "--gradient-accumulation-steps", description = "Batches that make one step (${DEFAULT-VALUE}).")
    private int accumulation = 1;

    @Option(names = "--max-grad-norm", description = "Clip gradients to this norm; 0: not (${DEFAULT-VALUE}).")
    private double maxGradNorm = 1;

    @Option(names = "--weight-decay", description = "Of all but biases and normalizations (${DEFAULT-VALUE}).")
    private double weightDecay = 0.1;

    @Option(names = "--adam-beta2", description = "Decay of AdamW's mean squares (${DEFAULT-VALUE}).")
    private double beta2 = 0.99;

    @Option(names = "--eval-steps", description = "Steps between evaluations; 0: after each epoch.")
    private int evalSteps;

    @Option(names = "--save-steps", description = "Steps between checkpoints; 0: after each evaluation.")
    private int saveSteps;

    @Option(names = "--seed", description = "Seed of everything random (${DEFAULT-VALUE}).")
    private long seed = 42;

    @Option(names = "--precision", description = "fp32 or bf16 (autocast; weights stay fp32) (${DEFAULT-VALUE}).")
    private String precision = "fp32";

    @Option(names = "--save-dtype", description = "Type of the saved weights: fp32, bf16, fp16 (${DEFAULT-VALUE}).")
    private String saveDtype = "fp32";

    @Option(names = "--offline", description = "Fetch nothing.")
    private boolean offline;

    @Override
    public void run() {
        if (!precision.equals("fp32") && !precision.equals("bf16")) {
            throw new HeadstartException("--precision must be fp32 or bf16, found " + precision);
        }
        TrainingArguments arguments = TrainingArguments.defaults()
                .learningRate(learningRate)
                .schedule(Schedule.of(schedule))
                .warmupSteps(warmupSteps)
                .warmupRatio(warmupRatio)
                .epochs(epochs)
                .maxSteps(maxSteps)
                .batchSize(batchSize)
                .gradientAccumulationSteps(accumulation)
                .maxGradNorm(maxGradNorm)
                .weightDecay(weightDecay)
                .adam(0.9, beta2, 1e-8)
                .evalSteps(evalSteps)
                .saveSteps(saveSteps)
                .bf16(precision.equals("bf16"))
                .seed(seed);
        PretrainOptions options = new PretrainOptions(PretrainOptions.Objective.of(objective), data, output)
                .config(config, overrides)
                .init(init)
                .tokenizer(tokenizer, vocabSize, cased)
                .blockSize(blockSize)
                .validation(validationSplit, evalTokens, evalBatchSize)
                .mlmProbability(mlmProbability)
                .spans(noiseDensity, meanSpan)
                .dropout(dropout)
                .saveDtype(saveDtype)
                .overwrite(overwrite)
                .resume(resume)
                .offline(offline)
                .arguments(arguments)
                .command(command());
        Pretrain job = new Pretrain(options);
        CountDownLatch done = new CountDownLatch(1);
        Thread onInterrupt = new Thread(() -> {
            job.requestStop();
            try {
                done.await(5, TimeUnit.MINUTES); // the step that runs ends, then a checkpoint is written
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        Runtime.getRuntime().addShutdownHook(onInterrupt);
        try {
            Pretrain.Report report = job.run();
            if (report.result().reason().equals("interrupted")) {
                throw new HeadstartException("interrupted after step "
                        + report.result().steps() + "; the checkpoint is in " + output + ", go on with --resume");
            }
            System.out.println(output);
        } finally {
            done.countDown();
        }
    }

    /** As typed, folders by their last name. */
    private String command() {
        CommandSpec s = spec;
        List<String> typed =
                s == null ? List.of() : s.commandLine().getParseResult().originalArgs();
        StringBuilder b = new StringBuilder("headstart pretrain");
        boolean named = !typed.isEmpty() && typed.get(0).equals("pretrain");
        for (String arg : named ? typed.subList(1, typed.size()) : typed) {
            b.append(' ').append(arg.startsWith("/") ? Path.of(arg).getFileName() : arg);
        }
        return b.toString();
    }
}
