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
import dev.headstart.nn.InputProducts;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Precision;
import dev.headstart.nn.QuantizedSource;
import dev.headstart.nn.QuantizedWeight;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Models with weights of 8 or 4 bits. The Linear layers are quantized, with 8 bits a scale a channel, with 4 bits a scale and a zero a group, fitted to what
 * the layers read where there are examples; embedding
 * tables and output layers tied to them have 8 bits either way, and so have convolutions with batch normalization; norms, biases and small layers stay as they are. config.json says so in
 * {@code quantization_config}: {@code {"quant_method": "headstart", "bits": 4, "group_size": 32}}.
 */
public final class Quantization {
    /** quantization_config's quant_method. */
    static final String METHOD = "headstart";

    private static final String RANGES = "activation_ranges";
    private static final String RESULT = ".result"; // after the name of a weight: the range of what it makes
    private static final long MOST_PRODUCTS = 1L << 28; // elements, 1 GB
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
     * @param examples runs the model on examples, perhaps several times: on them the ranges of the convolutions' inputs are measured, and the inputs to which
     *     layers of 4 bits are fitted; null for ranges that every call finds, and for weights of 4 bits that are rounded each by itself
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
            List<ConvNorm> convolutions = model.state().convNorms().stream()
                    .filter(ConvNorm::takesInt8)
                    .toList();
            if (examples != null && convolutions.isEmpty() && bits == 8) {
                throw new HeadstartException(source.id() + ": nothing to calibrate: with 8 bits only convolutions with"
                        + " batch normalization have measured ranges; leave --calibrate out");
            }
            if (examples != null && !convolutions.isEmpty()) {
                model.state().observe(() -> examples.accept(model));
            }
            int layers = 0;
            for (List<Linear> some : passes(model.linears())) {
                try (InputProducts products = InputProducts.of(
                        bits == 8 || examples == null ? List.of() : fourBits(model, some, group),
                        () -> Objects.requireNonNull(examples).accept(model))) {
                    for (Linear l : some) {
                        if (tensors.containsKey(l.weight().name()) && l.in() * l.out() >= SMALL) {
                            layers++;
                            int own = model.state().isShared(l.weight()) ? 8 : bits;
                            put(tensors, l.weight(), l.transposed(), own, group, products.of(l));
                        }
                    }
                }
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
                    put(tensors, p, false, 8, group, null);
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

    /** @param products of the layer's inputs, where they were measured */
    private static void put(
            Map<String, Tensor> tensors,
            Parameter p,
            boolean transposed,
            int bits,
            int group,
            @Nullable Tensor products) {
        Tensor stored = p.tensor().detach().to(ScalarType.Float);
        Tensor w = transposed ? stored.t().contiguous() : stored; // [out, in]
        QuantizedWeight q = null;
        if (bits == 4) {
            q = products == null ? QuantizedWeight.int4(w, group) : QuantizedWeight.int4(w, group, products);
        }
        tensors.remove(p.name());
        tensors.putAll(QuantizedSource.tensors(p.name(), q == null ? QuantizedWeight.int8(w) : q, transposed));
    }

    private static List<Linear> fourBits(PreTrainedModel<?> model, List<Linear> layers, int group) {
        return layers.stream()
                .filter(l -> !model.state().isShared(l.weight()) && l.in() % group == 0 && l.in() * l.out() >= SMALL)
                .toList();
    }

    /** Layers whose inputs are measured together: the examples run several times where the products would take too much memory. */
    private static List<List<Linear>> passes(List<Linear> layers) {
        List<List<Linear>> passes = new ArrayList<>();
        long size = 0;
        for (Linear l : layers) {
            size += InputProducts.size(l);
            if (passes.isEmpty() || size > MOST_PRODUCTS) {
                passes.add(new ArrayList<>());
                size = InputProducts.size(l);
            }
            passes.get(passes.size() - 1).add(l);
        }
        return passes;
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
