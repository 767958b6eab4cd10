package dev.headstart.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.generation.Generation;
import dev.headstart.generation.GenerationConfig;
import dev.headstart.generation.GenerationOutput;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.hub.Hub;
import dev.headstart.hub.ModelFolder;
import dev.headstart.io.Safetensors;
import dev.headstart.models.Inputs;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.peft.LoraAdapter;
import dev.headstart.text.TokenBytes;
import dev.headstart.text.Tokenizer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** One forward call with tensors from a file: the entry point for conformance with other implementations. Always fp32. */
@Command(
        name = "forward",
        description =
                "Runs a model once on the tensors of a safetensors file (raw; for comparisons with other implementations).")
final class ForwardCommand implements Runnable {
    private static final ObjectMapper JSON = new ObjectMapper();

    @Option(names = "--model", required = true, paramLabel = "ID", description = "Folder or id.")
    private String model = "";

    @Option(
            names = "--inputs",
            required = true,
            paramLabel = "FILE",
            description = "safetensors with the arguments of forward().")
    private Path inputs = Path.of("");

    @Option(
            names = "--outputs",
            required = true,
            paramLabel = "FILE",
            description = "safetensors to write: the fields of the ModelOutput.")
    private Path outputs = Path.of("");

    @Option(
            names = "--architecture",
            paramLabel = "CLASS",
            description = "Class to load; default: config.json's first.")
    private @Nullable String architecture;

    @Mixin
    private DeviceOption device = new DeviceOption();

    @Option(names = "--output-hidden-states", description = "Also hidden_states.N.")
    private boolean hiddenStates;

    @Option(names = "--output-attentions", description = "Also attentions.N.")
    private boolean attentions;

    @Option(names = "--kwargs", paramLabel = "JSON", description = "Arguments of forward() that are no tensors.")
    private String kwargs = "{}";

    @Option(
            names = "--generate",
            paramLabel = "KWARGS_JSON",
            description = "Generate instead, with these parameters over the checkpoint's own; writes sequences.")
    private @Nullable String generate;

    @Option(names = "--adapter", paramLabel = "DIR", description = "LoRA adapter in PEFT's format to put on the model.")
    private @Nullable Path adapter;

    @Override
    public void run() {
        LoadOptions options = LoadOptions.defaults().withDevice(device.checked());
        Map<String, Tensor> tensors = Safetensors.readMap(inputs);
        ModelFolder folder = Hub.standard().resolve(model, options);
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> loaded = Models.load(folder, architecture, options)) {
            if (adapter != null) {
                LoraAdapter.load(loaded, adapter);
            }
            if (generate != null) {
                generate(loaded, folder, tensors, GenerationConfig.fromJson(generate));
                return;
            }
            Inputs in = Inputs.of(tensors)
                    .withHiddenStates(hiddenStates)
                    .withAttentions(attentions)
                    .withKwargs(object("--kwargs", kwargs));
            try (ModelOutput out = loaded.forward(in)) {
                Safetensors.write(outputs, out.tensors());
            }
        }
    }

    private void generate(
            PreTrainedModel<?> loaded, ModelFolder folder, Map<String, Tensor> tensors, GenerationConfig config) {
        if (!(loaded instanceof GenerativeModel generative)) {
            throw new HeadstartException("--generate: " + loaded.getClass().getSimpleName()
                    + " does not generate text; name a class that does by --architecture");
        }
        Generation request = Generation.of(generative).inputs(tensors).config(config);
        boolean stops =
                !config.over(generative.generationConfig()).stopStrings().isEmpty();
        try (Tokenizer tokenizer = stops ? Tokenizer.fromFolder(folder.path()) : null) {
            if (tokenizer != null) {
                request.tokenBytes(new TokenBytes(tokenizer));
            }
            GenerationOutput out = request.generate();
            Map<String, Tensor> result = new LinkedHashMap<>();
            result.put("sequences", Tensors.int64(out.sequences()));
            float[] scores = out.sequencesScores();
            if (scores != null) {
                result.put("sequences_scores", Tensors.float32(scores, scores.length));
            }
            Safetensors.write(outputs, result);
        }
    }

    static JsonNode object(String option, String json) {
        try {
            JsonNode node = JSON.readTree(json);
            if (node != null && node.isObject()) {
                return node;
            }
            throw new HeadstartException(option + ": expected a JSON object, found " + json);
        } catch (JsonProcessingException e) {
            throw new HeadstartException(option + ": not valid JSON: " + e.getOriginalMessage(), e);
        }
    }
}
