package dev.headstart.train.vision;

import dev.headstart.data.Columns;
import dev.headstart.data.OnError;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.finetune.FineTuneOptions.Mode;
import java.nio.file.Path;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** What image classifier to train, on what, how, and where the result goes. Set what is needed; {@link ImageFineTune#run} checks it. */
public final class ImageFineTuneOptions {
    /** Bytes of decoded images that are kept unless told otherwise. */
    static final long IMAGE_MEMORY = 1L << 30;

    final Path train;
    final Path output;
    String model = "";
    boolean fresh;

    @Nullable
    Path validation;

    @Nullable
    Path test;

    double validationSplit = 0.1;
    boolean overwrite;
    boolean resume;
    Mode mode = Mode.FULL;
    TrainingArguments arguments = TrainingArguments.defaults();
    int evalBatchSize = 64;
    int maxTrainSamples;
    int maxEvalSamples;
    double labelSmoothing;
    Augmentation augmentation = Augmentation.NONE;
    double mixup;
    double cutmix;
    double ema;
    double layerDecay = 1;
    double gradualUnfreezing;
    int loraRank = 8;
    double loraAlpha = 16;
    double loraDropout;
    List<String> loraTargets = List.of();
    boolean loraMerge;
    OnError onError = OnError.FAIL;
    long imageMemory = IMAGE_MEMORY;
    boolean offline;
    String device = "auto";
    String metric = "accuracy";
    List<String> classNames = List.of();
    final Map<Columns.Role, String> columns = new EnumMap<>(Columns.Role.class);

    @Nullable
    String command;

    /** @param train class folders, a table with the columns image and label, or {@code FILE.npz#SPLIT}; @param output folder to make */
    public ImageFineTuneOptions(Path train, Path output) {
        this.train = train;
        this.output = output;
    }

    /** The model to begin with, id or folder. */
    public ImageFineTuneOptions model(String id) {
        model = id;
        return this;
    }

    /** Begins with new weights instead: a name ({@code resnet20}, {@code resnet50}, ...) or the folder or id of a model, whose shape and processor are taken. */
    public ImageFineTuneOptions fromNothing(String config) {
        model = config;
        fresh = true;
        return this;
    }

    /** Data to evaluate on; without it a part of the training data is set aside. */
    public ImageFineTuneOptions validation(@Nullable Path location) {
        validation = location;
        return this;
    }

    /** Data to measure on once, after training; it chooses nothing. */
    public ImageFineTuneOptions test(@Nullable Path location) {
        test = location;
        return this;
    }

    /** Part of each class that is set aside when there is no validation data. */
    public ImageFineTuneOptions validationSplit(double part) {
        validationSplit = part;
        return this;
    }

    /** What is trained: everything, the head alone, or a low-rank adapter on the Linear layers (models that have them) and the head. */
    public ImageFineTuneOptions mode(Mode value) {
        mode = value;
        return this;
    }

    /** Learning rate, epochs and the like. */
    public ImageFineTuneOptions arguments(TrainingArguments value) {
        arguments = value;
        return this;
    }

    /** Whether an output folder that holds something may be replaced. */
    public ImageFineTuneOptions overwrite(boolean value) {
        overwrite = value;
        return this;
    }

    /** Whether to go on from the newest checkpoint in the output folder. */
    public ImageFineTuneOptions resume(boolean value) {
        resume = value;
        return this;
    }

    /** Images of one forward pass in evaluation. */
    public ImageFineTuneOptions evalBatchSize(int value) {
        evalBatchSize = value;
        return this;
    }

    /** Uses so many images only, equally many of each class; 0 for all. */
    public ImageFineTuneOptions maxSamples(int training, int evaluation) {
        maxTrainSamples = training;
        maxEvalSamples = evaluation;
        return this;
    }

    /** Label smoothing in [0, 1). */
    public ImageFineTuneOptions labelSmoothing(double value) {
        labelSmoothing = value;
        return this;
    }

    /** What happens to each training image. */
    public ImageFineTuneOptions augmentation(Augmentation value) {
        augmentation = value;
        return this;
    }

    /** Alphas of mixup and cutmix; 0 for none. */
    public ImageFineTuneOptions mixing(double mixupAlpha, double cutmixAlpha) {
        mixup = mixupAlpha;
        cutmix = cutmixAlpha;
        return this;
    }

    /** Decay of the moving average of the weights, which then is evaluated and saved; 0 for none. */
    public ImageFineTuneOptions ema(double decay) {
        ema = decay;
        return this;
    }

    /** What the learning rate is multiplied with from each block to the one below it; 1 for the same rate everywhere. */
    public ImageFineTuneOptions layerDecay(double value) {
        layerDecay = value;
        return this;
    }

    /** Part of the training in which the blocks are unfrozen one after the other, beginning with the head; 0: everything learns from the start. */
    public ImageFineTuneOptions gradualUnfreezing(double part) {
        gradualUnfreezing = part;
        return this;
    }

    /** The adapter of lora mode. @param targets layer names; empty for the family's default @param merge whether the result is a whole model */
    public ImageFineTuneOptions lora(int rank, double alpha, double dropout, List<String> targets, boolean merge) {
        loraRank = rank;
        loraAlpha = alpha;
        loraDropout = dropout;
        loraTargets = List.copyOf(targets);
        loraMerge = merge;
        return this;
    }

    /** What to do with images that cannot be read. */
    public ImageFineTuneOptions onError(OnError value) {
        onError = value;
        return this;
    }

    /** Bytes of decoded images that are kept in memory (1 GiB); others are decoded each time. */
    public ImageFineTuneOptions imageMemory(long bytes) {
        imageMemory = bytes;
        return this;
    }

    /** Whether nothing may be fetched. */
    public ImageFineTuneOptions offline(boolean value) {
        offline = value;
        return this;
    }

    /** auto, cpu, cuda or cuda:N. */
    public ImageFineTuneOptions device(String value) {
        device = value;
        return this;
    }

    /** The metric that says which checkpoint is best: accuracy, f1_macro, auc (two classes), auc_ovr, loss, ... */
    public ImageFineTuneOptions metric(String name) {
        metric = name;
        return this;
    }

    /** What to call the labels of the data, in their order; empty to call them as the data does. */
    public ImageFineTuneOptions classNames(List<String> names) {
        classNames = List.copyOf(names);
        return this;
    }

    /** Names a column of a table. */
    public ImageFineTuneOptions column(Columns.Role role, String name) {
        columns.put(role, name);
        return this;
    }

    /** The command line, for the model card. */
    public ImageFineTuneOptions command(@Nullable String value) {
        command = value;
        return this;
    }
}
