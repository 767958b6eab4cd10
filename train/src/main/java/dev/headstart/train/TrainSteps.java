package dev.headstart.train;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.Hub;
import dev.headstart.io.Safetensors;
import dev.headstart.models.Inputs;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.peft.LoraAdapter;
import dev.headstart.peft.ModuleNames;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * Replays the {@code train} object of a conformance case: given batches, given learning rates, train mode, fp32. For comparing losses and weights
 * with other implementations, step by step.
 */
public final class TrainSteps {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final JsonNode train;
    private final Path base;
    private final String origin;

    private TrainSteps(Path file) {
        this.origin = file.toString();
        this.base = file.toAbsolutePath().resolveSibling("");
        try {
            JsonNode root = JSON.readTree(file.toFile());
            this.train = root.path("train");
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be read as JSON: " + e.getMessage(), e);
        }
        if (!train.isObject()) {
            throw new HeadstartException(file + ": expected an object \"train\", found none");
        }
    }

    /**
     * Trains as the case says.
     *
     * @param model folder or id
     * @param file case.json; paths in it are relative to it
     * @param outputs safetensors to write: parameters and buffers after the last step; with LoRA the adapter's under PEFT's names
     * @return the loss of each step
     * @throws HeadstartException when the case is malformed or the model gives no loss for its batches
     */
    public static List<Double> run(String model, Path file, Path outputs) {
        return new TrainSteps(file).run(model, outputs);
    }

    private List<Double> run(String id, Path outputs) {
        LoadOptions options = LoadOptions.defaults();
        Map<String, Tensor> batches = Safetensors.readMap(base.resolve(text("batches")));
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = Models.load(Hub.standard().resolve(id, options), null, options)) {
            JsonNode lora = train.path("lora");
            LoraAdapter adapter = lora.isObject()
                    ? LoraAdapter.load(model, base.resolve(lora.path("init").asText()))
                    : null;
            if (train.hasNonNull("seed")) {
                torch.manual_seed(train.get("seed").asLong());
            }
            model.state().letFrozenNormsFollow();
            model.train();
            try (Optimizer optimizer = optimizer(model, adapter)) {
                List<Double> losses = new ArrayList<>();
                JsonNode rates = train.path("lrs");
                for (int i = 0; i < rates.size(); i++) {
                    losses.add(step(
                            model, optimizer, batch(batches, i), rates.get(i).asDouble()));
                }
                Map<String, Tensor> after = new LinkedHashMap<>();
                if (adapter != null) {
                    after.putAll(adapter.tensors());
                } else {
                    model.namedParameters().forEach((name, p) -> after.put(name, p.tensor()));
                }
                Safetensors.write(outputs, after, Map.of());
                return losses;
            }
        } finally {
            batches.values().forEach(Tensor::close);
        }
    }

    private double step(PreTrainedModel<?> model, Optimizer optimizer, Map<String, Tensor> batch, double lr) {
        try (PointerScope scope = new PointerScope();
                ModelOutput out = model.forward(Inputs.of(batch))) {
            Tensor loss = out.tensors().get("loss");
            if (loss == null) {
                throw new HeadstartException(
                        origin + ": " + model.getClass().getSimpleName() + " gives no loss for a batch of "
                                + String.join(", ", batch.keySet()) + "; are the labels missing?");
            }
            optimizer.zeroGrad();
            loss.backward();
            if (train.path("max_grad_norm").isNumber()) {
                optimizer.clipGradNorm(train.path("max_grad_norm").asDouble());
            }
            optimizer.step(lr);
            return loss.item_double();
        }
    }

    private Map<String, Tensor> batch(Map<String, Tensor> all, int i) {
        Map<String, Tensor> batch = new LinkedHashMap<>();
        String end = "." + i;
        all.forEach((name, t) -> {
            if (name.endsWith(end)) {
                batch.put(name.substring(0, name.length() - end.length()), t);
            }
        });
        if (batch.isEmpty()) {
            throw new HeadstartException(origin + ": " + text("batches") + " has no tensor NAME." + i + " for step " + i
                    + ", but lrs has " + train.path("lrs").size() + " steps");
        }
        return batch;
    }

    private Optimizer optimizer(PreTrainedModel<?> model, @Nullable LoraAdapter adapter) {
        Set<String> noDecay = new TreeSet<>();
        train.path("no_decay").forEach(n -> noDecay.add(fileName(n.asText())));
        Map<String, String> files = adapter == null ? Map.of() : adapter.fileNames();
        String type = model.config().modelType();
        List<ParameterGroup> groups = ParameterGroup.split(
                ParameterGroup.trainable(model),
                train.path("weight_decay").asDouble(0),
                name -> noDecay.contains(fileName(files.getOrDefault(name, name)))
                        || noDecay.contains(ModuleNames.modern(type, name)));
        String kind = train.path("optimizer").asText("adamw");
        return switch (kind) {
            case "adamw" ->
                new AdamW(
                        groups,
                        train.path("betas").path(0).asDouble(0.9),
                        train.path("betas").path(1).asDouble(0.999),
                        train.path("eps").asDouble(1e-8));
            case "sgd" ->
                new Sgd(
                        groups,
                        train.path("momentum").asDouble(0),
                        train.path("dampening").asDouble(0),
                        train.path("nesterov").asBoolean(false));
            case "adafactor" ->
                new Adafactor(groups, train.path("scale_parameter").asBoolean(true));
            default ->
                throw new HeadstartException(
                        origin + ": optimizer \"" + kind + "\" is not known; known: adamw, adafactor, sgd");
        };
    }

    /** peft's names inside a model and those of its files differ: modules_to_save.default. and lora_A.default. go. */
    private static String fileName(String name) {
        return name.replace("base_model.model.", "")
                .replace(".modules_to_save.default", "")
                .replace(".default.", ".");
    }

    private String text(String field) {
        if (!train.path(field).isTextual()) {
            throw new HeadstartException(origin + ": train." + field + ": expected a text, found " + train.path(field));
        }
        return train.path(field).asText();
    }
}
