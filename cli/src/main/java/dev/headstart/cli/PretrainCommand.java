package dev.headstart.cli;

import dev.headstart.train.pretrain.Pretrain;
import dev.headstart.train.pretrain.PretrainOptions;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;

/** Trains a model from nothing. */
@Command(
        name = "pretrain",
        customSynopsis = "headstart pretrain --objective NAME --data PATH --output DIR [OPTIONS]",
        description = "Trains BERT, GPT or T5 from nothing on your texts; the result is an ordinary model folder.")
final class PretrainCommand implements Runnable, HeadstartCommand.Headed {
    @Mixin
    private TrainingOptions training = TrainingOptions.forPretraining();

    @Option(
            names = "--objective",
            required = true,
            completionCandidates = Names.Objectives.class,
            description = "${COMPLETION-CANDIDATES}.")
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

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Option(
            names = "--init",
            paramLabel = "ID",
            description = {
                "random, local, or a model to go on from (${DEFAULT-VALUE}).",
                "local: the heads of BERT's first layer begin on the neighbours of each token."
            })
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

    @Option(names = "--save-dtype", description = "Type of the saved weights: fp32, bf16, fp16 (${DEFAULT-VALUE}).")
    private String saveDtype = "fp32";

    @Mixin
    private DeviceOption device = new DeviceOption();

    @Option(names = "--offline", description = "Fetch nothing.")
    private boolean offline;

    @Override
    public String heading(OptionSpec option) {
        return TrainingOptions.has(option) ? "Training" : "";
    }

    @Override
    public void run() {
        String on = device.checked();
        PretrainOptions options = new PretrainOptions(PretrainOptions.Objective.of(objective), data, output.folder)
                .config(config, overrides)
                .init(init)
                .tokenizer(tokenizer, vocabSize, cased)
                .blockSize(blockSize)
                .validation(validationSplit, evalTokens, training.evalBatchSize())
                .mlmProbability(mlmProbability)
                .spans(noiseDensity, meanSpan)
                .dropout(dropout)
                .saveDtype(saveDtype)
                .overwrite(output.overwrite)
                .resume(output.resume)
                .offline(offline)
                .device(on)
                .arguments(training.arguments(5e-4))
                .command(training.commandLine());
        Pretrain job = new Pretrain(options);
        TrainingOptions.run(output.folder, job::requestStop, () -> job.run().result());
    }
}
