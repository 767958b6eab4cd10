package dev.headstart.train.pretrain;

import dev.headstart.HeadstartException;
import dev.headstart.train.TrainingArguments;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** What to pre-train, on what, how, and where the result goes. Set what is needed; {@link Pretrain#run} checks it. */
public final class PretrainOptions {
    /** What the model learns to do. */
    public enum Objective {
        /** Masked words and whether the second text follows the first (BERT, Devlin et al. 2019). */
        MLM_NSP,
        /** Masked words alone. */
        MLM,
        /** The next token (GPT-2, Radford et al. 2019). */
        CLM,
        /** Missing spans (T5, Raffel et al. 2020). */
        SPAN_CORRUPTION;

        /** {@code mlm-nsp}, {@code mlm}, {@code clm}, {@code span-corruption}. */
        public String id() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }

        /** By id. @throws HeadstartException naming what there is */
        public static Objective of(String id) {
            return Arrays.stream(values())
                    .filter(o -> o.id().equals(id))
                    .findFirst()
                    .orElseThrow(() -> new HeadstartException("--objective " + id + " is not known; known: "
                            + Arrays.stream(values()).map(Objective::id).collect(Collectors.joining(", "))));
        }
    }

    final Objective objective;
    final List<Path> data;
    final Path output;
    String config = "mini";
    Map<String, String> overrides = Map.of();
    String init = "random";

    @Nullable
    String tokenizer;

    int vocabSize;
    boolean cased;
    int blockSize;
    double validationSplit = 0.05;
    long evalTokens = 200_000;
    int evalBatchSize = 16;
    double mlmProbability = 0.15;
    double noiseDensity = 0.15;
    double meanSpan = 3;
    double shortProbability = 0.1;

    @Nullable
    Double dropout;

    String saveDtype = "fp32";
    boolean overwrite;
    boolean resume;
    boolean offline;
    String device = "auto";
    TrainingArguments arguments = TrainingArguments.defaults();

    @Nullable
    String command;

    /** @param data text files, tables with a text column, folders of them; @param output folder to make */
    public PretrainOptions(Objective objective, List<Path> data, Path output) {
        this.objective = objective;
        this.data = List.copyOf(data);
        this.output = output;
    }

    /** {@code mini}, {@code small}, {@code base}, or a config.json. @param overrides fields of it that differ */
    public PretrainOptions config(String value, Map<String, String> overrides) {
        config = value;
        this.overrides = new LinkedHashMap<>(overrides);
        return this;
    }

    /**
     * {@code random}; {@code local}, random but for the heads of the first layer, which begin on the neighbours of each token (encoders with learnt
     * positions); or the folder or id of a model to go on from.
     */
    public PretrainOptions init(String value) {
        init = value;
        return this;
    }

    /** Whether the model begins with new weights. */
    boolean isNew() {
        return init.equals("random") || init.equals("local");
    }

    /** A folder, or {@code wordpiece}, {@code bpe}, {@code unigram}, {@code char} to train one on the data. @param vocabSize 0 for the default */
    public PretrainOptions tokenizer(@Nullable String value, int vocabSize, boolean cased) {
        tokenizer = value;
        this.vocabSize = vocabSize;
        this.cased = cased;
        return this;
    }

    /** Tokens of an example; 0 for the most that the configuration takes, at most 128. */
    public PretrainOptions blockSize(int value) {
        blockSize = value;
        return this;
    }

    /** Part of the data held out, in (0, 1). @param tokens most tokens that an evaluation reads */
    public PretrainOptions validation(double split, long tokens, int batchSize) {
        validationSplit = split;
        evalTokens = tokens;
        evalBatchSize = batchSize;
        return this;
    }

    /** Part of the tokens that is predicted. */
    public PretrainOptions mlmProbability(double value) {
        mlmProbability = value;
        return this;
    }

    /** Part of the tokens that goes missing, in spans of this mean length. */
    public PretrainOptions spans(double density, double mean) {
        noiseDensity = density;
        meanSpan = mean;
        return this;
    }

    /** Dropout while pre-training; the saved configuration keeps its own. Null for the configuration's. */
    public PretrainOptions dropout(@Nullable Double value) {
        dropout = value;
        return this;
    }

    /** Type of the saved weights: fp32, bf16 or fp16. */
    public PretrainOptions saveDtype(String value) {
        saveDtype = value;
        return this;
    }

    /** Whether a folder that is not empty may be written to. */
    public PretrainOptions overwrite(boolean value) {
        overwrite = value;
        return this;
    }

    /** Whether to go on from the last complete checkpoint. */
    public PretrainOptions resume(boolean value) {
        resume = value;
        return this;
    }

    /** Whether nothing may be fetched. */
    public PretrainOptions offline(boolean value) {
        offline = value;
        return this;
    }

    /** auto, cpu, cuda or cuda:N. */
    public PretrainOptions device(String value) {
        device = value;
        return this;
    }

    /** How training runs. */
    public PretrainOptions arguments(TrainingArguments value) {
        arguments = value;
        return this;
    }

    /** The command line, for the model card. */
    public PretrainOptions command(@Nullable String value) {
        command = value;
        return this;
    }
}
