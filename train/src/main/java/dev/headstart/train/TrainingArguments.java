package dev.headstart.train;

import dev.headstart.HeadstartException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * How training runs, under transformers' names and with its defaults (transformers.TrainingArguments). Begin with {@link #defaults()} and set what
 * differs; the trainer checks the values and works on a copy.
 */
public final class TrainingArguments implements Cloneable {
    private static final List<String> OPTIMIZERS = List.of("adamw", "adafactor", "sgd");

    double learningRate = 5e-5;
    Schedule schedule = Schedule.LINEAR;
    long warmupSteps;
    double warmupRatio;
    double epochs = 3;
    long maxSteps = -1;
    long minSteps;
    boolean checkpoints = true;
    boolean gradientCheckpointing;
    int batchSize = 8;
    int gradientAccumulationSteps = 1;
    double maxGradNorm = 1;
    double weightDecay;
    String optimizer = "adamw";
    double momentum = 0.9;
    boolean nesterov;
    boolean scaleParameter = true;
    double adamBeta1 = 0.9;
    double adamBeta2 = 0.999;
    double adamEpsilon = 1e-8;
    boolean bf16;
    boolean groupByLength = true;
    long seed = 42;
    int loggingSteps = 10;
    int evalSteps;
    int saveSteps;
    int saveTotalLimit = 2;
    int earlyStoppingPatience;
    double earlyStoppingThreshold;

    @Nullable
    String metricForBestModel;

    boolean greaterIsBetter = true;
    boolean loadBestModelAtEnd = true;

    private TrainingArguments() {}

    /** transformers' defaults, with batches of similar length and the best checkpoint taken at the end. */
    public static TrainingArguments defaults() {
        return new TrainingArguments();
    }

    /** Highest learning rate. */
    public TrainingArguments learningRate(double value) {
        learningRate = value;
        return this;
    }

    /** How the rate runs. */
    public TrainingArguments schedule(Schedule value) {
        schedule = value;
        return this;
    }

    /** Steps in which the rate rises from 0; wins over the ratio. */
    public TrainingArguments warmupSteps(long value) {
        warmupSteps = value;
        return this;
    }

    /** Part of all steps in which the rate rises from 0. */
    public TrainingArguments warmupRatio(double value) {
        warmupRatio = value;
        return this;
    }

    /** Passes over the data. */
    public TrainingArguments epochs(double value) {
        epochs = value;
        return this;
    }

    /** Number of steps; wins over the epochs. -1 for what the epochs give. */
    public TrainingArguments maxSteps(long value) {
        maxSteps = value;
        return this;
    }

    /** At least so many steps, whatever the epochs give: small data is passed over more often. */
    public TrainingArguments minSteps(long value) {
        minSteps = value;
        return this;
    }

    /** Whether checkpoints are written; without them nothing can be resumed, and the last weights are taken. */
    public TrainingArguments checkpoints(boolean value) {
        checkpoints = value;
        return this;
    }

    /**
     * Whether what a layer computes is forgotten after the forward pass and computed again for the backward pass: less memory, about a third more
     * time, the same numbers (Chen et al. 2016).
     */
    public TrainingArguments gradientCheckpointing(boolean value) {
        gradientCheckpointing = value;
        return this;
    }

    /** Examples of one forward pass. */
    public TrainingArguments batchSize(int value) {
        batchSize = value;
        return this;
    }

    /** Batches whose gradients make one step. */
    public TrainingArguments gradientAccumulationSteps(int value) {
        gradientAccumulationSteps = value;
        return this;
    }

    /** Gradients are scaled down to this 2-norm; 0 leaves them alone. */
    public TrainingArguments maxGradNorm(double value) {
        maxGradNorm = value;
        return this;
    }

    /** Weight decay of all but biases and normalizations. */
    public TrainingArguments weightDecay(double value) {
        weightDecay = value;
        return this;
    }

    /** Weight decay of all but biases and normalizations. */
    public double weightDecay() {
        return weightDecay;
    }

    /** {@code adamw}, {@code adafactor} or {@code sgd}. */
    public TrainingArguments optimizer(String value) {
        optimizer = value;
        return this;
    }

    /** Momentum of sgd. */
    public TrainingArguments momentum(double value) {
        momentum = value;
        return this;
    }

    /** Whether sgd's momentum is Nesterov's. */
    public TrainingArguments nesterov(boolean value) {
        nesterov = value;
        return this;
    }

    /** Whether adafactor's rate is a part of each parameter's size, which is its own default; transformers' Trainer turns it off. */
    public TrainingArguments scaleParameter(boolean value) {
        scaleParameter = value;
        return this;
    }

    /** AdamW's betas and eps. */
    public TrainingArguments adam(double beta1, double beta2, double epsilon) {
        adamBeta1 = beta1;
        adamBeta2 = beta2;
        adamEpsilon = epsilon;
        return this;
    }

    /** Whether the forward pass runs under bf16 autocast; weights stay fp32. */
    public TrainingArguments bf16(boolean value) {
        bf16 = value;
        return this;
    }

    /** Whether batches are made of examples of similar length: less padding. */
    public TrainingArguments groupByLength(boolean value) {
        groupByLength = value;
        return this;
    }

    /** Whether the forward pass runs under bf16 autocast. */
    public boolean bf16() {
        return bf16;
    }

    /** Seed of order, dropout and masks. */
    public TrainingArguments seed(long value) {
        seed = value;
        return this;
    }

    /** Seed of order, dropout and masks. */
    public long seed() {
        return seed;
    }

    /** Steps between two log entries. */
    public TrainingArguments loggingSteps(int value) {
        loggingSteps = value;
        return this;
    }

    /** Steps between two evaluations; 0 for one after each epoch. */
    public TrainingArguments evalSteps(int value) {
        evalSteps = value;
        return this;
    }

    /** Steps between two checkpoints; 0 for one after each evaluation. */
    public TrainingArguments saveSteps(int value) {
        saveSteps = value;
        return this;
    }

    /** Checkpoints kept besides the best one. */
    public TrainingArguments saveTotalLimit(int value) {
        saveTotalLimit = value;
        return this;
    }

    /** Evaluations without improvement after which training ends; 0 for never. @param threshold what counts as improvement */
    public TrainingArguments earlyStopping(int patience, double threshold) {
        earlyStoppingPatience = patience;
        earlyStoppingThreshold = threshold;
        return this;
    }

    /** Name of the metric that says which checkpoint is best; null for the loss. @param greaterIsBetter whether high is good */
    public TrainingArguments metricForBestModel(@Nullable String name, boolean greaterIsBetter) {
        metricForBestModel = name;
        this.greaterIsBetter = greaterIsBetter;
        return this;
    }

    /** Whether the weights of the best checkpoint are taken at the end. */
    public TrainingArguments loadBestModelAtEnd(boolean value) {
        loadBestModelAtEnd = value;
        return this;
    }

    TrainingArguments checked() {
        require(learningRate >= 0 && learningRate <= 100, "learning_rate", "a number from 0 to 100", learningRate);
        require(warmupSteps >= 0, "warmup_steps", "0 or more", warmupSteps);
        require(warmupRatio >= 0 && warmupRatio <= 1, "warmup_ratio", "a number from 0 to 1", warmupRatio);
        require(maxSteps > 0 || (maxSteps == -1 && epochs > 0), "num_train_epochs", "above 0 (or max_steps)", epochs);
        require(minSteps >= 0, "min_steps", "0 or more", minSteps);
        require(batchSize > 0, "batch_size", "1 or more", batchSize);
        require(gradientAccumulationSteps > 0, "gradient_accumulation_steps", "1 or more", gradientAccumulationSteps);
        require(maxGradNorm >= 0, "max_grad_norm", "0 (off) or more", maxGradNorm);
        require(weightDecay >= 0, "weight_decay", "0 or more", weightDecay);
        require(OPTIMIZERS.contains(optimizer), "optimizer", "one of " + String.join(", ", OPTIMIZERS), optimizer);
        require(loggingSteps > 0, "logging_steps", "1 or more", loggingSteps);
        require(saveTotalLimit > 0, "save_total_limit", "1 or more", saveTotalLimit);
        require(evalSteps >= 0, "eval_steps", "0 or more", evalSteps);
        require(saveSteps >= 0, "save_steps", "0 or more", saveSteps);
        try {
            return (TrainingArguments) clone();
        } catch (CloneNotSupportedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void require(boolean holds, String name, String expected, Object found) {
        if (!holds) {
            throw new HeadstartException(name + " must be " + expected + ", found " + found);
        }
    }

    /** The values by transformers' names, for cards and logs. */
    public Map<String, Object> toMap() {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("learning_rate", learningRate);
        m.put("lr_scheduler_type", schedule.id());
        m.put("warmup_steps", warmupSteps);
        m.put("warmup_ratio", warmupRatio);
        if (maxSteps > 0) {
            m.put("max_steps", maxSteps);
        } else {
            m.put("num_train_epochs", epochs);
        }
        if (minSteps > 0) {
            m.put("min_steps", minSteps);
        }
        m.put("per_device_train_batch_size", batchSize);
        m.put("gradient_accumulation_steps", gradientAccumulationSteps);
        m.put("max_grad_norm", maxGradNorm);
        m.put("weight_decay", weightDecay);
        m.put("optim", optimizer);
        if (optimizer.equals("adamw")) {
            m.put("adam_beta1", adamBeta1);
            m.put("adam_beta2", adamBeta2);
            m.put("adam_epsilon", adamEpsilon);
        } else if (optimizer.equals("adafactor")) {
            m.put("scale_parameter", scaleParameter);
        } else {
            m.put("momentum", momentum);
            m.put("nesterov", nesterov);
        }
        m.put("bf16", bf16);
        if (gradientCheckpointing) {
            m.put("gradient_checkpointing", true);
        }
        m.put("group_by_length", groupByLength);
        m.put("seed", seed);
        return m;
    }
}
