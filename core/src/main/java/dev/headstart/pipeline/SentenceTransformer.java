package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.io.Checkpoint;
import dev.headstart.io.TensorSource;
import dev.headstart.models.ConfigJson;
import dev.headstart.nn.Memory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * What follows the encoder in a sentence-transformers folder (modules.json): pooling, dense layers, normalization. A folder without modules.json is
 * pooled by the mean over its tokens and normalised, as sentence-transformers does for a bare encoder (which does not normalise).
 */
final class SentenceTransformer implements AutoCloseable {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final List<Stage> stages = new ArrayList<>();
    private final List<Tensor> owned = new ArrayList<>();
    private final int maxSeqLength;
    private final boolean lowerCase;

    /** One step from token vectors to a sentence vector. */
    private interface Stage {
        Tensor apply(Tensor x, Tensor mask);
    }

    SentenceTransformer(Path folder) {
        Path modules = folder.resolve("modules.json");
        Path bert = folder.resolve("sentence_bert_config.json");
        JsonNode limits = Files.exists(bert) ? ConfigJson.read(bert).node() : JSON.createObjectNode();
        maxSeqLength = limits.path("max_seq_length").asInt(Integer.MAX_VALUE);
        lowerCase = limits.path("do_lower_case").asBoolean(false);
        if (!Files.exists(modules)) {
            stages.add(pooling("mean"));
            return;
        }
        try {
            for (JsonNode module : JSON.readTree(Files.readAllBytes(modules))) {
                String type = module.path("type").asText();
                String name = type.substring(type.lastIndexOf('.') + 1);
                Path place = folder.resolve(module.path("path").asText()).normalize();
                if (!place.startsWith(folder.normalize())) {
                    throw new HeadstartException(modules + ": path " + module.path("path") + " leaves the folder");
                }
                switch (name) {
                    case "Transformer" -> {}
                    case "Pooling" -> stages.add(pooling(ConfigJson.read(place.resolve("config.json"))));
                    case "Dense" -> stages.add(dense(place));
                    case "Normalize" -> stages.add((x, mask) -> normalise(x));
                    default ->
                        throw new HeadstartException(modules + ": module type " + type
                                + " is not known; known: Transformer, Pooling, Dense, Normalize");
                }
            }
        } catch (IOException e) {
            throw new HeadstartException(modules + ": cannot be read: " + e.getMessage(), e);
        }
    }

    /** Pooling alone, whatever the folder says. @param mode cls, max or mean */
    SentenceTransformer(String mode) {
        maxSeqLength = Integer.MAX_VALUE;
        lowerCase = false;
        stages.add(pooling(mode));
    }

    int maxSeqLength() {
        return maxSeqLength;
    }

    String prepare(String text) {
        return lowerCase ? text.toLowerCase(java.util.Locale.ROOT) : text;
    }

    /** @param x [B, S, H]; @param mask int64 [B, S]; @return [B, D] */
    Tensor apply(Tensor x, Tensor mask) {
        Tensor y = x.to(ScalarType.Float);
        for (Stage stage : stages) {
            y = stage.apply(y, mask);
        }
        return y;
    }

    private static Stage pooling(ConfigJson c) {
        List<Stage> modes = new ArrayList<>();
        String mode = c.text("pooling_mode", "");
        for (String m : List.of(
                "cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")) {
            if (c.flag("pooling_mode_" + m, false)) {
                modes.add(pooling(m.replace("_tokens", "").replace("_token", "")));
            }
        }
        if (modes.isEmpty()) {
            modes.add(pooling(mode.isEmpty() ? "mean" : mode));
        }
        if (modes.size() == 1) {
            return modes.get(0);
        }
        return (x, mask) -> {
            Tensor[] all = modes.stream().map(m -> m.apply(x, mask)).toArray(Tensor[]::new);
            return torch.cat(new org.bytedeco.pytorch.TensorVector(all), 1); // [B, modes * H]
        };
    }

    private static Stage pooling(String mode) {
        return switch (mode) {
            case "cls" -> (x, mask) -> x.select(1, 0);
            case "max" ->
                (x, mask) -> {
                    Tensor hidden = mask.unsqueeze(-1).eq(new Scalar(0));
                    return x.masked_fill(hidden, new Scalar(-1e9)).amax(new long[] {1}, false);
                };
            case "mean" -> (x, mask) -> sum(x, weights(x, mask)).div(count(mask).clamp(min(1e-9)));
            case "mean_sqrt_len" ->
                (x, mask) -> sum(x, weights(x, mask))
                        .div(count(mask).clamp(min(1e-9)).sqrt());
            case "weightedmean" ->
                (x, mask) -> {
                    Tensor place = torch.arange(new Scalar(1), new Scalar(x.size(1) + 1))
                            .to(ScalarType.Float)
                            .view(1, -1, 1);
                    Tensor w = weights(x, mask).mul(place);
                    return sum(x, w).div(w.sum(1).clamp(min(1e-9)));
                };
            case "lasttoken" ->
                (x, mask) -> {
                    Tensor last = mask.cumsum(1).argmax(new org.bytedeco.pytorch.LongOptional(1), true); // [B, 1]
                    return x.gather(1, last.unsqueeze(-1).expand(x.size(0), 1, x.size(2)))
                            .squeeze(1);
                };
            default ->
                throw new HeadstartException("1_Pooling/config.json: pooling mode " + mode
                        + " is not known; known: cls, max, mean, mean_sqrt_len, weightedmean, lasttoken");
        };
    }

    private static Tensor weights(Tensor x, Tensor mask) {
        return mask.unsqueeze(-1).to(ScalarType.Float).expand(x.size(0), x.size(1), 1);
    }

    private static Tensor sum(Tensor x, Tensor weights) {
        return x.mul(weights).sum(1); // [B, H]
    }

    private static Tensor count(Tensor mask) {
        return mask.sum(1).to(ScalarType.Float).unsqueeze(-1); // [B, 1]
    }

    private static ScalarOptional min(double v) {
        return new ScalarOptional(new Scalar(v));
    }

    private Stage dense(Path folder) {
        ConfigJson c = ConfigJson.read(folder.resolve("config.json"));
        String function = c.text("activation_function", "torch.nn.modules.activation.Tanh");
        UnaryOperator<Tensor> act = switch (function.substring(function.lastIndexOf('.') + 1)) {
            case "Tanh" -> torch::tanh;
            case "Identity" -> UnaryOperator.identity();
            case "ReLU" -> torch::relu;
            case "GELU" -> x -> torch.gelu(x);
            case "Sigmoid" -> torch::sigmoid;
            default -> throw new HeadstartException(c.origin() + ": activation_function " + function + " is not known");
        };
        try (PointerScope scope = new PointerScope();
                TensorSource source = Checkpoint.open(folder, false)) {
            Tensor w = keep(source.tensor("linear.weight").to(ScalarType.Float)); // [out, in]
            TensorOptional b = source.names().contains("linear.bias")
                    ? Memory.keep(
                            new TensorOptional(keep(source.tensor("linear.bias").to(ScalarType.Float))))
                    : Memory.keep(new TensorOptional());
            return (x, mask) -> act.apply(torch.linear(x, w, b));
        }
    }

    private Tensor keep(Tensor t) {
        owned.add(Memory.keep(t));
        return t;
    }

    private static Tensor normalise(Tensor x) {
        Tensor norm = x.norm(new ScalarOptional(new Scalar(2.0)), new long[] {1}, true)
                .clamp(min(1e-12));
        return x.div(norm);
    }

    @Override
    public void close() {
        owned.forEach(Tensor::close);
    }
}
