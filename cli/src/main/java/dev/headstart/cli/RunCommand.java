package dev.headstart.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.pipeline.Pipeline;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.pipeline.Tasks;
import dev.headstart.pipeline.TextGenerationPipeline;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** One task on inputs from the command line. */
@Command(
        name = "run",
        description =
                "Runs a task on inputs: a text, a file (images, audio), or a JSON object where the task takes several"
                        + " fields.")
final class RunCommand implements Runnable {
    private static final ObjectMapper JSON = JsonMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .build();

    @Parameters(
            index = "0",
            paramLabel = "TASK",
            description = "For example fill-mask, text-classification, sentence-embedding.")
    private String task = "";

    @Parameters(index = "1..*", arity = "1..*", paramLabel = "INPUT", description = "What to run it on.")
    private List<String> inputs = List.of();

    @Option(names = "--model", paramLabel = "ID", description = "Folder or id; default: the task's own.")
    private @Nullable String model;

    @Option(
            names = "--json",
            description = "Print a JSON array, one element an input, in the Hugging Face pipeline's shape.")
    private boolean json;

    @Option(
            names = "--kwargs",
            paramLabel = "JSON",
            description = "The pipeline's call arguments: top_k, candidate_labels, ...")
    private String kwargs = "{}";

    @Option(names = "--precision", paramLabel = "P", description = "auto, fp32 (default), bf16, int8.")
    private @Nullable String precision;

    @Mixin
    private DeviceOption device = new DeviceOption();

    @Option(names = "--revision", paramLabel = "REV", description = "Branch, tag or commit of the model.")
    private @Nullable String revision;

    @Option(names = "--offline", description = "Contact nothing.")
    private boolean offline;

    @Option(names = "--no-truncation", description = "Fail on texts over the model's limit instead of cutting them.")
    private boolean noTruncation;

    @Override
    public void run() {
        Tasks.Task found = Tasks.find(task);
        for (int i = 0; i < inputs.size(); i++) {
            if (inputs.get(i).isBlank()) {
                throw new HeadstartException("input " + (i + 1) + " is empty; give a text, a file, or a JSON object");
            }
        }
        String id = model != null ? model : found.defaultModel();
        if (id == null) {
            throw new HeadstartException(task
                    + " has no default model; name one with --model, a folder or an id such as " + found.example());
        }
        LoadOptions load = LoadOptions.defaults()
                .withPrecision(precision)
                .withDevice(device.checked())
                .withRevision(revision)
                .withOffline(offline ? Boolean.TRUE : null);
        PipelineOptions options = PipelineOptions.DEFAULT.withLoad(load).withTruncation(!noTruncation);
        List<?> results;
        try (Pipeline pipeline = found.open(id, options)) {
            JsonNode arguments = ForwardCommand.object("--kwargs", kwargs);
            if (!json
                    && inputs.size() == 1
                    && pipeline instanceof TextGenerationPipeline generator
                    && streams(arguments)) {
                generator.stream(inputs.get(0), arguments, piece -> {
                    System.out.print(piece);
                    System.out.flush();
                });
                System.out.println();
                return;
            }
            results = pipeline.run(inputs, arguments);
        }
        try {
            if (json) {
                System.out.println(JSON.writeValueAsString(results));
            } else {
                for (Object result : results) {
                    System.out.println(Plain.text(result));
                }
            }
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Whether the answer is one text that can be shown as it is made. */
    private static boolean streams(JsonNode arguments) {
        return arguments.path("num_beams").asInt(1) == 1
                && arguments.path("num_return_sequences").asInt(1) == 1
                && !arguments.path("return_tensors").asBoolean(false);
    }
}
