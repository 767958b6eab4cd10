package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Opens the weights of a model folder, or a weight file, whatever the format. */
public final class Checkpoint {
    private static final int LARGEST_INDEX = 100_000_000;

    /** What a folder may hold, in the order in which it is looked for. */
    private static final List<String> FILES = List.of(
            Safetensors.FILE,
            Safetensors.INDEX,
            "pytorch_model.bin",
            "pytorch_model.bin.index.json",
            "adapter_model.safetensors",
            "adapter_model.bin",
            "variables/variables.index",
            "bert_model.ckpt.index",
            "model.onnx",
            "onnx/model.onnx");

    private static final JsonFactory JSON = JsonFactory.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .streamReadConstraints(
                    StreamReadConstraints.builder().maxNestingDepth(16).build())
            .build();

    private Checkpoint() {}

    /**
     * Opens a model's weights. Names are those of the file; in TensorFlow's checkpoints of BERT and in ONNX files they are translated into
     * Hugging Face's ({@link BertNames}, {@link OnnxReader}).
     *
     * @param folderOrFile a folder in Hugging Face layout, a TensorFlow SavedModel, or one weight file: {@code .safetensors},
     *     {@code .safetensors.index.json}, {@code .bin}/{@code .pt}/{@code .pth}/{@code .th} or another name (PyTorch),
     *     {@code .bin.index.json}, {@code .onnx}, {@code .index} (TensorFlow)
     * @param map whether files may be mapped; see {@link Safetensors#open}
     * @throws HeadstartException when there are no weights; the message lists what was looked for
     * @throws WeightFormatException when a file is damaged
     */
    public static TensorSource open(Path folderOrFile, boolean map) {
        if (Files.isRegularFile(folderOrFile)) {
            return openFile(folderOrFile, map);
        }
        if (!Files.isDirectory(folderOrFile)) {
            if (Files.isRegularFile(folderOrFile.resolveSibling(NamedSource.fileName(folderOrFile) + ".index"))) {
                return openTensorFlow(folderOrFile, map);
            }
            throw new HeadstartException(folderOrFile + ": expected a model folder or a weight file, found neither");
        }
        for (String name : FILES) {
            Path file = folderOrFile.resolve(name);
            if (Files.isRegularFile(file)) {
                return openFile(file, map);
            }
        }
        throw new HeadstartException(folderOrFile + ": no weights found; looked for " + String.join(", ", FILES));
    }

    private static TensorSource openFile(Path file, boolean map) {
        String name = NamedSource.fileName(file);
        if (name.endsWith(".index.json")) {
            return openShards(file, map);
        }
        return openTensors(file, map);
    }

    private static TensorSource openTensors(Path file, boolean map) {
        String name = NamedSource.fileName(file);
        if (name.endsWith(".index")) {
            return openTensorFlow(file, map);
        }
        if (name.endsWith(".onnx")) {
            return OnnxReader.open(file, map);
        }
        return isPyTorch(file) ? PickleReader.open(file, map) : Safetensors.open(file, map);
    }

    /** Whether a file begins as those of torch.save do, with a zip archive or a pickle; the length of a safetensors header never does. */
    private static boolean isPyTorch(Path file) {
        try (InputStream in = Files.newInputStream(file)) {
            byte[] start = in.readNBytes(9);
            boolean safetensors = start.length == 9 && start[8] == '{' && start[7] == 0;
            boolean zip = start.length > 3 && start[0] == 'P' && start[1] == 'K';
            boolean pickle = start.length > 3 && (start[0] & 0xff) == 0x80 && (start[1] & 0xff) <= 5;
            return (zip || pickle) && !safetensors;
        } catch (IOException e) {
            throw new WeightFormatException(
                    file, "expected a readable weight file, found an error: " + StagedFile.reason(e), e);
        }
    }

    private static TensorSource openTensorFlow(Path bundle, boolean map) {
        TensorSource source = TensorBundleReader.open(bundle, map);
        boolean done = false;
        try {
            TensorSource named = BertNames.isTensorFlowBert(source.names()) ? BertNames.fromTensorFlow(source) : source;
            done = true;
            return named;
        } finally {
            if (!done) {
                source.close();
            }
        }
    }

    private static TensorSource openShards(Path index, boolean map) {
        Map<String, String> fileOf = weightMap(index);
        var shards = new LinkedHashMap<String, TensorSource>();
        boolean done = false;
        try {
            for (String name : fileOf.values()) {
                if (!shards.containsKey(name)) {
                    if (!isPlainFileName(name)) {
                        throw new WeightFormatException(
                                index,
                                "expected plain names of files beside it, found " + quote(name)
                                        + "; the index is damaged or hostile");
                    }
                    Path shard = index.resolveSibling(name);
                    if (!Files.isRegularFile(shard)) {
                        throw new WeightFormatException(
                                index, "expected the shard " + name + " beside it, found no such file; fetch it too");
                    }
                    shards.put(name, openTensors(shard, map));
                }
            }
            var source = new ShardedSource(index, fileOf, shards);
            done = true;
            return source;
        } finally {
            if (!done) {
                shards.values().forEach(TensorSource::close);
            }
        }
    }

    /** Whether a name from a file can only mean a file in that file's own folder. */
    static boolean isPlainFileName(String name) {
        return !name.isBlank()
                && name.length() <= 255
                && !name.startsWith(".")
                && name.chars().noneMatch(c -> c == '/' || c == '\\' || c == ':' || Character.isISOControl(c));
    }

    /** The weight_map of an index: shard by tensor. */
    private static Map<String, String> weightMap(Path index) {
        var fileOf = new LinkedHashMap<String, String>();
        boolean found = false;
        try {
            if (Files.size(index) > LARGEST_INDEX) {
                throw new WeightFormatException(
                        index, "expected an index of at most " + LARGEST_INDEX + " bytes, found " + Files.size(index));
            }
            try (JsonParser parser = JSON.createParser(Files.readString(index))) {
                boolean object = parser.nextToken() == JsonToken.START_OBJECT;
                while (object && parser.nextToken() == JsonToken.FIELD_NAME) {
                    boolean map = parser.currentName().equals("weight_map");
                    if (parser.nextToken() != JsonToken.START_OBJECT || !map) {
                        parser.skipChildren();
                        continue;
                    }
                    found = true;
                    while (parser.nextToken() == JsonToken.FIELD_NAME) {
                        String tensor = parser.currentName();
                        if (parser.nextToken() != JsonToken.VALUE_STRING) {
                            throw new WeightFormatException(
                                    index, "expected a file name for tensor " + quote(tensor) + ", found no string");
                        }
                        fileOf.put(tensor, parser.getText());
                    }
                }
            }
        } catch (JsonProcessingException e) {
            throw new WeightFormatException(
                    index, "expected JSON (" + e.getOriginalMessage() + "); fetch the index again", e);
        } catch (IOException e) {
            throw new WeightFormatException(
                    index, "expected a readable index, found an error: " + StagedFile.reason(e), e);
        }
        if (!found) {
            throw new WeightFormatException(
                    index, "expected an object weight_map, found none; this is no index of weights");
        }
        return fileOf;
    }
}
