package dev.headstart.train.finetune;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.AutoModel;
import dev.headstart.models.AutoModelForCausalLM;
import dev.headstart.models.AutoModelForMaskedLM;
import dev.headstart.models.AutoModelForQuestionAnswering;
import dev.headstart.models.AutoModelForSeq2SeqLM;
import dev.headstart.models.AutoModelForSequenceClassification;
import dev.headstart.models.AutoModelForTokenClassification;
import dev.headstart.models.CausalModels;
import dev.headstart.models.FeatureHead;
import dev.headstart.models.Inputs;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Memory;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Precision;
import dev.headstart.peft.LoraAdapter;
import dev.headstart.peft.LoraConfig;
import dev.headstart.pipeline.QuestionAnsweringPipeline;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.MovingAverage;
import dev.headstart.train.NewModel;
import dev.headstart.train.Objective;
import dev.headstart.train.OutputFolder;
import dev.headstart.train.Trainer;
import dev.headstart.train.TrainerCallback;
import dev.headstart.train.TrainingData;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Fine-tunes a pre-trained model on a user's data and writes an ordinary Hugging Face folder: weights, config.json with the label names, tokenizer,
 * model card, training log. In lora mode the folder holds the adapter in PEFT's format.
 */
public final class FineTune {
    private static final Logger LOG = LoggerFactory.getLogger(FineTune.class);
    private static final String LOG_FILE = "training_log.jsonl";

    /** What to do when the output folder holds something. */
    public static final String OCCUPIED =
            "use --resume to go on from its last checkpoint, --overwrite-output-dir to replace it, or another --output";

    private final FineTuneOptions options;
    private volatile @Nullable Trainer trainer;
    private volatile boolean stop;

    /**
     * What came out.
     *
     * @param output the folder
     * @param result how training ended
     * @param trainExamples how many
     * @param evalExamples how many
     * @param test metrics on the test data, of the weights that were kept; empty without test data
     * @param testExamples how many
     * @param before validation metrics before training; empty where the model could not do the task
     * @param trainedParameters number of elements that were trained
     * @param parameters number of elements of the whole model
     */
    public record Report(
            Path output,
            Trainer.Result result,
            int trainExamples,
            int evalExamples,
            Map<String, Double> test,
            int testExamples,
            Map<String, Double> before,
            long trainedParameters,
            long parameters) {}

    /** The tasks there are, under the pipelines' names. */
    public static List<String> tasks() {
        return FineTuneTask.names(false);
    }

    /** A task's name, as it was given. @throws HeadstartException listing the tasks there are, when it is none */
    public static String knownTask(String name) {
        FineTuneTask.require(name, false);
        return name;
    }

    /** @param options what to do */
    public FineTune(FineTuneOptions options) {
        this.options = options;
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
     * @throws HeadstartException when data, model or options do not fit; nothing has been written then
     */
    public Report run() {
        Usage usage = new Usage();
        OutputFolder.check(options.output, options.overwrite || options.resume, OCCUPIED);
        FineTuneTask task = FineTuneTask.of(options);
        FineTuneTask.Splits splits = task.readSplits();
        LoadOptions load = LoadOptions.defaults()
                .withInit(LoadOptions.Init.NEW_HEAD)
                .withSeed(options.arguments.seed())
                .withOffline(options.offline ? Boolean.TRUE : null)
                .withDevice(options.device)
                .withId2label(task.id2label());
        try (Tokenizer found = tokenizer(load);
                PreTrainedModel<?> model =
                        options.fresh ? fresh(task.head(), found, load) : load(task.head(), options.model, load)) {
            usage.of(model);
            task.configure(model.config().node());
            Tokenizer tokenizer = fitted(task, model, found);
            int maxLength = maxLength(options, tokenizer, model, task);
            TextData train = task.examples(splits.train(), tokenizer, maxLength);
            TextData validation = task.examples(splits.validation(), tokenizer, maxLength);
            TextData test = splits.test().isEmpty() ? null : task.examples(splits.test(), tokenizer, maxLength);
            task.check(model, train);
            return train(task, model, tokenizer, train, validation, test, usage);
        }
    }

    private Tokenizer tokenizer(LoadOptions load) {
        String id = options.tokenizer;
        if (id == null && options.model.isEmpty()) {
            throw new HeadstartException("--tokenizer is missing: a model that begins from nothing needs a tokenizer's"
                    + " folder or id (headstart tokenizer train makes one)");
        }
        return Tokenizer.fromPretrained(id != null ? id : options.model, load);
    }

    private PreTrainedModel<?> fresh(String head, Tokenizer tokenizer, LoadOptions load) {
        if (options.mode != FineTuneOptions.Mode.FULL) {
            throw new HeadstartException("new weights are trained whole: leave out --mode "
                    + options.mode.name().toLowerCase(java.util.Locale.ROOT));
        }
        Path file = options.config;
        return file != null ? NewModel.of(file, head, tokenizer, load) : Models.untrained(options.model, head, load);
    }

    static PreTrainedModel<?> load(String head, String id, LoadOptions load) {
        return switch (head) {
            case "ForSequenceClassification" -> AutoModelForSequenceClassification.fromPretrained(id, load);
            case "ForTokenClassification" -> AutoModelForTokenClassification.fromPretrained(id, load);
            case "ForQuestionAnswering" -> AutoModelForQuestionAnswering.fromPretrained(id, load);
            case "ForCausalLM" -> AutoModelForCausalLM.fromPretrained(id, load);
            case "ForSeq2SeqLM" -> AutoModelForSeq2SeqLM.fromPretrained(id, load);
            case "" -> AutoModel.fromPretrained(id, load);
            case "ForMaskedLM" -> AutoModelForMaskedLM.fromPretrained(id, load);
            default -> throw new IllegalStateException(head);
        };
    }

    /** The tokenizer as the task needs it. */
    static Tokenizer fitted(FineTuneTask task, PreTrainedModel<?> model, Tokenizer tokenizer) {
        return task instanceof QuestionAnsweringTask
                ? QuestionAnsweringPipeline.withSegments(tokenizer, model)
                : padding(model, tokenizer);
    }

    /**
     * A decoder that classifies finds the end of each text by its padding: where config.json names no padding token, the tokenizer's becomes it, or its end
     * token, which the saved files then say.
     */
    private static Tokenizer padding(PreTrainedModel<?> model, Tokenizer tokenizer) {
        if (!(model instanceof CausalModels.CausalSequenceClassifier decoder)) {
            return tokenizer;
        }
        Integer id = decoder.padTokenId();
        String token = tokenizer.padToken();
        if (token == null) {
            token = id == null ? tokenizer.eosToken() : tokenizer.idToToken(id);
        }
        if (token == null) {
            return tokenizer; // texts of one length need none
        }
        int known = tokenizer.tokenToId(token).orElse(-1);
        if (id == null && known >= 0) {
            LOG.info("config.json names no pad_token_id: {} ({}) becomes it", known, token);
            model.config().node().put("pad_token_id", known);
        }
        return tokenizer.padToken() == null && known >= 0 ? tokenizer.withPadToken(token) : tokenizer;
    }

    static int maxLength(FineTuneOptions options, Tokenizer tokenizer, PreTrainedModel<?> model, FineTuneTask task) {
        int limit = Math.min(tokenizer.modelMaxLength() > 0 ? tokenizer.modelMaxLength() : 512, model.maxLength());
        int wanted = options.maxLength > 0 ? options.maxLength : task.defaultMaxLength();
        if (options.maxLength > limit) {
            throw new HeadstartException(
                    "--max-length " + options.maxLength + " is more than this model can take (" + limit + ")");
        }
        return wanted > 0 ? Math.min(wanted, limit) : limit;
    }

    private Report train(
            FineTuneTask task,
            PreTrainedModel<?> model,
            Tokenizer tokenizer,
            TextData train,
            TextData validation,
            @Nullable TextData test,
            Usage usage) {
        LoraAdapter adapter = null;
        TrainingData data = train;
        Features cachedTrain = null;
        Features cachedValidation = null;
        if (options.mode == FineTuneOptions.Mode.LORA) {
            adapter = LoraAdapter.create(model, loraConfig(task, model), options.arguments.seed());
        } else if (options.mode == FineTuneOptions.Mode.HEAD) {
            freezeBody(model);
            if (model instanceof FeatureHead
                    && train instanceof SequenceClassificationTask.Examples t
                    && validation instanceof SequenceClassificationTask.Examples v) {
                cachedTrain = Features.of(model, t, options.evalBatchSize);
                cachedValidation = Features.of(model, v, options.evalBatchSize);
                data = cachedTrain;
            } else {
                LOG.info("this head needs the whole model: features are computed anew in every epoch");
            }
        }
        if (options.ema > 0 && options.mode != FineTuneOptions.Mode.FULL) {
            throw new HeadstartException("--ema averages all weights: it goes with --mode full alone");
        }
        try (Features a = cachedTrain;
                Features b = cachedValidation;
                MovingAverage average = options.ema > 0 ? new MovingAverage(model, options.ema, options.output) : null;
                TensorBoardLog events = new TensorBoardLog(options.output, options.resume, "tokens")) {
            Trainer run = new Trainer(
                            model,
                            options.arguments
                                    .metricForBestModel(task.mainMetric(), task.greaterIsBetter())
                                    .loadBestModelAtEnd(average == null),
                            data)
                    .objective(task.objective())
                    .adapter(adapter)
                    .checkpoints(options.output)
                    .resume(options.resume)
                    .evaluation(m -> b != null && task instanceof SequenceClassificationTask s
                            ? s.evaluate(
                                    b.examples,
                                    indexes -> Objective.forward(m, b.batch(indexes, new SplittableRandom(0))))
                            : average == null
                                    ? task.evaluate(m, validation)
                                    : average.during(() -> task.evaluate(m, validation)))
                    .callback(new TrainingLog(options.output.resolve(LOG_FILE), options.resume))
                    .callback(events)
                    .callback(new TrainerCallback() {
                        @Override
                        public void onSave(long step, Path staging) {
                            tokenizer.savePretrained(staging);
                        }
                    });
            if (average != null) {
                run.callback(average);
            }
            trainer = run;
            Map<String, Double> before = Map.of();
            if (task.evaluatesBefore()) {
                before = task.evaluate(model, validation);
                LOG.info("before training: {}", TrainingLog.shown(before));
            }
            if (stop) {
                run.requestStop();
            }
            Trainer.Result result = run.train();
            long trained = trainedParameters(model, adapter);
            if (average != null && !result.reason().equals("interrupted")) {
                average.swap();
            }
            Map<String, Double> testMetrics = Map.of();
            if (test != null && !result.reason().equals("interrupted")) {
                testMetrics = task.evaluate(model, test);
                LOG.info("test: {}", TrainingLog.shown(testMetrics));
            }
            Report report = new Report(
                    options.output,
                    result,
                    train.size(),
                    validation.size(),
                    testMetrics,
                    test == null ? 0 : test.size(),
                    before,
                    trained,
                    model.numParameters());
            if (!result.reason().equals("interrupted")) {
                finish(task, model, tokenizer, adapter, report, usage);
            }
            return report;
        }
    }

    /** Number of elements that are trained: the adapter's, or all that are not frozen. */
    public static long trainedParameters(PreTrainedModel<?> model, @Nullable LoraAdapter adapter) {
        if (adapter != null) {
            return adapter.tensors().values().stream().mapToLong(Tensor::numel).sum();
        }
        return model.namedParameters().values().stream()
                .filter(p -> !p.isBuffer() && !p.isFrozen())
                .mapToLong(p -> p.tensor().numel())
                .sum();
    }

    private static void freezeBody(PreTrainedModel<?> model) {
        model.exclusive(() -> model.namedParameters().values().forEach(p -> p.freeze(!p.isHead())));
    }

    private LoraConfig loraConfig(FineTuneTask task, PreTrainedModel<?> model) {
        String base = model.config().modelType().replace("-", "_") + ".";
        List<String> whole = model.namedParameters().values().stream()
                .filter(p -> p.isHead() && (p.isNew() || !p.name().startsWith(base)))
                .map(Parameter::name)
                .map(name -> name.substring(0, name.lastIndexOf('.')))
                .distinct()
                .toList();
        if (task.head().endsWith("LM")) { // no new head
            whole = List.of();
        }
        return LoraConfig.of(options.loraRank, options.loraAlpha, options.loraTargets, whole)
                .withDropout(options.loraDropout)
                .withOrigin(task.peftTask(), options.model);
    }

    private void finish(
            FineTuneTask task,
            PreTrainedModel<?> model,
            Tokenizer tokenizer,
            @Nullable LoraAdapter adapter,
            Report report,
            Usage usage) {
        Path out = options.output;
        boolean merge = options.loraMerge || task.mergesAdapters();
        if (adapter != null && merge) {
            adapter.merge();
        }
        if (adapter != null && !merge) {
            adapter.save(out, options.loraHalf ? ScalarType.Half : null);
            model.saveConfig(out);
        } else {
            model.savePretrained(out);
        }
        tokenizer.savePretrained(out);
        task.finish(out);
        History history = History.read(out.resolve(LOG_FILE));
        ModelCard.write(out.resolve("README.md"), options, task, model, adapter, report, history, usage);
        ReportPage.write(out.resolve("report.html"), options, task, report, history);
        results(task, report, history, usage).write(out);
        LOG.info("{}: {}", out, TrainingLog.shown(report.result().metrics()));
    }

    private static RunResults results(FineTuneTask task, Report report, History history, Usage usage) {
        return RunResults.of(report.result(), usage)
                .samples(report.trainExamples(), report.evalExamples(), report.testExamples())
                .parameters(report.trainedParameters(), report.parameters())
                .put("steps_runtime", history.seconds())
                .put("tokens", history.tokens())
                .metric(task.mainMetric(), task.greaterIsBetter())
                .metrics("test", report.test());
    }

    /** Features of the texts before the head, computed once: first position of the last hidden state, [N, H]. */
    static final class Features implements TrainingData, AutoCloseable {
        final SequenceClassificationTask.Examples examples;
        private final Tensor values;

        private Features(SequenceClassificationTask.Examples examples, Tensor values) {
            this.examples = examples;
            this.values = values;
        }

        static Features of(PreTrainedModel<?> model, SequenceClassificationTask.Examples examples, int batchSize) {
            LOG.info("computing the features of {} texts once", examples.size());
            model.optimize(Precision.FP32);
            Tensor values = Memory.scoped(
                    () -> torch.empty(examples.size(), model.config().size("hidden_size", 1)));
            for (int[] indexes : examples.inOrderOfLength(batchSize)) {
                try (PointerScope scope = new PointerScope()) {
                    Map<String, Tensor> batch = new LinkedHashMap<>(examples.batch(indexes, new SplittableRandom(0)));
                    batch.remove("labels");
                    try (ModelOutput out = model.forward(Inputs.of(batch).withHiddenStates(true))) {
                        Tensor last = null;
                        for (Map.Entry<String, Tensor> e : out.tensors().entrySet()) {
                            last = e.getKey().startsWith("hidden_states.") ? e.getValue() : last;
                        }
                        if (last == null) {
                            throw new IllegalStateException("no hidden states");
                        }
                        values.index_copy_(0, index(indexes), last.select(1, 0).cpu()); // [B, H]
                    }
                }
            }
            return new Features(examples, values);
        }

        private static Tensor index(int[] indexes) {
            return Tensors.int64(java.util.Arrays.stream(indexes).asLongStream().toArray());
        }

        @Override
        public int size() {
            return examples.size();
        }

        @Override
        public Map<String, Tensor> batch(int[] indexes, SplittableRandom random) {
            Map<String, Tensor> batch = new LinkedHashMap<>();
            batch.put("features", values.index_select(0, index(indexes))); // [B, H]
            batch.put("labels", examples.labels(indexes)); // [B]
            return batch;
        }

        @Override
        public void close() {
            values.close();
        }
    }
}
