package dev.headstart.cli;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.Hub;
import dev.headstart.hub.ModelFolder;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Quantization;
import dev.headstart.pipeline.ClassScore;
import dev.headstart.pipeline.ImageCalibration;
import dev.headstart.pipeline.Perplexity;
import dev.headstart.pipeline.Pipeline;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.pipeline.Tasks;
import dev.headstart.pipeline.TextCalibration;
import dev.headstart.train.OutputFolder;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Weights of 8 or 4 bits. */
@Command(
        name = "quantize",
        description =
                "Writes a model with weights of 8 bits (a scale a channel) or 4 bits (a scale and a zero a group). The"
                        + " folder is used like any model.")
final class QuantizeCommand implements Runnable {
    /** Weights of few bits have kernels there alone: elsewhere other numbers than the folder's would be measured. */
    private static final PipelineOptions ON_CPU =
            PipelineOptions.DEFAULT.withLoad(LoadOptions.defaults().withDevice("cpu"));

    private static final int EXAMPLES = 256;
    private static final long SEED = 42;

    @Spec
    private @Nullable CommandSpec spec;

    @Option(names = "--model", required = true, paramLabel = "ID", description = "Model folder or id.")
    private String model = "";

    @Option(names = "--precision", required = true, paramLabel = "P", description = "int8 or int4.")
    private String precision = "";

    @Option(
            names = "--group-size",
            paramLabel = "N",
            description = "int4: inputs that share a scale, 32 (default), 64, 128 or 256.")
    private int group = 32;

    @Option(names = "--output", required = true, paramLabel = "DIR", description = "Folder to write; new or empty.")
    private Path output = Path.of("");

    @Option(
            names = "--perplexity",
            paramLabel = "FILE",
            description = "A text on which to compare the language model before and after.")
    private @Nullable Path text;

    @Option(
            names = "--max-length",
            paramLabel = "N",
            description = "Of a window, for --perplexity. Default: what the model takes.")
    private @Nullable Integer maxLength;

    @Option(
            names = "--calibrate",
            paramLabel = "PATH",
            description = "Examples of what the model will read. A folder of images (256 of them, spread evenly): the"
                    + " ranges of the convolutions' inputs are measured on them; without them every call finds its own."
                    + " int4: a folder of images or a text, to which the rounded weights are fitted (GPTQ); without one"
                    + " a model that generates writes its own, others round each weight by itself.")
    private @Nullable Path calibrate;

    @Option(
            names = "--no-calibration",
            description = "int4: round each weight by itself, in seconds; fitting takes minutes and loses less.")
    private boolean plain;

    @Option(
            names = "--accuracy",
            paramLabel = "DIR",
            description = "Class folders of images on which to compare the classifier before and after.")
    private @Nullable Path accuracy;

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Override
    public void run() {
        if (!List.of("int8", "int4").contains(precision)) {
            throw new HeadstartException("--precision must be int8 or int4, found " + precision);
        }
        if (!List.of(32, 64, 128, 256).contains(group)) {
            throw new HeadstartException("--group-size must be 32, 64, 128 or 256, found " + group);
        }
        if (plain && calibrate != null) {
            throw new HeadstartException("--no-calibration and --calibrate contradict each other; leave one out");
        }
        ModelFolder source = Hub.standard().resolve(model);
        String held = text == null ? null : readText(text);
        try {
            OutputFolder.check(output, false, "choose another");
            int bits = precision.equals("int4") ? 4 : 8;
            Quantization.Report report = Quantization.write(source, bits, group, output, examples(source, bits));
            ConvertCommand.copyOthers(source.path(), output, List.of("config.json"));
            ObjectNode result = JsonNodeFactory.instance
                    .objectNode()
                    .put("layers", report.layers())
                    .put("bytes_before", report.bytesBefore())
                    .put("bytes_after", report.bytesAfter());
            StringBuilder said = new StringBuilder(String.format(
                    Locale.ROOT,
                    "%d layers in %s: %.1f MB, %.1f MB in fp32%n",
                    report.layers(),
                    precision,
                    report.bytesAfter() / 1e6,
                    report.bytesBefore() / 1e6));
            if (held != null) {
                double before = perplexity(held, source.path().toString());
                double after = perplexity(held, output.toString());
                double loss = 100 * (after / before - 1);
                result.put("perplexity_before", before)
                        .put("perplexity_after", after)
                        .put("loss_percent", loss);
                said.append(
                        String.format(Locale.ROOT, "perplexity %.4f, in fp32 %.4f: %+.2f %%%n", after, before, loss));
            }
            if (accuracy != null) {
                double before = accuracy(source.path().toString());
                double after = accuracy(output.toString());
                result.put("accuracy_before", before).put("accuracy_after", after);
                said.append(String.format(
                        Locale.ROOT,
                        "accuracy %.4f, in fp32 %.4f: %+.2f points%n",
                        after,
                        before,
                        100 * (after - before)));
            }
            PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
            if (json) {
                out.println(result);
            } else {
                out.print(said);
            }
            out.flush();
        } catch (IOException e) {
            throw new HeadstartException(
                    output + ": cannot be written (" + e.getMessage() + "); choose another folder", e);
        }
    }

    private @Nullable Consumer<PreTrainedModel<?>> examples(ModelFolder source, int bits) {
        if (calibrate == null) {
            return bits == 4 && !plain ? TextCalibration.ownText(source.path(), SEED) : null;
        }
        if (bits == 4 && !Files.exists(calibrate)) {
            throw new HeadstartException(calibrate + ": expected a text or a folder of images, found nothing");
        }
        if (bits == 8 || Files.isDirectory(calibrate)) {
            return ImageCalibration.of(source.path(), ImageFiles.under(calibrate), EXAMPLES);
        }
        return TextCalibration.of(source.path(), readText(calibrate));
    }

    private static String readText(Path file) {
        try {
            return Perplexity.read(file);
        } catch (IOException e) {
            throw new HeadstartException(
                    file + ": cannot be read as a text in UTF-8 (" + e.getMessage() + "); give another", e);
        }
    }

    /** The part of the images whose best class has the name of their folder. */
    private double accuracy(String folder) {
        List<Path> files = ImageFiles.under(Objects.requireNonNull(accuracy));
        try (Pipeline pipeline = Tasks.find("image-classification").open(folder, ON_CPU)) {
            List<?> found = pipeline.run(
                    files.stream().map(Path::toString).toList(),
                    JsonNodeFactory.instance.objectNode().put("top_k", 1));
            int right = 0;
            for (int i = 0; i < files.size(); i++) {
                Path parent = files.get(i).toAbsolutePath().getParent();
                if (parent != null
                        && found.get(i) instanceof List<?> best
                        && best.get(0) instanceof ClassScore first
                        && first.label().equals(String.valueOf(parent.getFileName()))) {
                    right++;
                }
            }
            return (double) right / files.size();
        }
    }

    private double perplexity(String held, String folder) {
        return Perplexity.of(held, folder, ON_CPU, maxLength == null ? 0 : maxLength, 0)
                .perplexity();
    }
}
