package dev.headstart.train.vision;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.data.OnError;
import dev.headstart.hub.FileSelection;
import dev.headstart.hub.Hub;
import dev.headstart.models.AutoModelForImageClassification;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Parameter;
import dev.headstart.peft.LoraAdapter;
import dev.headstart.peft.LoraConfig;
import dev.headstart.train.MovingAverage;
import dev.headstart.train.Objective;
import dev.headstart.train.OutputFolder;
import dev.headstart.train.Trainer;
import dev.headstart.train.TrainerCallback;
import dev.headstart.train.finetune.FineTune;
import dev.headstart.train.finetune.FineTuneOptions.Mode;
import dev.headstart.train.finetune.History;
import dev.headstart.train.finetune.ReportPage;
import dev.headstart.train.finetune.RunResults;
import dev.headstart.train.finetune.TensorBoardLog;
import dev.headstart.train.finetune.TrainingLog;
import dev.headstart.train.finetune.Usage;
import dev.headstart.train.metrics.Evaluation;
import dev.headstart.vision.ImageProcessor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Trains an image classifier, from a pre-trained model or from nothing, and writes an ordinary Hugging Face folder: weights, config.json with the class
 * names, preprocessor_config.json, model card, training log. In lora mode the folder holds the adapter in PEFT's format.
 *
 * <p>Images are decoded and augmented while the model computes; convolutions run channels-last. Of frozen layers the batch normalizations keep their
 * running statistics.
 */
public final class ImageFineTune {
    private static final Logger LOG = LoggerFactory.getLogger(ImageFineTune.class);
    private static final long SPLIT_SEED = 7;
    private static final String LOG_FILE = "training_log.jsonl";
    private final ImageFineTuneOptions options;
    private volatile @Nullable Trainer trainer;
    private volatile boolean stop;
    private final List<TrainerCallback> callbacks = new ArrayList<>();

    /**
     * What came out.
     *
     * @param output the folder
     * @param result how training ended
     * @param trainExamples images per class
     * @param evalExamples number of images
     * @param testExamples number of images
     * @param test metrics on the test images, measured once after training; empty without
     * @param trainedParameters number of elements that were trained
     * @param parameters number of elements of the whole model
     */
    public record Report(
            Path output,
            Trainer.Result result,
            Map<String, Integer> trainExamples,
            int evalExamples,
            int testExamples,
            Map<String, Double> test,
            long trainedParameters,
            long parameters) {
        int trainImages() {
            return trainExamples.values().stream().mapToInt(n -> n).sum();
        }
    }

    /** @param options what to do */
    public ImageFineTune(ImageFineTuneOptions options) {
        this.options = options;
    }

    /** One more watcher of the training. */
    public ImageFineTune callback(TrainerCallback value) {
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
     * @throws HeadstartException when data, model or options do not fit; nothing has been written then
     */
    public Report run() {
        Usage usage = new Usage();
        OutputFolder.check(options.output, options.overwrite || options.resume, FineTune.OCCUPIED);
        ImageSamples all = ImageSamples.open(options.train, options.columns, options.onError, options.imageMemory)
                .checked(options.onError);
        labels(all.counts().keySet());
        ImageSamples train = all, validation;
        if (options.validation != null) {
            validation = ImageSamples.open(options.validation, options.columns, options.onError, options.imageMemory)
                    .checked(options.onError);
        } else {
            List<ImageSamples> parts = all.split(options.validationSplit, SPLIT_SEED);
            train = parts.get(0);
            validation = parts.get(1);
            LOG.info(
                    "no --validation: {} of {} images are set aside, drawn from each class with a fixed seed",
                    validation.size(),
                    all.size());
        }
        train = train.balanced(options.maxTrainSamples, SPLIT_SEED);
        validation = validation.balanced(options.maxEvalSamples, SPLIT_SEED);
        ImageSamples test = options.test == null
                ? null
                : ImageSamples.open(options.test, options.columns, options.onError, options.imageMemory)
                        .checked(options.onError);
        Map<String, Integer> counts = train.counts();
        Map<Integer, String> labels = labels(counts.keySet());
        known("validation", validation, counts);
        if (test != null) {
            known("test", test, counts);
        }
        LOG.info("{} training and {} validation images, {} classes", train.size(), validation.size(), labels.size());
        LoadOptions load = LoadOptions.defaults()
                .withInit(LoadOptions.Init.NEW_HEAD)
                .withSeed(options.arguments.seed())
                .withOffline(options.offline ? Boolean.TRUE : null)
                .withDevice(options.device)
                .withId2label(names(labels));
        ImageModels.Start start = options.fresh ? ImageModels.of(options.model, options.offline) : null;
        try (PreTrainedModel<?> model = start == null
                ? AutoModelForImageClassification.fromPretrained(options.model, load)
                : scratch(start, load)) {
            usage.of(model);
            ImageProcessor processor = start != null
                    ? start.processor()
                    : ImageProcessor.fromFolder(Hub.standard()
                            .resolve(options.model, FileSelection.NO_WEIGHTS, load)
                            .path());
            Mixing mixing = options.mixup > 0 || options.cutmix > 0 ? new Mixing(options.mixup, options.cutmix) : null;
            try (ImageBatches batches =
                            new ImageBatches(train, processor, labels, options.augmentation, mixing, options.onError);
                    ImageBatches evaluation =
                            new ImageBatches(validation, processor, labels, Augmentation.NONE, null, OnError.FAIL);
                    ImageBatches unseen = test == null
                            ? null
                            : new ImageBatches(test, processor, labels, Augmentation.NONE, null, OnError.FAIL)) {
                return train(model, processor, batches, evaluation, unseen, counts, usage);
            }
        }
    }

    private static void known(String split, ImageSamples samples, Map<String, Integer> counts) {
        for (String label : samples.counts().keySet()) {
            if (!counts.containsKey(label)) {
                throw new HeadstartException(split + " data has the class \"" + label
                        + "\", which the training data lacks; it has " + counts.keySet());
            }
        }
    }

    private static PreTrainedModel<?> scratch(ImageModels.Start start, LoadOptions load) {
        start.config().labels(java.util.Objects.requireNonNull(load.id2label()));
        return AutoModelForImageClassification.fromConfig(start.config(), load);
    }

    /** The data's labels by index: whole numbers by value, else by name. */
    private Map<Integer, String> labels(Set<String> found) {
        if (found.size() < 2) {
            throw new HeadstartException(options.train + ": a classifier needs at least 2 classes, found "
                    + found.size() + " (" + String.join(", ", found)
                    + "); expected one folder for each class, or a label column");
        }
        List<String> sorted = new ArrayList<>(found);
        boolean whole = found.stream().allMatch(n -> n.matches("-?\\d{1,9}"));
        sorted.sort(
                whole
                        ? java.util.Comparator.comparingInt(Integer::parseInt)
                        : java.util.Comparator.<String>naturalOrder());
        Map<Integer, String> labels = new TreeMap<>();
        sorted.forEach(l -> labels.put(labels.size(), l));
        return labels;
    }

    /** The names that the model gives its classes. */
    private Map<Integer, String> names(Map<Integer, String> labels) {
        List<String> given = options.classNames;
        if (given.isEmpty()) {
            return labels;
        }
        if (given.size() != labels.size()) {
            throw new HeadstartException("--class-names gives " + given.size() + " names, the data has " + labels.size()
                    + " classes: " + labels.values());
        }
        Map<Integer, String> names = new TreeMap<>();
        labels.keySet().forEach(i -> names.put(i, given.get(i)));
        return names;
    }

    private Report train(
            PreTrainedModel<?> model,
            ImageProcessor processor,
            ImageBatches train,
            ImageBatches validation,
            @Nullable ImageBatches test,
            Map<String, Integer> counts,
            Usage usage) {
        LoraAdapter adapter = null;
        LayerGroups groups = new LayerGroups(model, options.gradualUnfreezing);
        if (options.mode == Mode.LORA) {
            adapter = LoraAdapter.create(model, loraConfig(model), options.arguments.seed());
        } else if (options.mode == Mode.HEAD || options.gradualUnfreezing > 0) {
            groups.close();
        }
        model.layOutForTraining(options.arguments.bf16());
        boolean up = !options.metric.equals("loss");
        try (MovingAverage average = options.ema > 0 ? new MovingAverage(model, options.ema, options.output) : null;
                TensorBoardLog events = new TensorBoardLog(options.output, options.resume, "images")) {
            Trainer run = new Trainer(
                            model,
                            options.arguments
                                    .groupByLength(false)
                                    .metricForBestModel(options.metric, up)
                                    .loadBestModelAtEnd(average == null),
                            train)
                    .objective(this::loss)
                    .adapter(adapter)
                    .checkpoints(options.output)
                    .resume(options.resume)
                    .evaluation(m -> evaluate(m, validation, average))
                    .callback(new TrainingLog(options.output.resolve(LOG_FILE), options.resume, "images"))
                    .callback(events)
                    .callback(new TrainerCallback() {
                        @Override
                        public void onSave(long step, Path staging) {
                            processor.savePretrained(staging);
                        }
                    });
            if (options.mode == Mode.FULL) {
                run.groups(() -> groups.rates(options.layerDecay, options.arguments.weightDecay()))
                        .callback(groups);
            }
            if (average != null) {
                run.callback(average);
            }
            callbacks.forEach(run::callback);
            trainer = run;
            if (stop) {
                run.requestStop();
            }
            Trainer.Result result = run.train();
            boolean done = !result.reason().equals("interrupted");
            if (done && average != null) {
                average.swap();
            }
            model.eval();
            Report report = new Report(
                    options.output,
                    result,
                    counts,
                    validation.size(),
                    test == null ? 0 : test.size(),
                    done && test != null ? evaluate(model, test) : Map.of(),
                    FineTune.trainedParameters(model, adapter),
                    model.numParameters());
            if (done) {
                finish(model, processor, adapter, report, usage);
                results(report, usage).write(options.output);
            }
            return report;
        }
    }

    private ReportPage.Training told(Report report) {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("training images", ReportPage.count(report.trainImages()));
        facts.put("validation images", ReportPage.count(report.evalExamples()));
        facts.put("classes", ReportPage.count(report.trainExamples().size()));
        facts.put(
                "parameters trained",
                ReportPage.count(report.trainedParameters()) + " of " + ReportPage.count(report.parameters()));
        return new ReportPage.Training(
                "image-classification: " + options.model,
                (options.fresh ? "trained from nothing" : "fine-tuned")
                        + ", "
                        + options.mode.name().toLowerCase(java.util.Locale.ROOT)
                        + ", on "
                        + options.train.getFileName(),
                options.metric,
                "images",
                facts,
                report.result(),
                report.test(),
                report.testExamples(),
                options.arguments.toMap(),
                options.command);
    }

    private RunResults results(Report report, Usage usage) {
        return RunResults.of(report.result(), usage)
                .samples(report.trainImages(), report.evalExamples(), report.testExamples())
                .parameters(report.trainedParameters(), report.parameters())
                .metric(options.metric, !options.metric.equals("loss"))
                .metrics("test", report.test());
    }

    private LoraConfig loraConfig(PreTrainedModel<?> model) {
        if (options.ema > 0) {
            throw new HeadstartException("--ema and --mode lora do not go together; leave one out");
        }
        List<String> whole = model.namedParameters().values().stream()
                .filter(Parameter::isHead)
                .map(Parameter::name)
                .map(name -> name.substring(0, name.lastIndexOf('.')))
                .distinct()
                .toList();
        return LoraConfig.of(options.loraRank, options.loraAlpha, options.loraTargets, whole)
                .withDropout(options.loraDropout)
                .withOrigin(null, options.model);
    }

    /** Cross entropy with label smoothing, against classes or, when images are mixed, against their shares. */
    private Tensor loss(PreTrainedModel<?> model, Map<String, Tensor> batch) {
        Map<String, Tensor> inputs = new LinkedHashMap<>(batch);
        Tensor labels = java.util.Objects.requireNonNull(inputs.remove("labels")); // [B] or [B, C]
        Tensor logits = logits(Objective.forward(model, inputs)).to(ScalarType.Float); // [B, C]
        return torch.cross_entropy_loss(
                logits,
                labels.to(logits.device(), labels.scalar_type()),
                new TensorOptional(),
                1,
                -100,
                options.labelSmoothing);
    }

    private static Tensor logits(Map<String, Tensor> outputs) {
        Tensor logits = outputs.get("logits");
        if (logits == null) {
            throw new HeadstartException("the model gives no logits, but " + outputs.keySet());
        }
        return logits;
    }

    private Map<String, Double> evaluate(PreTrainedModel<?> model, ImageBatches data, @Nullable MovingAverage average) {
        return average == null ? evaluate(model, data) : average.during(() -> evaluate(model, data));
    }

    private Map<String, Double> evaluate(PreTrainedModel<?> model, ImageBatches data) {
        int n = data.size(), classes = model.config().numLabels(), step = options.evalBatchSize;
        int[] gold = new int[n], found = new int[n];
        double[][] probabilities = new double[n][];
        double loss = 0;
        for (int from = 0; from < n; from += step) {
            int[] indexes = range(from, Math.min(n, from + step));
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> batch = data.batch(indexes, new SplittableRandom(from));
                if (from + step < n) {
                    data.announce(
                            List.of(range(from + step, Math.min(n, from + 2 * step))),
                            new SplittableRandom(from + step));
                }
                Map<String, Tensor> out = Objective.forward(model, batch);
                Tensor l = out.get("loss");
                loss += l == null ? Double.NaN : l.item_double() * indexes.length;
                float[] flat = Tensors.floats(logits(out).softmax(-1)); // [B, C]
                for (int r = 0; r < indexes.length; r++) {
                    int i = indexes[r];
                    double[] p = new double[classes];
                    for (int c = 0; c < classes; c++) {
                        p[c] = flat[r * classes + c];
                        found[i] = p[c] > p[found[i]] ? c : found[i];
                    }
                    probabilities[i] = p;
                    gold[i] = data.label(i);
                }
            }
        }
        return Evaluation.classification(gold, found, classes, probabilities, Evaluation.Options.VALUES_ALONE)
                .values(loss / n);
    }

    private static int[] range(int from, int to) {
        return IntStream.range(from, to).toArray();
    }

    private void finish(
            PreTrainedModel<?> model,
            ImageProcessor processor,
            @Nullable LoraAdapter adapter,
            Report report,
            Usage usage) {
        Path out = options.output;
        if (adapter != null && options.loraMerge) {
            adapter.merge();
        }
        if (adapter != null && !options.loraMerge) {
            adapter.save(out);
            model.saveConfig(out);
        } else {
            model.savePretrained(out);
        }
        processor.savePretrained(out);
        ImageModelCard.write(out.resolve("README.md"), options, model, report, usage);
        ReportPage.write(out.resolve("report.html"), told(report), History.read(out.resolve(LOG_FILE)));
        LOG.info("{}: {}", out, TrainingLog.shown(report.result().metrics()));
    }
}
