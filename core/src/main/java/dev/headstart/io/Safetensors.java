package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import dev.headstart.HeadstartException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/**
 * The safetensors format (github.com/huggingface/safetensors): a JSON header with type, shape and place of each tensor, then their bytes.
 * Files are written byte for byte as the reference implementation writes them: largest element types first, then by name.
 */
public final class Safetensors {
    /** The name of the only weight file of a model, and of the index of several. */
    static final String FILE = "model.safetensors";

    static final String INDEX = "model.safetensors.index.json";

    private static final Pattern SHARD = Pattern.compile("model(-\\d{5}-of-\\d{5})?\\.safetensors");

    private Safetensors() {}

    /**
     * Opens a file and checks its header.
     *
     * @param file a safetensors file of any size
     * @param map whether to map the file instead of reading it: nothing is copied, but a file that is truncated while mapped ends the JVM, so
     *     only for files that nobody rewrites in place. Tensors that lie unaligned in a mapped file are copied
     * @throws WeightFormatException when the file cannot be read or breaks a rule of the format
     */
    public static TensorSource open(Path file, boolean map) {
        return SafetensorsSource.open(file, map);
    }

    /** The {@code __metadata__} strings of a file. */
    public static Map<String, String> metadata(Path file) {
        try (var source = SafetensorsSource.open(file, false)) {
            return source.metadata();
        }
    }

    /** All tensors of a file, read into memory, in file order. The caller owns them. */
    public static Map<String, Tensor> readMap(Path file) {
        try (var source = open(file, false)) {
            var tensors = new LinkedHashMap<String, Tensor>();
            boolean done = false;
            try {
                for (String name : source.names()) {
                    tensors.put(name, source.tensor(name));
                }
                done = true;
                return tensors;
            } finally {
                if (!done) {
                    tensors.values().forEach(Tensor::close);
                }
            }
        }
    }

    /** Writes tensors with the metadata that PyTorch programs expect, {@code {"format": "pt"}}; see {@link #write(Path, Map, Map)}. */
    public static void write(Path file, Map<String, Tensor> tensors) {
        write(file, tensors, Map.of("format", "pt"));
    }

    /**
     * Writes tensors to one file, through a staging file: the file appears whole or not at all. The same input gives the same bytes.
     *
     * @param file the file to write; replaced when it exists
     * @param tensors tensors by name, of any shape, on any device; tensors that are not contiguous are copied one at a time
     * @param metadata the {@code __metadata__} strings; may be empty
     * @throws HeadstartException when the file cannot be written, or a tensor has a type that the format does not know
     */
    public static void write(Path file, Map<String, Tensor> tensors, Map<String, String> metadata) {
        List<Named> ordered = inOrder(tensors);
        ByteBuffer header = header(ordered, metadata);
        StagedFile.write(file, channel -> {
            writeFully(channel, header);
            for (Named named : ordered) {
                try (var scope = new PointerScope()) {
                    TensorMemory.write(named.tensor().detach().cpu().contiguous(), channel);
                }
            }
        });
    }

    /**
     * Writes tensors to {@code model.safetensors} in a folder, or, when they are larger than {@code maxShardBytes} together, to
     * {@code model-00001-of-0000N.safetensors} ... with {@code model.safetensors.index.json}. Tensors are filled into shards in the map's order.
     * The index is written last; weight files of an earlier save under these names are removed.
     *
     * @param folder made when it is missing
     * @param maxShardBytes bytes of tensor data in one file; a larger tensor gets a file of its own
     */
    public static void writeSharded(
            Path folder, Map<String, Tensor> tensors, Map<String, String> metadata, long maxShardBytes) {
        List<Map<String, Tensor>> shards = shards(tensors, maxShardBytes);
        var written = new ArrayList<String>();
        if (shards.size() <= 1) {
            write(folder.resolve(FILE), tensors, metadata);
            written.add(FILE);
        } else {
            var fileOf = new TreeMap<String, String>();
            for (int i = 0; i < shards.size(); i++) {
                String name = String.format("model-%05d-of-%05d.safetensors", i + 1, shards.size());
                shards.get(i).keySet().forEach(tensor -> fileOf.put(tensor, name));
                write(folder.resolve(name), shards.get(i), metadata);
                written.add(name);
            }
            long total = tensors.values().stream().mapToLong(Tensor::nbytes).sum();
            byte[] index = index(fileOf, total);
            StagedFile.write(folder.resolve(INDEX), channel -> writeFully(channel, ByteBuffer.wrap(index)));
            written.add(INDEX);
        }
        removeOthers(folder, written);
    }

    private static List<Map<String, Tensor>> shards(Map<String, Tensor> tensors, long maxShardBytes) {
        if (maxShardBytes <= 0) {
            throw new IllegalArgumentException("maxShardBytes must be positive, found " + maxShardBytes);
        }
        var shards = new ArrayList<Map<String, Tensor>>();
        var shard = new LinkedHashMap<String, Tensor>();
        long bytes = 0;
        for (var entry : tensors.entrySet()) {
            long size = entry.getValue().nbytes();
            if (!shard.isEmpty() && bytes + size > maxShardBytes) {
                shards.add(shard);
                shard = new LinkedHashMap<>();
                bytes = 0;
            }
            shard.put(entry.getKey(), entry.getValue());
            bytes += size;
        }
        shards.add(shard);
        return shards;
    }

    /** As {@code json.dumps(index, indent=2, sort_keys=True)} gives it. */
    private static byte[] index(Map<String, String> fileOf, long totalBytes) {
        var bytes = new ByteArrayOutputStream();
        var printer = new DefaultPrettyPrinter()
                .withObjectIndenter(new com.fasterxml.jackson.core.util.DefaultIndenter("  ", "\n"));
        try (JsonGenerator json = new JsonFactory().createGenerator(bytes)) {
            json.setPrettyPrinter(printer);
            json.writeStartObject();
            json.writeObjectFieldStart("metadata");
            json.writeNumberField("total_size", totalBytes);
            json.writeEndObject();
            json.writeObjectFieldStart("weight_map");
            for (var entry : fileOf.entrySet()) {
                json.writeStringField(entry.getKey(), entry.getValue());
            }
            json.writeEndObject();
            json.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return bytes.toByteArray();
    }

    private static void removeOthers(Path folder, Collection<String> written) {
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.toList()) {
                String name = NamedSource.fileName(file);
                if ((SHARD.matcher(name).matches() || name.equals(INDEX)) && !written.contains(name)) {
                    Files.delete(file);
                }
            }
        } catch (IOException e) {
            throw new HeadstartException(
                    folder + ": weight files of an earlier save cannot be removed (" + StagedFile.reason(e)
                            + "); remove those that are not in " + written,
                    e);
        }
    }

    private record Named(String name, Tensor tensor, ElementType type) {}

    private static List<Named> inOrder(Map<String, Tensor> tensors) {
        var ordered = new ArrayList<Named>();
        tensors.forEach((name, tensor) -> {
            if (name.equals(SafetensorsHeader.METADATA)) {
                throw new HeadstartException("a tensor cannot be named " + name + " in a safetensors file; rename it");
            }
            try {
                ordered.add(new Named(name, tensor, ElementType.of(tensor)));
            } catch (IllegalArgumentException e) {
                throw new HeadstartException("tensor " + quote(name) + ": " + e.getMessage(), e);
            }
        });
        ordered.sort(Comparator.comparing(Named::type).reversed().thenComparing(Named::name));
        return ordered;
    }

    private static ByteBuffer header(List<Named> tensors, Map<String, String> metadata) {
        var bytes = new ByteArrayOutputStream();
        try (JsonGenerator json = new JsonFactory().createGenerator(bytes)) {
            json.writeStartObject();
            if (!metadata.isEmpty()) {
                json.writeObjectFieldStart(SafetensorsHeader.METADATA);
                for (var entry : new TreeMap<>(metadata).entrySet()) {
                    json.writeStringField(entry.getKey(), entry.getValue());
                }
                json.writeEndObject();
            }
            long at = 0;
            for (Named named : tensors) {
                json.writeObjectFieldStart(named.name());
                json.writeStringField("dtype", named.type().name());
                json.writeFieldName("shape");
                long[] shape = named.tensor().shape();
                json.writeArray(shape, 0, shape.length);
                json.writeFieldName("data_offsets");
                long end = at + named.tensor().numel() * named.type().bytes();
                json.writeArray(new long[] {at, end}, 0, 2);
                json.writeEndObject();
                at = end;
            }
            json.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        if (bytes.size() > SafetensorsHeader.MAX_BYTES - 8) {
            throw new HeadstartException(
                    "a safetensors header can have " + SafetensorsHeader.MAX_BYTES + " bytes, these " + tensors.size()
                            + " tensors need " + bytes.size() + "; write them to several files");
        }
        bytes.writeBytes(" ".repeat(-bytes.size() & 7).getBytes(StandardCharsets.US_ASCII));
        return ByteBuffer.allocate(8 + bytes.size())
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(bytes.size())
                .put(bytes.toByteArray())
                .flip();
    }

    private static void writeFully(FileChannel file, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            file.write(bytes);
        }
    }
}
