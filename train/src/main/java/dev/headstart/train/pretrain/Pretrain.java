package dev.headstart.train.pretrain;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.io.StagedFile;
import dev.headstart.models.AutoModelForCausalLM;
import dev.headstart.models.AutoModelForMaskedLM;
import dev.headstart.models.AutoModelForPreTraining;
import dev.headstart.models.AutoModelForSeq2SeqLM;
import dev.headstart.models.ConfigJson;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.NewModel;
import dev.headstart.train.OutputFolder;
import dev.headstart.train.Trainer;
import dev.headstart.train.TrainerCallback;
import dev.headstart.train.TrainingData;
import dev.headstart.train.finetune.FineTune;
import dev.headstart.train.finetune.TrainingLog;
import dev.headstart.train.finetune.Usage;
import dev.headstart.train.log.TensorBoardWriter;
import dev.headstart.train.pretrain.Corpus.Split;
import dev.headstart.train.pretrain.PretrainOptions.Objective;
import dev.headstart.train.tokenizer.TokenizerTrainer;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Pre-trains a model from nothing, or goes on from a checkpoint: learns a tokenizer, tokenizes the data once into shards on disk, trains, and writes an
 * ordinary Hugging Face folder with model card, log, curves and report. Memory does not grow with the data, but for some 50 bytes an example.
 */
public final class Pretrain {
    private static final Logger LOG = LoggerFactory.getLogger(Pretrain.class);
    private static final String WORK = ".pretrain";
    private static final List<String> KINDS = List.of("wordpiece", "bpe", "unigram", "char");
    private final PretrainOptions options;
    private final List<TrainerCallback> callbacks = new ArrayList<>();
    private volatile @Nullable Trainer trainer;
    private volatile boolean stop;

    /**
     * What came out.
     *
     * @param output the folder
     * @param result how training ended
     * @param trainTokens in the training split
     * @param evalTokens in the validation split
     * @param parameters number of elements of the model
     */
    public record Report(Path output, Trainer.Result result, long trainTokens, long evalTokens, long parameters) {}

    /** @param options what to do */
    public Pretrain(PretrainOptions options) {
        this.options = options;
    }

    /** One more watcher of the training. */
    public Pretrain callback(TrainerCallback value) {
        callbacks.add(value);
        return this;
    }

    /** Ends training after the present step, with a checkpoint to resume from. From any thread. */
    public void requestStop() {
        stop = true;
        Trainer t = trainer;
        if (t != null) {
            t.requestStop();
        }
    }

    /**
     * Does it.
     *
     * @throws HeadstartException when data, configuration, tokenizer or options do not fit
     */
    public Report run() {
        Usage usage = new Usage();
        SavedType.check(options.saveDtype);
        checkNumbers();
        ObjectNode config = Presets.config(options);
        Corpus corpus = new Corpus(options.data, options.validationSplit);
        checkOutput();
        Path work = options.output.resolve(WORK);
        try (Tokenizer tokenizer = tokenizer(corpus, work.resolve("tokenizer"));
                PreTrainedModel<?> model = model(config, tokenizer, work)) {
            usage.of(model);
            Goal goal = Goal.of(options, tokenizer, blockSize(model.config().node()), model);
            try (Shards shards = Shards.of(work, corpus, tokenizer, goal.sentences(), goal.end(), options.resume)) {
                return train(goal, model, tokenizer, shards, corpus, usage);
            }
        }
    }

    private void checkOutput() {
        Path out = options.output;
        OutputFolder.check(out, options.overwrite || options.resume, FineTune.OCCUPIED);
        if (options.resume || !Files.exists(out)) {
            return;
        }
        try (Stream<Path> inside = Files.list(out)) { // what an earlier run left must not be resumed from
            for (Path p : inside.toList()) {
                if (String.valueOf(p.getFileName()).matches("checkpoint-\\d+|runs|\\" + WORK)) {
                    delete(p);
                }
            }
        } catch (IOException e) {
            throw new HeadstartException(out + ": cannot be listed: " + e.getMessage(), e);
        }
    }

    private void checkNumbers() {
        Double p = options.dropout;
        if (p != null && !(p >= 0 && p < 1)) {
            throw new HeadstartException("--dropout must be at least 0 and below 1, found " + p);
        }
        if (options.blockSize < 0 || options.blockSize == 1) {
            throw new HeadstartException("--block-size must be 2 or more, found " + options.blockSize);
        }
        if (options.evalTokens < 1 || options.evalBatchSize < 1) {
            throw new HeadstartException("--eval-tokens and --eval-batch-size must be 1 or more, found "
                    + options.evalTokens + " and " + options.evalBatchSize);
        }
        boolean encoder = options.objective == Objective.MLM || options.objective == Objective.MLM_NSP;
        if (options.init.equals("local") && !encoder) {
            throw new HeadstartException("--init local is for masked words (mlm, mlm-nsp), found --objective "
                    + options.objective.id() + "; leave it out");
        }
        String tokenizer = options.tokenizer;
        if (options.vocabSize > 0 && tokenizer != null && !KINDS.contains(tokenizer)) {
            throw new HeadstartException("--vocab-size is for a tokenizer that is learnt (" + String.join(", ", KINDS)
                    + "); " + tokenizer + " has its own");
        }
    }

    static void delete(Path folder) {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path p : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(p);
            }
        } catch (IOException e) {
            throw new HeadstartException(folder + ": cannot be removed: " + e.getMessage(), e);
        }
    }

    // === Tokenizer and model ===

    private Tokenizer tokenizer(Corpus corpus, Path folder) {
        LoadOptions load = LoadOptions.defaults().withOffline(options.offline ? Boolean.TRUE : null);
        String wanted = options.tokenizer;
        if (wanted == null && !options.isNew()) {
            return Tokenizer.fromPretrained(options.init, load);
        }
        String kind = wanted != null
                ? wanted
                : switch (options.objective) {
                    case MLM, MLM_NSP -> "wordpiece";
                    case CLM -> "bpe";
                    case SPAN_CORRUPTION -> "unigram";
                };
        if (!KINDS.contains(kind)) {
            return Tokenizer.fromPretrained(kind, load);
        }
        if (!(options.resume && Files.isRegularFile(folder.resolve("tokenizer_config.json")))) {
            LOG.info("learning a {} tokenizer", kind);
            int size = options.vocabSize > 0 ? options.vocabSize : 6000;
            int learnt;
            try (TextIterator texts = new TextIterator(corpus)) {
                learnt = kind.equals("char")
                        ? CharTokenizer.train(texts, folder)
                        : TokenizerTrainer.train(
                                texts,
                                new TokenizerTrainer.Options(
                                        TokenizerTrainer.Kind.valueOf(kind.toUpperCase(Locale.ROOT)),
                                        size,
                                        2,
                                        !options.cased,
                                        100,
                                        0),
                                folder);
            }
            LOG.info("{} tokens", learnt);
        }
        return Tokenizer.fromFolder(folder);
    }

    private PreTrainedModel<?> model(ObjectNode config, Tokenizer tokenizer, Path work) {
        LoadOptions load = LoadOptions.defaults()
                .withInit(LoadOptions.Init.NEW_HEAD)
                .withSeed(options.arguments.seed())
                .withDevice(options.device)
                .withOffline(options.offline ? Boolean.TRUE : null);
        if (!options.isNew()) {
            PreTrainedModel<?> model = switch (options.objective) {
                case MLM_NSP -> AutoModelForPreTraining.fromPretrained(options.init, load);
                case MLM -> AutoModelForMaskedLM.fromPretrained(options.init, load);
                case CLM -> AutoModelForCausalLM.fromPretrained(options.init, load);
                case SPAN_CORRUPTION -> AutoModelForSeq2SeqLM.fromPretrained(options.init, load);
            };
            if (model.config().size("vocab_size", Integer.MAX_VALUE) < tokenizer.vocabSize()) {
                model.close();
                throw new HeadstartException(options.init + " has fewer tokens than the tokenizer ("
                        + tokenizer.vocabSize() + "); leave out --tokenizer to use the model's own");
            }
            return model;
        }
        NewModel.fit(config, tokenizer, options.config);
        String architecture = Presets.architecture(options.objective, config, options.config);
        ObjectNode built = options.dropout == null ? config : Presets.withDropout(config, options.dropout);
        Path file = work.resolve("config.json");
        StagedFile.write(
                file, out -> out.write(ByteBuffer.wrap(config.toString().getBytes(StandardCharsets.UTF_8))));
        PreTrainedModel<?> model = Models.fromConfig(new ConfigJson(built, file.toString()), architecture, load);
        model.config().node().remove(Presets.DROPOUTS); // what is saved has the configuration's own
        model.config().node().setAll(config);
        if (options.init.equals("local")) {
            try {
                LocalStart.apply(
                        model,
                        model.config().size("num_attention_heads", 12),
                        config.path("initializer_range").asDouble(0.02));
            } catch (RuntimeException e) {
                model.close();
                throw e;
            }
        }
        return model;
    }

    private int blockSize(ObjectNode config) {
        int positions = Presets.positions(config);
        if (positions > 0 && options.blockSize > positions) {
            throw new HeadstartException(
                    "--block-size " + options.blockSize + " is more than this model can take (" + positions + ")");
        }
        int fits = positions > 0 ? Math.min(positions, Presets.BLOCK) : Presets.BLOCK;
        return options.blockSize > 0 ? options.blockSize : fits;
    }

    // === Training ===

    private Report train(
            Goal goal, PreTrainedModel<?> model, Tokenizer tokenizer, Shards shards, Corpus corpus, Usage usage) {
        TrainingData train = goal.data(shards, Split.TRAIN);
        TrainingData validation = goal.data(shards, Split.VALIDATION);
        LOG.info(
                "{}: {} parameters, {} examples of {} tokens",
                model.getClass().getSimpleName(),
                String.format(Locale.ROOT, "%,d", model.numParameters()),
                String.format(Locale.ROOT, "%,d", train.size()),
                goal.blockSize);
        Path log = options.output.resolve("training_log.jsonl");
        try (TensorBoardWriter board = new TensorBoardWriter(options.output.resolve("runs"))) {
            Trainer run = new Trainer(
                            model, options.arguments.groupByLength(false).metricForBestModel(null, false), train)
                    .objective(goal.objective())
                    .checkpoints(options.output)
                    .resume(options.resume)
                    .evaluation(m -> goal.evaluate(m, validation))
                    .callback(new TrainingLog(log, options.resume))
                    .callback(new Watcher(board, tokenizer));
            callbacks.forEach(run::callback);
            trainer = run;
            if (stop) {
                run.requestStop();
            }
            Trainer.Result result = run.train();
            Report report = new Report(
                    options.output,
                    result,
                    shards.tokens(Split.TRAIN).length(),
                    shards.tokens(Split.VALIDATION).length(),
                    model.numParameters());
            if (!result.reason().equals("interrupted")) {
                Path out = options.output;
                model.savePretrained(out);
                SavedType.convert(out, options.saveDtype);
                tokenizer.savePretrained(out);
                new PretrainReport(options, model, tokenizer, corpus, report, usage, goal.blockSize).write(log);
                delete(out.resolve(WORK));
                LOG.info("{}: {}", out, TrainingLog.shown(result.metrics()));
            }
            return report;
        }
    }

    /** Curves for TensorBoard; the tokenizer into every checkpoint. */
    private record Watcher(TensorBoardWriter board, Tokenizer tokenizer) implements TrainerCallback {
        @Override
        public void onBegin(long first, long total) {
            if (first > 1) {
                board.resumed(first);
            }
        }

        @Override
        public void onStep(Step s) {
            Map<String, Double> values = new LinkedHashMap<>();
            values.put("train/loss", s.loss());
            values.put("train/learning_rate", s.learningRate());
            if (s.gradNorm() != null) {
                values.put("train/grad_norm", s.gradNorm());
            }
            values.put("train/tokens_per_second", s.tokens() / Math.max(1e-9, s.seconds()));
            board.scalars(s.step(), values);
        }

        @Override
        public void onEvaluate(long step, double epoch, Map<String, Double> metrics) {
            Map<String, Double> values = new LinkedHashMap<>();
            metrics.forEach((name, v) -> values.put("eval/" + name, v));
            board.scalars(step, values);
        }

        @Override
        public void onSave(long step, Path staging) {
            tokenizer.savePretrained(staging);
        }
    }
}
