package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import dev.headstart.io.PickleMachine.Dict;
import dev.headstart.io.PickleMachine.Storage;
import dev.headstart.io.PickleMachine.Strided;
import java.io.IOException;
import java.io.InputStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * Checkpoints that {@code torch.save} wrote, in both containers: the zip archive of PyTorch 1.6 and later ({@code data.pkl} and
 * {@code data/N}), and the stream of before ({@code .th}, {@code .pt}, {@code .pth}). Nothing in them is executed ({@link PickleMachine}).
 */
public final class PickleReader {
    private static final BigInteger LEGACY_MAGIC = new BigInteger("1950a86a20f9469cfc6c", 16);
    private static final long LEGACY_PROTOCOL = 1001;
    private static final int LARGEST_PICKLE = 64 << 20;

    /** Where programs put the state dict among other things. */
    private static final List<String> STATE_DICT_KEYS = List.of("state_dict", "model_state_dict", "model");

    private PickleReader() {}

    /**
     * Opens the state dict of a checkpoint: the file's own dictionary, or the one under {@code state_dict}, {@code model_state_dict} or
     * {@code model} in it.
     *
     * @param file a file written by {@code torch.save}
     * @param map whether the file may be mapped; see {@link Safetensors#open}. Views of a larger tensor are copied
     * @throws WeightFormatException when it is damaged, holds no state dict, or more than tensors and plain values
     */
    public static TensorSource open(Path file, boolean map) {
        return openFile(file, map);
    }

    /**
     * The plain values beside the state dict, such as {@code epoch} or {@code best_prec1}: texts, Long, Double, Boolean, BigInteger; tensors
     * and numpy scalars of one element as numbers.
     */
    public static Map<String, Object> values(Path file) {
        try (Source source = openFile(file, false)) {
            return source.values();
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    private static WeightFormatException unreadable(Path path, IOException e) {
        return new WeightFormatException(
                path, "expected a readable PyTorch file, found an error: " + StagedFile.reason(e), e);
    }

    private static Source openFile(Path path, boolean map) {
        @Nullable WeightFile file = null;
        @Nullable Source source = null;
        try {
            file = WeightFile.open(path, map);
            byte[] start = file.bytes(0, (int) Math.min(4, file.size()));
            Container container;
            if (start.length == 4 && start[0] == 'P' && start[1] == 'K') {
                container = Container.zip(file);
            } else if (start.length == 4 && (start[0] & 0xff) == 0x80) {
                container = Container.legacy(file);
            } else {
                throw new WeightFormatException(
                        path,
                        "expected a file of torch.save, found neither a zip archive nor a pickle; files of before PyTorch 0.1.10 (tar) are "
                                + "not read");
            }
            Dict all = dictionary(path, container.root);
            source = new Source(file, container, tensors(path, all), all);
            return source;
        } catch (IOException e) {
            throw unreadable(path, e);
        } finally {
            if (source == null && file != null) {
                file.close();
            }
        }
    }

    private static Dict dictionary(Path path, Object root) {
        if (root instanceof Dict dict) {
            return dict;
        }
        throw new WeightFormatException(
                path, "expected a dictionary of tensors (a state dict), found something else; save model.state_dict()");
    }

    private static Map<String, Strided> tensors(Path path, Dict all) {
        for (String key : STATE_DICT_KEYS) {
            if (all.entries().get(key) instanceof Dict inner) {
                Map<String, Strided> tensors = direct(inner);
                if (!tensors.isEmpty()) {
                    return tensors;
                }
            }
        }
        Map<String, Strided> tensors = direct(all);
        if (tensors.isEmpty()) {
            String keys = all.entries().keySet().stream()
                    .filter(String.class::isInstance)
                    .limit(10)
                    .map(key -> quote((String) key))
                    .collect(Collectors.joining(", "));
            throw new WeightFormatException(
                    path,
                    "expected tensors at top level or under " + String.join(", ", STATE_DICT_KEYS)
                            + ", found none; its keys are [" + keys + "]");
        }
        return tensors;
    }

    private static Map<String, Strided> direct(Dict dict) {
        var tensors = new LinkedHashMap<String, Strided>();
        dict.entries().forEach((key, value) -> {
            if (key instanceof String name && value instanceof Strided tensor) {
                tensors.put(name, tensor);
            }
        });
        return tensors;
    }

    /** The unpickled root, and where each storage's bytes are. */
    private static final class Container {
        private final Object root;
        private final boolean bigEndian;
        private final @Nullable ZipDirectory zip;
        private final String prefix;
        /** Positions of the storages of a legacy file. */
        private final Map<String, Long> positions;

        private Container(
                Object root,
                boolean bigEndian,
                @Nullable ZipDirectory zip,
                String prefix,
                Map<String, Long> positions) {
            this.root = root;
            this.bigEndian = bigEndian;
            this.zip = zip;
            this.prefix = prefix;
            this.positions = positions;
        }

        static Container zip(WeightFile file) throws IOException {
            var zip = new ZipDirectory(file);
            List<String> pickles = zip.entries().keySet().stream()
                    .filter(name -> name.equals("data.pkl")
                            || name.endsWith("/data.pkl") && name.indexOf('/') == name.lastIndexOf('/'))
                    .toList();
            if (pickles.size() != 1) {
                throw new WeightFormatException(
                        file.path(),
                        "expected an archive of torch.save with one data.pkl, found " + pickles.size() + " among "
                                + zip.entries().size() + " entries; save model.state_dict() with torch.save");
            }
            String name = pickles.get(0);
            String prefix = name.substring(0, name.length() - "data.pkl".length());
            if (zip.entries().containsKey(prefix + "constants.pkl")) {
                throw new WeightFormatException(
                        file.path(),
                        "expected an archive of torch.save, found a TorchScript program; save model.state_dict() with torch.save");
            }
            var order = zip.entries().get(prefix + "byteorder");
            boolean bigEndian =
                    order != null && new String(zip.bytes(order, 100), StandardCharsets.UTF_8).equals("big");
            var entry = zip.entries().get(name);
            if (entry == null) {
                throw new IllegalStateException(name);
            }
            byte[] pickle = zip.bytes(entry, LARGEST_PICKLE);
            var machine = new PickleMachine(file.path(), at -> pickle[(int) at] & 0xff, 0, pickle.length);
            return new Container(machine.load(), bigEndian, zip, prefix, Map.of());
        }

        /** Magic number, protocol, machine, object, keys; then for each key its length and numbers. */
        static Container legacy(WeightFile file) throws IOException {
            Path path = file.path();
            var machine = new PickleMachine(path, file.window(), 0, file.size());
            if (!LEGACY_MAGIC.equals(machine.load())) {
                throw new WeightFormatException(
                        path,
                        "expected a file of torch.save, found another pickle; save model.state_dict() with torch.save");
            }
            Object protocol = machine.load();
            if (!Long.valueOf(LEGACY_PROTOCOL).equals(protocol)) {
                throw new WeightFormatException(
                        path,
                        "expected version " + LEGACY_PROTOCOL + " of the format, found another; fetch the file again");
            }
            boolean bigEndian = machine.load() instanceof Dict system
                    && Boolean.FALSE.equals(system.entries().get("little_endian"));
            var storages = new HashMap<String, Storage>();
            machine.onStorage(storage -> {
                Storage other = storages.putIfAbsent(storage.key(), storage);
                if (other != null && (other.type() != storage.type() || other.elements() != storage.elements())) {
                    throw new WeightFormatException(
                            path, "storage " + quote(storage.key()) + " is described in two ways; the file is damaged");
                }
            });
            Object root = machine.load();
            Object keys = machine.load();
            var positions = new HashMap<String, Long>();
            long at = machine.position();
            for (Object key : keys instanceof List<?> list ? list : List.of()) {
                Storage storage = storages.get(key.toString());
                if (storage == null || !(key instanceof String) && !(key instanceof Long)) {
                    throw new WeightFormatException(
                            path, "holds a storage that no tensor uses; the file is damaged, fetch it again");
                }
                if (at > file.size() - 8) {
                    throw new WeightFormatException(
                            path, "ends before storage " + quote(storage.key()) + "; it is truncated, fetch it again");
                }
                long elements =
                        Long.reverseBytes(ByteBuffer.wrap(file.bytes(at, 8)).getLong());
                long bytes = storage.elements() * storage.type().bytes();
                at += 8;
                if (elements != storage.elements() || bytes > file.size() - at) {
                    throw new WeightFormatException(
                            path,
                            "storage " + quote(storage.key()) + " should have " + storage.elements()
                                    + " elements, the file says " + elements + " and has " + (file.size() - at)
                                    + " bytes left; it is damaged, fetch it again");
                }
                positions.put(storage.key(), at);
                at += bytes;
            }
            return new Container(root, bigEndian, null, "", positions);
        }

        /** {@code count} elements of {@code type} from element {@code first} of a storage on, [count]. */
        Tensor elements(WeightFile file, Strided tensor, long first, long count) throws IOException {
            Storage storage = tensor.storage();
            long skip = storage.first() * storage.type().bytes()
                    + first * tensor.type().bytes();
            if (zip == null) {
                Long position = positions.get(storage.key());
                if (position == null) {
                    throw new WeightFormatException(
                            file.path(), "lacks storage " + quote(storage.key()) + "; it is truncated, fetch it again");
                }
                return ordered(file.elements(tensor.type(), position + skip, count), tensor.type());
            }
            var entry = zip.entries().get(prefix + "data/" + storage.key());
            long needed = skip + count * tensor.type().bytes();
            if (entry == null || entry.size() < needed) {
                throw new WeightFormatException(
                        file.path(),
                        "storage " + quote(storage.key()) + " needs " + needed + " bytes, the archive has "
                                + (entry == null ? "none" : entry.size()) + "; it is damaged, fetch it again");
            }
            if (entry.stored()) {
                return ordered(file.elements(tensor.type(), zip.position(entry) + skip, count), tensor.type());
            }
            Tensor numbers = TensorMemory.empty(tensor.type(), count);
            try (InputStream in = zip.open(entry)) {
                in.skipNBytes(skip);
                TensorMemory.read(in, numbers);
            }
            return ordered(numbers, tensor.type());
        }

        private Tensor ordered(Tensor tensor, ElementType type) throws IOException {
            if (!bigEndian || type.bytes() == 1) {
                return tensor;
            }
            int size = type == ElementType.C64 ? 4 : type.bytes();
            Tensor turned = tensor.clone();
            TensorMemory.forEachChunk(turned, (chunk, offset) -> {
                byte[] number = new byte[size];
                for (int at = 0; at < chunk.limit(); at += size) {
                    chunk.get(at, number);
                    for (int i = 0; i < size; i++) {
                        chunk.put(at + i, number[size - 1 - i]);
                    }
                }
            });
            return turned;
        }
    }

    private static final class Source extends NamedSource<Strided> {
        private final WeightFile file;
        private final Container container;
        private final Dict all;

        Source(WeightFile file, Container container, Map<String, Strided> tensors, Dict all) {
            super(file.path(), tensors);
            this.file = file;
            this.container = container;
            this.all = all;
        }

        @Override
        Tensor read(String name, Strided tensor) throws IOException {
            long[] size = tensor.size().stream().mapToLong(Long::longValue).toArray();
            long[] stride = tensor.stride().stream().mapToLong(Long::longValue).toArray();
            if (tensor.elements() == 0) {
                return TensorMemory.shaped(TensorMemory.empty(tensor.type(), 0), tensor.size());
            }
            return container
                    .elements(file, tensor, tensor.offset(), tensor.span())
                    .as_strided(size, stride)
                    .contiguous();
        }

        Map<String, Object> values() throws IOException {
            var values = new LinkedHashMap<String, Object>();
            for (var entry : all.entries().entrySet()) {
                if (entry.getKey() instanceof String name) {
                    Object value = entry.getValue();
                    if (value instanceof String || value instanceof Number || value instanceof Boolean) {
                        values.put(name, value);
                    } else if (value instanceof Strided tensor && tensor.elements() == 1 && !names().contains(name)) {
                        values.put(name, number(name, tensor));
                    }
                }
            }
            return Collections.unmodifiableMap(values);
        }

        private double number(String name, Strided tensor) throws IOException {
            try (var scope = new PointerScope()) {
                return read(name, tensor).to(torch.ScalarType.Double).item_double();
            }
        }

        @Override
        public void close() {
            file.close();
        }
    }
}
