package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.Hub;
import dev.headstart.io.Checkpoint;
import dev.headstart.io.TensorSource;
import dev.headstart.models.ConfigJson;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Memory;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.UnaryOperator;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What stands around the encoder in a sentence-transformers folder: prompts before the text; pooling, dense layers, normalization after it
 * (modules.json). A folder without modules.json is pooled by the mean over its tokens, as sentence-transformers does with a bare encoder.
 */
public final class SentenceTransformer implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(SentenceTransformer.class);
    private static final ObjectMapper JSON = new ObjectMapper();
    private final List<Stage> stages = new ArrayList<>();
    private final List<Tensor> owned = new ArrayList<>();
    private final SentenceSettings settings;
    private final int maxSeqLength;
    private final boolean lowerCase;
    private boolean includePrompt = true;

    /** One step from token vectors to a sentence vector. */
    private interface Stage {
        /** @param x [B, S, H] before pooling, [B, D] after it; @param mask int64 [B, S] */
        Tensor apply(Tensor x, Tensor mask);
    }

    /** As the folder says. */
    public SentenceTransformer(Path folder) {
        settings = SentenceSettings.of(folder, true);
        Path modules = folder.resolve("modules.json");
        Path encoder = folder;
        if (!Files.exists(modules)) {
            stages.add(pooling(new SentencePooling("mean")));
        } else {
            try {
                for (JsonNode module : JSON.readTree(Files.readAllBytes(modules))) {
                    Path place = folder.resolve(module.path("path").asText()).normalize();
                    if (!place.startsWith(folder.normalize())) {
                        throw new HeadstartException(modules + ": path " + module.path("path") + " leaves the folder");
                    }
                    String type = module.path("type").asText();
                    if (type.endsWith(".Transformer")) {
                        encoder = place;
                    } else {
                        stages.add(stage(modules, type, place));
                    }
                }
            } catch (IOException e) {
                close();
                throw new HeadstartException(modules + ": cannot be read: " + e.getMessage(), e);
            } catch (RuntimeException e) {
                close();
                throw e;
            }
        }
        ConfigJson limits = SentenceSettings.limits(encoder);
        maxSeqLength = limits.integer("max_seq_length", 0);
        lowerCase = limits.flag("do_lower_case", false);
    }

    /** Pooling alone, whatever the modules say. @param mode cls, max or mean */
    SentenceTransformer(Path folder, String mode) {
        SentenceSettings said = SentenceSettings.of(folder, true);
        settings = new SentenceSettings(said.origin(), said.prompts(), null, null, null, null);
        maxSeqLength = 0;
        lowerCase = false;
        stages.add(pooling(new SentencePooling(mode)));
    }

    /**
     * Where the encoder of a folder stands: older folders have it beside the other modules instead of above them.
     *
     * @throws HeadstartException when the modules do not begin with an encoder
     */
    static LoadOptions encoder(String id, LoadOptions options) {
        Path folder = Hub.standard().resolve(id, options).path();
        Path modules = folder.resolve("modules.json");
        if (!Files.exists(modules)) {
            return options;
        }
        try {
            JsonNode first = JSON.readTree(Files.readAllBytes(modules)).path(0);
            if (!first.path("type").asText().endsWith(".Transformer")) {
                throw new HeadstartException(modules + ": the first module must be a Transformer, found "
                        + first.path("type").asText("none") + "; such models are not known");
            }
            String path = first.path("path").asText();
            return path.isEmpty() || Files.exists(folder.resolve("config.json"))
                    ? options
                    : options.withSubfolder(path);
        } catch (IOException e) {
            throw new HeadstartException(modules + ": cannot be read: " + e.getMessage(), e);
        }
    }

    private Stage stage(Path modules, String type, Path place) {
        return switch (type.substring(type.lastIndexOf('.') + 1)) {
            case "Pooling" -> pooling(SentencePooling.of(ConfigJson.read(place.resolve("config.json"))));
            case "Dense" -> dense(place);
            case "LayerNorm" -> layerNorm(place);
            case "Normalize" -> (x, mask) -> normalise(x);
            case "Dropout" -> (x, mask) -> x;
            default ->
                throw new HeadstartException(modules + ": module type " + type
                        + " is not known; known: Transformer, Pooling, Dense, LayerNorm, Normalize, Dropout");
        };
    }

    /**
     * Most tokens a text may have (sentence-transformers Transformer): what the folder says, else the least of tokenizer's and config.json's limits.
     *
     * @param tokenizers the least of both
     * @param model most tokens that the model can read at all
     */
    public int limit(int tokenizers, int model) {
        return maxSeqLength > 0 ? Math.min(maxSeqLength, model) : tokenizers;
    }

    SentenceSettings settings() {
        return settings;
    }

    /** The text as the encoder's tokenizer gets it. */
    public String prepare(String prompt, String text) {
        return lowerCase ? (prompt + text).toLowerCase(Locale.ROOT) : prompt + text;
    }

    /** How many tokens at the start of a text are the prompt's and do not count in pooling. @param limit most tokens a text may have */
    int promptLength(String prompt, Tokenizer tokenizer, int limit) {
        if (includePrompt || prompt.isEmpty()) {
            return 0;
        }
        long[] ids = tokenizer
                .encode(
                        prepare(prompt, ""),
                        null,
                        EncodeOptions.DEFAULT
                                .withTruncation(Truncation.LONGEST_FIRST)
                                .withMaxLength(limit))
                .ids();
        boolean closed = ids.length > 0 && tokenizer.isSpecial((int) ids[ids.length - 1]);
        return ids.length - (closed ? 1 : 0);
    }

    /**
     * One vector a text.
     *
     * @param x last hidden states, [B, S, H], padded on the right
     * @param lengths of the texts in tokens
     * @param promptLength tokens at the start that do not count
     * @return one [D] a text
     */
    List<float[]> vectors(Tensor x, int[] lengths, int promptLength, EmbedOptions options) {
        long[][] mask = new long[lengths.length][(int) x.size(1)];
        for (int r = 0; r < lengths.length; r++) {
            Arrays.fill(mask[r], Math.min(promptLength, lengths[r]), lengths[r], 1L);
        }
        Tensor counts = Tensors.int64(mask).to(x.device(), ScalarType.Long);
        Tensor y = x.to(ScalarType.Float);
        for (Stage stage : stages) {
            y = stage.apply(y, counts);
        }
        Integer cut = options.truncateDim() != null ? options.truncateDim() : settings.truncateDim();
        if (cut != null && cut < y.size(1)) {
            y = y.narrow(1, 0, cut);
        }
        if (options.normalize()) {
            y = normalise(y);
        }
        int d = (int) y.size(1);
        float[] flat = Tensors.floats(y);
        List<float[]> all = new ArrayList<>(lengths.length);
        for (int r = 0; r < lengths.length; r++) {
            all.add(Arrays.copyOfRange(flat, r * d, (r + 1) * d));
        }
        return all;
    }

    private Stage pooling(SentencePooling pooling) {
        includePrompt &= pooling.includePrompt();
        return pooling::apply;
    }

    private Stage dense(Path folder) {
        ConfigJson c = ConfigJson.read(folder.resolve("config.json"));
        UnaryOperator<Tensor> act = activation(c);
        boolean residual = c.flag("use_residual", false);
        try (PointerScope scope = new PointerScope();
                TensorSource source = Checkpoint.open(folder, false)) {
            Tensor w = owned(source, "linear.weight"); // [out, in]
            Tensor b = optional(source, "linear.bias");
            boolean projected = source.names().contains("residual.weight");
            Tensor r = projected ? owned(source, "residual.weight") : w; // [out, in]
            return (x, mask) -> {
                Tensor y = act.apply(torch.linear(x, beside(x, w), optionalBeside(x, b)));
                return residual ? y.add(projected ? torch.linear(x, beside(x, r)) : x) : y;
            };
        }
    }

    private static UnaryOperator<Tensor> activation(ConfigJson c) {
        String function = c.text("activation_function", "torch.nn.modules.activation.Tanh");
        if (!function.startsWith("torch.")) {
            LOG.warn("{}: activation_function {} is not one of torch's, Tanh stands for it", c.origin(), function);
            function = "torch.nn.Tanh";
        }
        return TorchActivations.of(function, c.origin() + ": activation_function");
    }

    private Stage layerNorm(Path folder) {
        try (PointerScope scope = new PointerScope();
                TensorSource source = Checkpoint.open(folder, false)) {
            Tensor w = optional(source, "norm.weight");
            Tensor b = optional(source, "norm.bias");
            return (x, mask) -> torch.layer_norm(
                    x, new long[] {x.size(-1)}, optionalBeside(x, w), optionalBeside(x, b), 1e-5, true);
        }
    }

    private Tensor owned(TensorSource source, String name) {
        Tensor t = Memory.keep(source.tensor(name).to(ScalarType.Float));
        owned.add(t);
        return t;
    }

    private @Nullable Tensor optional(TensorSource source, String name) {
        return source.names().contains(name) ? owned(source, name) : null;
    }

    /** The weights of these small layers are on the CPU; vectors of a model on a GPU find them there. */
    private static Tensor beside(Tensor x, Tensor w) {
        return w.to(x.device(), ScalarType.Float);
    }

    private static TensorOptional optionalBeside(Tensor x, @Nullable Tensor w) {
        return w == null ? new TensorOptional() : new TensorOptional(beside(x, w));
    }

    private static Tensor normalise(Tensor x) {
        Tensor norm = x.norm(new ScalarOptional(new Scalar(2.0)), new long[] {-1}, true)
                .clamp(new ScalarOptional(new Scalar(1e-12)));
        return x.div(norm);
    }

    /**
     * From token vectors to sentence vectors, with gradients where the vectors carry them.
     *
     * @param x [B, S, H]
     * @param mask int64 [B, S], 0 at padding
     * @return [B, D]
     */
    public Tensor apply(Tensor x, Tensor mask) {
        Tensor y = x.to(ScalarType.Float);
        for (Stage stage : stages) {
            y = stage.apply(y, mask);
        }
        return y;
    }

    @Override
    public void close() {
        owned.forEach(Tensor::close);
    }
}
