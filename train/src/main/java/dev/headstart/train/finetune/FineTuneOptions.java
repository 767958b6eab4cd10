package dev.headstart.train.finetune;

import dev.headstart.data.Columns;
import dev.headstart.data.OnError;
import dev.headstart.generation.GenerationConfig;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.metrics.Bleu;
import java.nio.file.Path;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** What to fine-tune, on what, how, and where the result goes. Set what is needed; {@link FineTune#run} checks it. */
public final class FineTuneOptions {
    /** What is trained. */
    public enum Mode {
        /** Every weight. */
        FULL,
        /** The task head alone, on features that are computed once. */
        HEAD,
        /** A low-rank adapter and the task head. */
        LORA
    }

    String task = "text-classification";
    String model = "";
    Path train = Path.of("");

    @Nullable
    Path validation;

    double validationSplit = 0.1;

    @Nullable
    Path test;

    List<String> labelNames = List.of();
    Path output = Path.of("");
    boolean overwrite;
    boolean resume;
    Mode mode = Mode.FULL;
    boolean fresh;
    TrainingArguments arguments = TrainingArguments.defaults();
    int evalBatchSize = 32;
    int maxLength;
    int maxTrainSamples;
    int maxEvalSamples;

    @Nullable
    String problemType;

    double labelSmoothing;

    @Nullable
    String classWeights;

    int loraRank = 8;
    double loraAlpha = 16;
    double loraDropout;
    List<String> loraTargets = List.of();
    boolean loraMerge;
    boolean loraHalf;
    double mlmProbability = 0.15;
    int docStride = 128;
    String sourcePrefix = "";
    int maxTargetLength = 128;
    double mixingTemperature = 1;
    long mixingLimit = 1L << 21; // the paper's, beside a temperature
    boolean generationMetrics = true;
    boolean offline;
    String device = "auto";

    @Nullable
    Path config;

    @Nullable
    String tokenizer;

    double ema;
    GenerationConfig generation = GenerationConfig.empty();
    Bleu.Settings bleu = Bleu.Settings.DEFAULT;
    boolean stem;

    @Nullable
    String precision;

    @Nullable
    String sentenceLoss;

    List<Integer> matryoshka = List.of();

    @Nullable
    OnError onError;

    @Nullable
    String command;

    final Map<Columns.Role, String> columns = new EnumMap<>(Columns.Role.class);

    /** @param task one of {@link FineTune#tasks}; @param model id or folder @param train data @param output folder to make */
    public FineTuneOptions(String task, String model, Path train, Path output) {
        this.task = task;
        this.model = model;
        this.train = train;
        this.output = output;
    }

    /** What to do with rows that cannot be read; null: the first one ends it. */
    public FineTuneOptions onError(@Nullable OnError value) {
        onError = value;
        return this;
    }

    /** Data to evaluate on; without it a part of the training data is set aside. */
    public FineTuneOptions validation(@Nullable Path file) {
        validation = file;
        return this;
    }

    /** Part of the training data that is set aside when there is no validation data. */
    public FineTuneOptions validationSplit(double part) {
        validationSplit = part;
        return this;
    }

    /** Data that is looked at once, after training: its metrics go into the model card and choose nothing. */
    public FineTuneOptions test(@Nullable Path file) {
        test = file;
        return this;
    }

    /** Names for the classes, in the order of the labels in the data (numbers by value, else by name); empty keeps those of the data. */
    public FineTuneOptions labelNames(List<String> names) {
        labelNames = List.copyOf(names);
        return this;
    }

    /** What is trained. */
    public FineTuneOptions mode(Mode value) {
        mode = value;
        return this;
    }

    /** Whether the model begins with new weights: only its shape and its tokenizer are taken. */
    public FineTuneOptions fresh(boolean value) {
        fresh = value;
        return this;
    }

    /** Learning rate, epochs and the like. */
    public FineTuneOptions arguments(TrainingArguments value) {
        arguments = value;
        return this;
    }

    /** Whether an output folder that holds something may be replaced. */
    public FineTuneOptions overwrite(boolean value) {
        overwrite = value;
        return this;
    }

    /** Whether to go on from the newest checkpoint in the output folder. */
    public FineTuneOptions resume(boolean value) {
        resume = value;
        return this;
    }

    /** Examples of one forward pass in evaluation. */
    public FineTuneOptions evalBatchSize(int value) {
        evalBatchSize = value;
        return this;
    }

    /** Longer texts are cut to so many tokens; 0 for the model's limit (question-answering: 384). */
    public FineTuneOptions maxLength(int value) {
        maxLength = value;
        return this;
    }

    /** Uses so many examples only, drawn with a fixed seed, smaller draws being part of larger ones; 0 for all. */
    public FineTuneOptions maxSamples(int train, int evaluation) {
        maxTrainSamples = train;
        maxEvalSamples = evaluation;
        return this;
    }

    /** single_label_classification, multi_label_classification or regression; null finds out from the labels. */
    public FineTuneOptions problemType(@Nullable String value) {
        problemType = value;
        return this;
    }

    /** Label smoothing in [0, 1). */
    public FineTuneOptions labelSmoothing(double value) {
        labelSmoothing = value;
        return this;
    }

    /** {@code balanced}, or one weight a class separated by commas, or null. */
    public FineTuneOptions classWeights(@Nullable String value) {
        classWeights = value;
        return this;
    }

    /** The adapter of lora mode. @param targets layer names; empty for the family's default; {@code all-linear} for all @param merge whether the result is a whole model */
    public FineTuneOptions lora(int rank, double alpha, double dropout, List<String> targets, boolean merge) {
        loraRank = rank;
        loraAlpha = alpha;
        loraDropout = dropout;
        loraTargets = List.copyOf(targets);
        loraMerge = merge;
        return this;
    }

    /** Whether the adapter is written in 16 bit: half the file, values rounded to 11 bits. */
    public FineTuneOptions loraHalf(boolean value) {
        loraHalf = value;
        return this;
    }

    /** Part of the tokens that masked language modelling predicts. */
    public FineTuneOptions mlmProbability(double value) {
        mlmProbability = value;
        return this;
    }

    /** Tokens that two pieces of a long context share (question answering). */
    public FineTuneOptions docStride(int value) {
        docStride = value;
        return this;
    }

    /** Names a column. */
    public FineTuneOptions column(Columns.Role role, String name) {
        columns.put(role, name);
        return this;
    }

    /** Names columns. */
    public FineTuneOptions columns(Map<Columns.Role, String> values) {
        columns.putAll(values);
        return this;
    }

    /** Sentence embeddings: multiple-negatives-ranking, cosent or cosine; null chooses by the columns. @param dims sizes at which truncated vectors are trained too */
    public FineTuneOptions sentenceLoss(@Nullable String name, List<Integer> dims) {
        sentenceLoss = name;
        matryoshka = List.copyOf(dims);
        return this;
    }

    /** Whether nothing may be fetched. */
    public FineTuneOptions offline(boolean value) {
        offline = value;
        return this;
    }

    /** auto, cpu, cuda or cuda:N. */
    public FineTuneOptions device(String value) {
        device = value;
        return this;
    }

    /** What an evaluation computes in: fp32, bf16, int8 or int4; null is plain fp32. Training has its own, in the arguments. */
    public FineTuneOptions precision(@Nullable String value) {
        precision = value;
        return this;
    }

    /** Begins with new weights of another shape than a model's; {@link #tokenizer} is needed then. @param file config.json, or a folder with one */
    public FineTuneOptions fromNothing(Path file) {
        config = file;
        fresh = true;
        return this;
    }

    /** The tokenizer, where it is not the model's: a folder or id. */
    public FineTuneOptions tokenizer(@Nullable String id) {
        tokenizer = id;
        return this;
    }

    /** Decay of a moving average of the weights, which is evaluated and saved instead of them; 0 for none. */
    public FineTuneOptions ema(double decay) {
        ema = decay;
        return this;
    }

    /** Text to text: how an evaluation generates, what is open being the model's own, and how it compares. @param stem whether ROUGE compares word stems */
    public FineTuneOptions generation(GenerationConfig parameters, Bleu.Settings bleu, boolean stem) {
        generation = parameters;
        this.bleu = bleu;
        this.stem = stem;
        return this;
    }

    /** What the weights are at the beginning, in words. */
    String origin() {
        return fresh ? "new weights (" + (config != null ? config.getFileName() : model) + ")" : model;
    }

    /** The command line, for the model card. */
    public FineTuneOptions command(@Nullable String value) {
        command = value;
        return this;
    }

    /** Text to text: what stands before every source, for instance {@code "summarize: "}. */
    public FineTuneOptions sourcePrefix(String value) {
        sourcePrefix = value;
        return this;
    }

    /** Text to text: targets are cut to so many tokens, and evaluation generates no more. */
    public FineTuneOptions maxTargetLength(int value) {
        maxTargetLength = value;
        return this;
    }

    /** Several tasks in one file: a task of e rows is drawn in proportion to min(e, K)^(1/T) (Raffel et al. 2020, section 3.5.2). @param temperature T @param limit K */
    public FineTuneOptions mixing(double temperature, long limit) {
        mixingTemperature = temperature;
        mixingLimit = limit;
        return this;
    }

    /** Text to text: whether evaluation generates texts and measures them, or measures the loss alone. */
    public FineTuneOptions generationMetrics(boolean value) {
        generationMetrics = value;
        return this;
    }
}
