package dev.headstart.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.data.Format;
import dev.headstart.data.ReadOptions;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import dev.headstart.io.StagedFile;
import dev.headstart.pipeline.ImageSegmentationPipeline;
import dev.headstart.pipeline.ImageSegmentationPipeline.Segment;
import dev.headstart.pipeline.ImageSegmentationPipeline.SegmentJson;
import dev.headstart.pipeline.Pipeline;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.pipeline.Tasks;
import dev.headstart.pipeline.TextGenerationPipeline;
import dev.headstart.train.OutputFolder;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** One task on inputs from the command line. */
@Command(
        name = "run",
        description =
                "Runs a task on inputs: a text, a file (images), or a JSON object where the task takes several fields.")
final class RunCommand implements Runnable, HeadstartCommand.More {
    private static final ObjectMapper JSON = JsonMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .build();

    private static final Logger LOG = LoggerFactory.getLogger(RunCommand.class);

    /** Tasks in which an empty text has a result: an empty text. */
    private static final Set<String> REWRITING = Set.of("text2text-generation", "summarization", "translation");

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(index = "0", paramLabel = "TASK", description = "One of those below.")
    private String task = "";

    @Parameters(
            index = "1..*",
            arity = "0..*",
            paramLabel = "INPUT",
            description = "What to run it on; - reads standard input, an input a line.")
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
            description = "The pipeline's call arguments: {\"top_k\": 3}, {\"max_new_tokens\": 40}, ...")
    private String kwargs = "{}";

    @Option(
            names = "--masks",
            paramLabel = "DIR",
            description = "image-segmentation: write each segment's mask as a PNG into this folder.")
    private @Nullable Path masks;

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
        Tasks.Task found = HeadstartCommand.named(spec, () -> Tasks.find(task));
        if (masks != null && !task.equals("image-segmentation")) {
            throw new ParameterException(
                    Objects.requireNonNull(spec).commandLine(), "--masks is for image-segmentation, not for " + task);
        }
        if (inputs.isEmpty()) {
            throw new ParameterException(
                    Objects.requireNonNull(spec).commandLine(),
                    "Missing required parameter: 'INPUT', for " + task + " " + found.input());
        }
        if (inputs.equals(List.of("-"))) {
            inputs = standardInput();
        }
        boolean mayBeEmpty = REWRITING.contains(task.split("_")[0]);
        for (int i = 0; i < inputs.size(); i++) {
            if (inputs.get(i).isBlank() && !mayBeEmpty) {
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
        if (masks != null) {
            OutputFolder.check(masks, false, "choose another for --masks");
        }
        List<?> results;
        try (Pipeline pipeline = found.open(id, options)) {
            CallArguments arguments = new CallArguments(ForwardCommand.object("--kwargs", kwargs));
            if (!json
                    && inputs.size() == 1
                    && pipeline instanceof TextGenerationPipeline generator
                    && streams(arguments)) {
                generator.stream(inputs.get(0), arguments, piece -> {
                    System.out.print(piece);
                    System.out.flush();
                });
                System.out.println();
                warnOfUnused(arguments);
                return;
            }
            if (pipeline instanceof ImageSegmentationPipeline segmenter) {
                List<List<Segment>> segments = segmenter.segments(inputs, arguments);
                warnOfUnused(arguments);
                show(segments);
                return;
            }
            results = pipeline.run(inputs, arguments);
            warnOfUnused(arguments);
        }
        if (json) {
            print(results);
        } else {
            results.forEach(result -> System.out.println(Plain.text(result)));
        }
    }

    private static void print(List<?> results) {
        try {
            System.out.println(JSON.writeValueAsString(results));
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Writes the masks that are asked for, and prints what is where. */
    private void show(List<List<Segment>> segments) {
        Set<String> taken = new HashSet<>();
        List<String> lines = new ArrayList<>();
        for (int i = 0; i < inputs.size(); i++) {
            for (Segment s : segments.get(i)) {
                String line = Plain.segment(s);
                if (masks != null) {
                    Path file = masks.resolve(maskName(inputs.get(i), s.label(), taken));
                    byte[] png = s.png();
                    StagedFile.write(file, out -> out.write(ByteBuffer.wrap(png)));
                    line += "  " + file;
                }
                lines.add(line);
            }
        }
        if (json) {
            print(segments.stream()
                    .map(all -> all.stream().map(SegmentJson::of).toList())
                    .toList());
        } else {
            lines.forEach(System.out::println);
        }
    }

    /** {@code street-traffic light.png} for a part of {@code photos/street.jpg}, whatever the label is; numbered where several would have one name. */
    private static String maskName(String input, String label, Set<String> taken) {
        String file = String.valueOf(Path.of(input).getFileName());
        int dot = file.lastIndexOf('.');
        String name = (dot > 0 ? file.substring(0, dot) : file) + "-" + label.replaceAll("[^\\p{L}\\p{N} ._-]", "_");
        String free = name;
        for (int n = 2; !taken.add(free.toLowerCase(Locale.ROOT)); n++) {
            free = name + "-" + n;
        }
        return free + ".png";
    }

    private void warnOfUnused(CallArguments arguments) {
        List<String> unused = arguments.unused();
        if (!unused.isEmpty()) {
            LOG.warn("--kwargs: {} had no effect on {}", String.join(", ", unused), task);
        }
    }

    private static List<String> standardInput() {
        List<String> lines = new ArrayList<>();
        ReadOptions options = ReadOptions.defaults().withFormat(Format.TXT).withEmptyRows(ReadOptions.EmptyRows.DROP);
        try (RowReader reader = RowReader.open("-", options)) {
            for (Row row : reader.readAll()) {
                lines.add(row.text("text"));
            }
        }
        if (lines.isEmpty()) {
            throw new HeadstartException("standard input is empty; expected an input a line");
        }
        return lines;
    }

    @Override
    public String more() {
        StringBuilder text =
                new StringBuilder(String.format("%nTasks, what an INPUT is, and the model without --model:%n"));
        for (Tasks.Task each : Tasks.all()) {
            String model = each.defaultModel();
            text.append(String.format(
                    "  %-31s %s%n  %-31s %s%n",
                    each.name(),
                    each.input(),
                    "",
                    model != null ? model : "none; name one, such as " + each.example()));
        }
        return text.append(
                        String.format("  %-31s %s%n", "translation_en_to_de", "a text, from one language to another"))
                .append(String.format("%nFor example:%n"))
                .append(
                        "  headstart run question-answering '{\"question\": \"Where does Anna live?\", \"context\": \"Anna lives in Bern.\"}'%n"
                                .formatted())
                .append("  headstart run text-classification --json - <sentences.txt%n".formatted())
                .toString();
    }

    /** Whether the answer is one text that can be shown as it is made. */
    private static boolean streams(JsonNode arguments) {
        return arguments.path("num_beams").asInt(1) == 1
                && arguments.path("num_return_sequences").asInt(1) == 1
                && !arguments.path("return_tensors").asBoolean(false);
    }
}
