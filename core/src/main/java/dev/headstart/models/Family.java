package dev.headstart.models;

import dev.headstart.HeadstartException;
import dev.headstart.io.TensorSource;
import dev.headstart.nn.Weights;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;

/**
 * One model family: its {@code model_type}, the base model's prefix inside the task models, and how each class is built. The first class is the one
 * without a head.
 */
public final class Family {
    /** Builds a model from its weights and configuration. */
    public interface Builder {
        PreTrainedModel<?> build(Weights w, ConfigJson config);
    }

    private final String modelType;
    private final String basePrefix;
    private final Map<String, Builder> classes = new LinkedHashMap<>();
    private BiFunction<TensorSource, ConfigJson, TensorSource> adapt = (source, config) -> source;

    private Family(String modelType, String basePrefix) {
        this.modelType = modelType;
        this.basePrefix = basePrefix;
    }

    /** @param modelType config.json's model_type; @param basePrefix transformers' base_model_prefix, empty for none */
    public static Family of(String modelType, String basePrefix) {
        return new Family(modelType, basePrefix);
    }

    /** Adds a class under transformers' name. */
    public Family add(String architecture, Builder builder) {
        classes.put(architecture, builder);
        return this;
    }

    /** How checkpoints with other names (timm, torchvision, the original authors') are made to look like transformers'. */
    public Family adapting(BiFunction<TensorSource, ConfigJson, TensorSource> adapter) {
        this.adapt = adapter;
        return this;
    }

    /** config.json's model_type. */
    public String modelType() {
        return modelType;
    }

    String basePrefix() {
        return basePrefix;
    }

    /** The class names there are. */
    public List<String> architectures() {
        return List.copyOf(classes.keySet());
    }

    @Nullable
    Builder builder(String architecture) {
        return classes.get(architecture);
    }

    TensorSource adapt(TensorSource source, ConfigJson config) {
        return adapt.apply(source, config);
    }

    /**
     * The class for a task by the end of its name: {@code ForSequenceClassification}; empty for the base model, of a checkpoint that holds an encoder
     * alone ({@code T5EncoderModel}) that one; {@code EncoderModel} for the encoder, in most families the base model. A class of the task that config.json
     * names comes first ({@code DeiTForImageClassificationWithTeacher}).
     */
    String withHead(String suffix, ConfigJson config) {
        if (suffix.isEmpty()) {
            return config.architectures().stream()
                    .filter(named -> named.endsWith("EncoderModel") && classes.containsKey(named))
                    .findFirst()
                    .orElse(architectures().get(0));
        }
        if (suffix.equals("EncoderModel")) {
            return classes.keySet().stream()
                    .filter(c -> c.endsWith(suffix))
                    .findFirst()
                    .orElse(architectures().get(0));
        }
        for (String named : config.architectures()) {
            if (named.contains(suffix) && classes.containsKey(named)) {
                return named;
            }
        }
        return classes.keySet().stream()
                .filter(c -> c.endsWith(suffix)
                        || (suffix.equals("ForCausalLM") && c.endsWith("LMHeadModel"))
                        || (suffix.equals("ForConditionalGeneration") && c.endsWith("MTModel")))
                .findFirst()
                .or(() -> suffix.equals("ForPreTraining") // most were pre-trained on masked words alone
                        ? classes.keySet().stream()
                                .filter(c -> c.endsWith("ForMaskedLM"))
                                .findFirst()
                        : Optional.empty())
                .orElseThrow(() -> new HeadstartException(
                        "model_type " + modelType + " has no class ...$suffix; it has ".replace("$suffix", suffix)
                                + String.join(", ", classes.keySet())
                                + TaskHint.of(config, suffix)));
    }
}
