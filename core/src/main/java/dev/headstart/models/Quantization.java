package dev.headstart.models;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.ModelFolder;
import dev.headstart.io.Safetensors;
import dev.headstart.nn.ActivationRange;
import dev.headstart.nn.ConvNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Precision;
import dev.headstart.nn.QuantizedSource;
import dev.headstart.nn.QuantizedWeight;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Models with weights of 8 or 4 bits. The Linear layers are quantized, with 8 bits a scale a channel, with 4 bits a scale and a zero a group; embedding
 * tables and output layers tied to them have 8 bits either way, and so have convolutions with batch normalization; norms, biases and small layers stay as they are. config.json says so in
 * {@code quantization_config}: {@code {"quant_method": "headstart", "bits": 4, "group_size": 32}}.
 */
public final class Quantization {
    /** quantization_config's quant_method. */
    static final String METHOD = "headstart";

    private static final String RANGES = "activation_ranges";
    private static final String RESULT = ".result"; // after the name of a weight: the range of what it makes
    private static final long SMALL = 4096; // elements; what is smaller stays plain

    private Quantization() {}

    /**
     * What was written.
     *
     * @param layers Linear layers that were quantized
     * @param bytesBefore size of the weights in fp32
     * @param bytesAfter size of the written weights
     */
    public record Report(int layers, long bytesBefore, long bytesAfter) {}

    /**
     * Quantizes a model into a folder: weights and config.json; other files are the caller's to copy.
     *
     * @param bits 8 or 4
     * @param group inputs that share a scale in 4 bits: 32, 64, 128 or 256
     * @param examples runs the model on examples, on which the ranges of the convolutions' inputs are measured; null to find them in every call
     */
    public static Report write(
            ModelFolder source, int bits, int group, Path output, @Nullable Consumer<PreTrainedModel<?>> examples) {
        try (PreTrainedModel<?> model =
                        Models.load(source, null, LoadOptions.defaults().withDevice("cpu"));
                PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            if (model.config().node().has("quantization_config")) {
                throw new HeadstartException(source.id() + ": is quantized already; give the plain model");
            }
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            long before = 0;
            for (Parameter p : model.namedParameters().values()) {
                tensors.put(p.name(), p.tensor());
                before += p.tensor().nbytes();
            }
            int layers = 0;
            for (Linear l : model.linears()) {
                boolean shared = model.state().isShared(l.weight());
                if (tensors.containsKey(l.weight().name()) && l.in() * l.out() >= SMALL) {
                    layers++;
                    put(tensors, l.weight(), l.transposed(), shared ? 8 : bits, group);
                }
            }
            List<ConvNorm> convolutions = model.state().convNorms().stream()
                    .filter(ConvNorm::takesInt8)
                    .toList();
            if (examples != null) {
                if (convolutions.isEmpty()) {
                    throw new HeadstartException(source.id() + ": nothing to calibrate: only convolutions with batch"
                            + " normalization have measured ranges; leave --calibrate out");
                }
                model.state().observe(() -> examples.accept(model));
            }
            ObjectNode ranges = JsonNodeFactory.instance.objectNode();
            for (ConvNorm c : convolutions) {
                Parameter p = c.convolution().weight();
                layers++;
                tensors.remove(p.name());
                tensors.putAll(QuantizedSource.tensors(
                        p.name(), QuantizedWeight.convolution(p.tensor().detach()), false));
                if (examples != null) {
                    put(ranges, p.name(), c.range());
                    if (c.endsInSum()) {
                        put(ranges, p.name() + RESULT, c.resultRange());
                    }
                }
            }
            int vocabulary = model.config().integer("vocab_size", -1);
            for (Parameter p : model.namedParameters().values()) {
                if (tensors.containsKey(p.name())
                        && p.tensor().dim() == 2
                        && p.tensor().size(0) == vocabulary) {
                    put(tensors, p, false, 8, group);
                }
            }
            Files.createDirectories(output);
            Path file = output.resolve("model.safetensors");
            Safetensors.write(file, tensors, Map.of("format", "pt"));
            ObjectNode entry = model.config().node().putObject("quantization_config");
            entry.put("quant_method", METHOD).put("bits", bits);
            if (bits == 4) {
                entry.put("group_size", group);
            }
            if (!ranges.isEmpty()) {
                entry.set(RANGES, ranges);
            }
            model.saveConfig(output);
            return new Report(layers, before, Files.size(file));
        } catch (IOException e) {
            throw new HeadstartException(output + ": cannot be written: " + e.getMessage(), e);
        }
    }

    private static void put(ObjectNode ranges, String name, ActivationRange range) {
        ranges.putArray(name).add(range.low()).add(range.high());
    }

    private static void put(Map<String, Tensor> tensors, Parameter p, boolean transposed, int bits, int group) {
        Tensor stored = p.tensor().detach().to(ScalarType.Float);
        Tensor w = transposed ? stored.t().contiguous() : stored; // [out, in]
        QuantizedWeight q = bits == 4 ? QuantizedWeight.int4(w, group) : null;
        tensors.remove(p.name());
        tensors.putAll(QuantizedSource.tensors(p.name(), q == null ? QuantizedWeight.int8(w) : q, transposed));
    }

    /** Folds the convolutions of a quantized model, with the ranges that config.json holds, and computes in 8 bits. */
    static void fold(PreTrainedModel<?> model) {
        JsonNode ranges = model.config().node().path("quantization_config").path(RANGES);
        for (ConvNorm c : model.state().convNorms()) {
            String name = c.convolution().weight().name();
            if (ranges.has(name)) {
                c.range(range(model, ranges, name));
            } else if (!ranges.isMissingNode() && c.takesInt8()) {
                throw damaged(model, name, ranges.path(name)); // the layer before it would give 8 bits of no meaning
            }
            if (ranges.has(name + RESULT)) {
                c.resultRange(range(model, ranges, name + RESULT));
            }
        }
        model.state().foldNorms(Precision.INT8);
    }

    private static ActivationRange range(PreTrainedModel<?> model, JsonNode ranges, String name) {
        JsonNode range = ranges.path(name);
        if (range.size() != 2 || !range.get(0).isNumber() || !range.get(1).isNumber()) {
            throw damaged(model, name, range);
        }
        return new ActivationRange(range.get(0).floatValue(), range.get(1).floatValue());
    }

    private static HeadstartException damaged(PreTrainedModel<?> model, String name, JsonNode found) {
        return new HeadstartException(model.config().origin() + ": quantization_config." + RANGES + "." + name
                + " must be [lowest, highest], found " + (found.isMissingNode() ? "nothing" : found)
                + "; quantize the model again");
    }

    /** Whether config.json says that the weights are quantized by {@link #write}. @throws HeadstartException when by others */
    static boolean of(ConfigJson config) {
        if (!config.node().has("quantization_config")) {
            return false;
        }
        String method =
                config.node().get("quantization_config").path("quant_method").asText("");
        if (!method.equals(METHOD)) {
            throw new HeadstartException(config.origin() + ": the weights are quantized by \"" + method
                    + "\", which Headstart does not read; use the plain model (headstart quantize makes a"
                    + " small one of it)");
        }
        return true;
    }
}
