package dev.headstart.pipeline;

import dev.headstart.HeadstartException;
import dev.headstart.models.ConfigJson;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** From the vectors of a text's tokens to one (sentence-transformers Pooling); several modes stand one after the other. */
final class SentencePooling {
    /** The modes, each under the flag that configurations before sentence-transformers 5 had for it, in the order in which they stand. */
    private static final Map<String, String> FLAGS = orderedFlags();

    private final List<String> modes;
    private final boolean includePrompt;

    SentencePooling(String mode) {
        this(List.of(mode), true, "pooling");
    }

    private SentencePooling(List<String> modes, boolean includePrompt, String origin) {
        for (String mode : modes) {
            if (!FLAGS.containsValue(mode)) {
                throw new HeadstartException(origin + ": pooling_mode \"" + mode + "\" is not known; known: "
                        + String.join(", ", FLAGS.values()));
            }
        }
        this.modes = modes;
        this.includePrompt = includePrompt;
    }

    static SentencePooling of(ConfigJson c) {
        List<String> modes = new ArrayList<>(c.texts("pooling_mode", List.of()));
        if (modes.isEmpty()) {
            FLAGS.forEach((flag, mode) -> {
                if (c.flag("pooling_mode_" + flag, false)) {
                    modes.add(mode);
                }
            });
        }
        return new SentencePooling(
                modes.isEmpty() ? List.of("mean") : List.copyOf(modes), c.flag("include_prompt", true), c.origin());
    }

    private static Map<String, String> orderedFlags() {
        Map<String, String> flags = new java.util.LinkedHashMap<>();
        flags.put("cls_token", "cls");
        flags.put("max_tokens", "max");
        flags.put("mean_tokens", "mean");
        flags.put("mean_sqrt_len_tokens", "mean_sqrt_len_tokens");
        flags.put("weightedmean_tokens", "weightedmean");
        flags.put("lasttoken", "lasttoken");
        return flags;
    }

    /** Whether the prompt's tokens count. */
    boolean includePrompt() {
        return includePrompt;
    }

    /** @param x [B, S, H]; @param mask int64 [B, S], 1 for tokens that count; @return [B, modes * H] */
    Tensor apply(Tensor x, Tensor mask) {
        Tensor[] all = modes.stream().map(mode -> apply(mode, x, mask)).toArray(Tensor[]::new);
        return all.length == 1 ? all[0] : torch.cat(new TensorVector(all), 1);
    }

    private static Tensor apply(String mode, Tensor x, Tensor mask) {
        Tensor counts = mask.unsqueeze(-1).to(ScalarType.Float); // [B, S, 1]
        return switch (mode) {
            case "cls" -> at(x, torch.argmax(mask, new LongOptional(1), true)); // the first that counts
            case "max" ->
                x.masked_fill(counts.eq(new Scalar(0)), new Scalar(Double.NEGATIVE_INFINITY))
                        .amax(new long[] {1}, false);
            case "mean" -> mean(x, counts);
            case "mean_sqrt_len_tokens" ->
                x.mul(counts).sum(1).div(positive(counts.sum(1)).sqrt());
            case "weightedmean" -> {
                Tensor place = torch.arange(new Scalar(1), new Scalar(x.size(1) + 1))
                        .to(x.device(), ScalarType.Float)
                        .view(1, -1, 1);
                yield mean(x, counts.mul(place));
            }
            default -> at(x.mul(counts), torch.argmax(mask.cumsum(1), new LongOptional(1), true)); // lasttoken
        };
    }

    private static Tensor mean(Tensor x, Tensor weights) {
        return x.mul(weights).sum(1).div(positive(weights.sum(1))); // [B, H]
    }

    private static Tensor positive(Tensor x) {
        return x.clamp(new ScalarOptional(new Scalar(1e-9)));
    }

    /** @param place [B, 1]; @return the vectors there, [B, H] */
    private static Tensor at(Tensor x, Tensor place) {
        return x.gather(1, place.unsqueeze(-1).expand(x.size(0), 1, x.size(2))).squeeze(1);
    }
}
