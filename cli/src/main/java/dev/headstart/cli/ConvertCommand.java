package dev.headstart.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.hub.Hub;
import dev.headstart.io.Checkpoint;
import dev.headstart.io.Safetensors;
import dev.headstart.io.TensorSource;
import dev.headstart.train.OutputFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Weights of any readable format into a Hugging Face folder with safetensors. */
@Command(
        name = "convert",
        description =
                "Converts a model's weights (safetensors, PyTorch, TensorFlow BERT, ONNX BERT) into a folder with safetensors.")
final class ConvertCommand implements Runnable {
    private static final long SHARD_BYTES = 5_000_000_000L;
    private static final Map<String, ScalarType> TYPES =
            Map.of("fp32", ScalarType.Float, "bf16", ScalarType.BFloat16, "fp16", ScalarType.Half);

    @Option(names = "--model", required = true, paramLabel = "ID", description = "Model folder, weight file, or id.")
    private String model = "";

    @Option(names = "--output", required = true, paramLabel = "DIR", description = "Folder to write; new or empty.")
    private Path output = Path.of("");

    @Option(
            names = "--dtype",
            paramLabel = "TYPE",
            description = "fp32, bf16 or fp16 for the floating-point weights; default as stored.")
    private @Nullable String dtype;

    @Override
    public void run() {
        ScalarType type = dtype == null ? null : TYPES.get(dtype);
        if (dtype != null && type == null) {
            throw new HeadstartException("--dtype: expected fp32, bf16 or fp16, found " + dtype);
        }
        Path file = Path.of(model);
        Path source =
                Files.isRegularFile(file) ? file : Hub.standard().resolve(model).path();
        try {
            OutputFolder.check(output, false, "choose another");
            boolean whole = false;
            try {
                Files.createDirectories(output);
                convert(source, type);
                if (Files.isDirectory(source)) {
                    copyOthers(source, output, List.of());
                }
                whole = true;
            } finally {
                if (!whole) {
                    removeOutput();
                }
            }
        } catch (IOException e) {
            throw new HeadstartException(
                    output + ": cannot be written (" + e.getMessage() + "); choose another folder", e);
        }
    }

    /** The folder was new or empty: what is in it now is half a model. */
    private void removeOutput() throws IOException {
        if (Files.isDirectory(output)) {
            try (Stream<Path> walk = Files.walk(output)) {
                for (Path path : walk.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(path);
                }
            }
        }
    }

    private void convert(Path source, @Nullable ScalarType type) {
        try (TensorSource weights = Checkpoint.open(source, false);
                var scope = new PointerScope()) {
            var tensors = new LinkedHashMap<String, Tensor>();
            for (String name : weights.names()) {
                Tensor stored = weights.tensor(name);
                scope.attach(stored);
                stored.close(); // the scope holds it now
                tensors.put(name, type != null && stored.is_floating_point() ? stored.to(type) : stored);
            }
            Safetensors.writeSharded(output, tensors, Map.of("format", "pt"), SHARD_BYTES);
        }
    }

    /** Configuration, tokenizer and the rest, but no weights. */
    static void copyOthers(Path source, Path output, List<String> but) throws IOException {
        try (Stream<Path> files = Files.list(source)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                String name = String.valueOf(file.getFileName());
                boolean weights = List.of(
                                ".safetensors",
                                ".bin",
                                ".pt",
                                ".pth",
                                ".th",
                                ".onnx",
                                ".h5",
                                ".msgpack",
                                ".index",
                                ".index.json")
                        .stream()
                        .anyMatch(name::endsWith);
                if (!weights && !name.startsWith(".") && !but.contains(name)) {
                    Files.copy(file, output.resolve(name), StandardCopyOption.COPY_ATTRIBUTES);
                }
            }
        }
        copyModules(source, output);
    }

    /** What follows the encoder in a sentence-transformers folder: pooling, dense layers; whole, each in the folder that modules.json names. */
    private static void copyModules(Path source, Path output) throws IOException {
        Path list = source.resolve("modules.json");
        if (!Files.isRegularFile(list)) {
            return;
        }
        for (JsonNode module : new ObjectMapper().readTree(Files.readAllBytes(list))) {
            Path folder = source.resolve(module.path("path").asText()).normalize();
            if (!source.normalize().equals(folder.getParent()) || !Files.isDirectory(folder)) {
                continue; // the encoder itself, or nothing of this model
            }
            Path copy = Files.createDirectories(output.resolve(folder.getFileName()));
            try (Stream<Path> files = Files.list(folder)) {
                for (Path file : files.filter(Files::isRegularFile).toList()) {
                    Files.copy(file, copy.resolve(file.getFileName()), StandardCopyOption.COPY_ATTRIBUTES);
                }
            }
        }
    }
}
