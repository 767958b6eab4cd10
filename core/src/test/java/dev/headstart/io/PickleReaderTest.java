package dev.headstart.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.assertj.core.api.InstanceOfAssertFactories.DOUBLE;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.testing.Shared;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class PickleReaderTest {
    @TempDir
    Path folder;

    @ParameterizedTest
    @CsvSource({
        "flat-zip.pt, true", "flat-zip.pt, false",
        "nested-zip.pt, true", "nested-zip.pt, false",
        "flat-legacy.pth, true", "flat-legacy.pth, false",
        "nested-legacy.pth, true", "nested-legacy.pth, false",
        "deflated-big-endian.pt, true", "deflated-big-endian.pt, false"
    })
    void readsWhatPyTorchWrote(String name, boolean map) {
        try (var source = Checkpoint.open(Tensors.FIXTURES.resolve(name), map)) {
            Tensors.assertSame(source, Tensors.FIXTURES.resolve("pickle.safetensors"));
            assertThat(source.fileOf("weight")).isEqualTo(name);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"nested-zip.pt", "nested-legacy.pth"})
    void givesThePlainValuesBesideTheTensors(String name) {
        assertThat(PickleReader.values(Tensors.FIXTURES.resolve(name)))
                .isEqualTo(
                        Map.of("epoch", 200L, "best_prec1", 92.5, "arch", "resnet20", "finished", true, "loss", 0.25));
    }

    @ParameterizedTest
    @ValueSource(strings = {"evil-zip.pt", "evil-legacy.pth"})
    void refusesWhatWouldBeExecuted(String name) {
        assertThatThrownBy(() -> PickleReader.open(Tensors.FIXTURES.resolve(name), false))
                .isInstanceOf(WeightFormatException.class)
                .hasMessageContaining(name + ": holds the name \"__builtin__.exec\"")
                .hasMessageContaining("nothing in them is executed");
    }

    @Test
    void saysWhatIsNotRead() {
        assertThatThrownBy(() -> PickleReader.open(Tensors.FIXTURES.resolve("protocol4.pt"), false))
                .isInstanceOf(WeightFormatException.class)
                .hasMessageContaining("holds operation 0x95");
        assertThatThrownBy(() -> PickleReader.open(Tensors.FIXTURES.resolve("no-state-dict.pt"), false))
                .isInstanceOf(WeightFormatException.class)
                .hasMessageContaining("expected a dictionary of tensors");
        assertThatThrownBy(() -> PickleReader.open(Tensors.FIXTURES.resolve("tiny-bert.onnx"), false))
                .isInstanceOf(WeightFormatException.class)
                .hasMessageContaining("neither a zip archive nor a pickle");
    }

    /** Lists of TENSORS.txt, and what torch.load gives, for every pickled checkpoint of the shared data. */
    static Stream<Path> sharedWeights() throws IOException {
        Path data = Shared.require("data");
        try (Stream<Path> files = Files.walk(data)) {
            return files
                    .filter(file -> file.toString().matches(".*/weights-[^/]*/.*\\.(th|pt|pth)"))
                    .sorted()
                    .toList()
                    .stream();
        }
    }

    @ParameterizedTest
    @MethodSource
    void sharedWeights(Path file) throws IOException {
        Path root = Shared.root();
        JsonNode checksums = new ObjectMapper()
                .readTree(Tensors.FIXTURES.resolve("shared-weights.json").toFile())
                .path(root.relativize(file).toString());
        try (var source = Checkpoint.open(file, true)) {
            assertThat(source.names()).containsExactlyElementsOf(() -> checksums.fieldNames());
            var listed = new ArrayList<String>();
            for (String name : source.names()) {
                TensorInfo info = source.info(name);
                listed.add(name + "\t" + numpyName(info.dtype()) + " "
                        + info.shape().stream().map(String::valueOf).collect(Collectors.joining("x")));
                try (var tensor = source.tensor(name)) {
                    var crc = new CRC32();
                    TensorMemory.forEachChunk(tensor, (chunk, offset) -> crc.update(chunk));
                    assertThat(crc.getValue())
                            .as(name)
                            .isEqualTo(checksums.path(name).asLong());
                }
            }
            assertThat(listed.stream().map(String::strip)).containsExactlyElementsOf(listing(root, file));
        }
    }

    /** The lines of TENSORS.txt for one file. */
    private static List<String> listing(Path root, Path file) throws IOException {
        Path tensors = root.resolve("data")
                .resolve(root.resolve("data").relativize(file).getName(0))
                .resolve("TENSORS.txt");
        var lines = new ArrayList<String>();
        boolean inside = false;
        for (String line : Files.readAllLines(tensors)) {
            if (line.startsWith("## ")) {
                inside = line.substring(3).split(" ")[0].endsWith(NamedSource.fileName(file));
            } else if (inside && !line.isBlank()) {
                lines.add(line.strip());
            }
        }
        return lines;
    }

    private static String numpyName(String dtype) {
        return dtype.equals("F32") ? "float32" : dtype.equals("I64") ? "int64" : dtype;
    }

    @Test
    void theAccuracyOfASharedCheckpointCanBeRead() {
        Path file = Shared.require("data/weights-resnet-cifar10/pretrained_models/resnet20-12fca82f.th");
        assertThat(PickleReader.values(file))
                .extractingByKey("best_prec1")
                .asInstanceOf(DOUBLE)
                .isCloseTo(91.78, within(1e-4));
    }

    /** Writes pickles by hand. */
    private static final class Pickle {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();

        Pickle op(int... bytes) {
            for (int b : bytes) {
                out.write(b);
            }
            return this;
        }

        Pickle text(String text) {
            byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
            op('X', utf8.length, utf8.length >> 8, 0, 0);
            out.writeBytes(utf8);
            return this;
        }

        Pickle number(long value) {
            op(0x8a, 8);
            for (int i = 0; i < 8; i++) {
                op((int) (value >> 8 * i));
            }
            return this;
        }

        Pickle global(String module, String name) {
            op('c');
            out.writeBytes((module + "\n" + name + "\n").getBytes(StandardCharsets.UTF_8));
            return this;
        }

        /** A storage reference. */
        Pickle storage(String key, long elements) {
            return op('(').text("storage")
                    .global("torch", "FloatStorage")
                    .text(key)
                    .text("cpu")
                    .number(elements)
                    .op('t', 'Q');
        }

        Pickle tuple(long... values) {
            op('(');
            for (long value : values) {
                number(value);
            }
            return op('t');
        }

        /** One tensor named w, as the state dict. */
        static Pickle tensor(long elements, long offset, long[] size, long[] stride) {
            return new Pickle()
                    .op(0x80, 2, '}')
                    .text("w")
                    .global("torch._utils", "_rebuild_tensor")
                    .op('(')
                    .storage("0", elements)
                    .number(offset)
                    .tuple(size)
                    .tuple(stride)
                    .op('t', 'R', 's', '.');
        }

        byte[] bytes() {
            return out.toByteArray();
        }
    }

    private Path archive(Pickle pickle, byte[] storage) throws IOException {
        Path file = folder.resolve("x.pt");
        try (var zip = new ZipOutputStream(Files.newOutputStream(file))) {
            zip.putNextEntry(new ZipEntry("x/data.pkl"));
            zip.write(pickle.bytes());
            zip.putNextEntry(new ZipEntry("x/data/0"));
            zip.write(storage);
        }
        return file;
    }

    @Test
    void handMadePickleReads() throws IOException {
        Path file = archive(Pickle.tensor(6, 1, new long[] {2, 2}, new long[] {1, 3}), new byte[24]);
        try (var source = PickleReader.open(file, false);
                var tensor = source.tensor("w")) {
            assertThat(tensor.shape()).containsExactly(2, 2);
        }
    }

    static Stream<Pickle> outOfBounds() {
        return Stream.of(
                Pickle.tensor(6, 0, new long[] {7}, new long[] {1}),
                Pickle.tensor(6, 1, new long[] {6}, new long[] {1}),
                Pickle.tensor(6, 0, new long[] {2, 2}, new long[] {5, 1}),
                Pickle.tensor(6, -1, new long[] {1}, new long[] {1}),
                Pickle.tensor(6, 0, new long[] {2}, new long[] {-1}),
                Pickle.tensor(6, 0, new long[] {-2}, new long[] {1}),
                Pickle.tensor(6, 0, new long[] {2, 2}, new long[] {1}),
                Pickle.tensor(-1, 0, new long[] {1}, new long[] {1}),
                Pickle.tensor(Long.MAX_VALUE, 0, new long[] {Long.MAX_VALUE}, new long[] {1}),
                Pickle.tensor(6, Long.MAX_VALUE, new long[] {2}, new long[] {1}),
                Pickle.tensor(6, 0, new long[] {1L << 40, 1L << 40}, new long[] {1, 1}),
                Pickle.tensor(6, 0, new long[] {3}, new long[] {Long.MAX_VALUE}),
                Pickle.tensor(6, 0, new long[] {1L << 40}, new long[] {0}));
    }

    @ParameterizedTest
    @MethodSource
    void outOfBounds(Pickle pickle) throws IOException {
        Path file = archive(pickle, new byte[24]);
        assertThatThrownBy(() -> PickleReader.open(file, false)).isInstanceOf(WeightFormatException.class);
    }

    @Test
    void storagesAreAsLongAsTheyAreSaidToBe() throws IOException {
        Path file = archive(Pickle.tensor(6, 0, new long[] {6}, new long[] {1}), new byte[23]);
        try (var source = PickleReader.open(file, true)) {
            assertThatThrownBy(() -> source.tensor("w")).hasMessageContaining("needs 24 bytes, the archive has 23");
        }
    }

    @Test
    void zipBombsAreRefused() throws IOException {
        Path file = archive(Pickle.tensor(16 << 20, 0, new long[] {16 << 20}, new long[] {1}), new byte[64 << 20]);
        assertThatThrownBy(() -> PickleReader.open(file, false)).hasMessageContaining("which no weights do");
    }

    static Stream<Pickle> broken() {
        return Stream.of(
                new Pickle(),
                new Pickle().op(0x80, 2, '.'),
                new Pickle().op('h', 3, '.'),
                new Pickle().op(']', 'R', '.'),
                new Pickle().op('t', '.'),
                new Pickle().op('}', '(', 'K', 1, 'u', '.'),
                new Pickle().op('X', 255, 255, 255, 255),
                new Pickle().op('c').op("posix\nsystem\n".chars().toArray()).op('.'),
                new Pickle().global("collections", "OrderedDict").op('K', 1, 0x85, 'R', '.'),
                new Pickle().global("torch", "FloatStorage").op(')', 'R', '.'),
                new Pickle().global("torch.storage", "TypedStorage").op('.'),
                new Pickle().op(']', '}', 'b', '.'),
                // a list in itself, as the key of a dictionary: must not be hashed
                new Pickle().op('}', ']', 'q', 0, 'h', 0, 'a', 0x85, 'K', 1, 's', '.'));
    }

    @ParameterizedTest
    @MethodSource
    void broken(Pickle pickle) throws IOException {
        Path file = archive(pickle, new byte[24]);
        assertThatThrownBy(() -> PickleReader.open(file, false)).isInstanceOf(WeightFormatException.class);
    }

    @Test
    void endlessNestingIsRefused() throws IOException {
        var pickle = new Pickle();
        for (int i = 0; i < 100_000; i++) {
            pickle.op('(');
        }
        Path file = archive(pickle, new byte[0]);
        assertThatThrownBy(() -> PickleReader.open(file, false)).hasMessageContaining("more than 10000 nested values");
    }

    @Test
    void textOfPython2IsText() throws IOException {
        var pickle = new Pickle()
                .op(0x80, 2, '}', 'U', 1, 'w')
                .global("torch._utils", "_rebuild_tensor")
                .op('(')
                .storage("0", 2)
                .number(0)
                .tuple(2)
                .tuple(1)
                .op('t', 'R', 's', '.');
        try (var source = PickleReader.open(archive(pickle, new byte[8]), false)) {
            assertThat(source.names()).containsExactly("w");
        }
    }

    @Test
    void shardsOfAFolderAreFoundByTheirIndex() throws IOException {
        for (String name : List.of("flat-zip.pt", "tiny-bert.safetensors")) {
            Files.copy(Tensors.FIXTURES.resolve(name), folder.resolve(name));
        }
        Files.writeString(
                folder.resolve("pytorch_model.bin.index.json"),
                "{\"metadata\":{\"total_size\":1},\"weight_map\":{\"weight\":\"flat-zip.pt\",\"pooler.dense.bias\":\"tiny-bert.safetensors\"}}");
        try (var source = Checkpoint.open(folder, true)) {
            assertThat(source.names()).containsExactly("weight", "pooler.dense.bias");
            assertThat(source.fileOf("weight")).isEqualTo("flat-zip.pt");
            source.tensor("pooler.dense.bias").close();
            assertThatThrownBy(() -> source.tensor("row")).hasMessageContaining("expected a tensor named \"row\"");
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{\"weight_map\":{\"x\":\"../x.safetensors\"}} | plain names",
                "{\"weight_map\":{\"x\":\"/etc/passwd\"}} | plain names",
                "{\"weight_map\":{\"x\":\"none.safetensors\"}} | expected the shard none.safetensors",
                "{\"weight_map\":{\"x\":\"flat-zip.pt\"}} | expected tensor \"x\" in flat-zip.pt",
                "{\"weight_map\":{\"x\":1}} | no string",
                "{\"weight_map\":{\"x\":\"model.safetensors.index.json\"}} | model.safetensors.index.json",
                "{\"weight_map\":[]} | expected an object weight_map",
                "[] | expected an object weight_map",
                "{\"weight_map\":{ | expected JSON"
            })
    void badIndexes(String json, String message) throws IOException {
        Files.copy(Tensors.FIXTURES.resolve("flat-zip.pt"), folder.resolve("flat-zip.pt"));
        Files.writeString(folder.resolve("model.safetensors.index.json"), json);
        assertThatThrownBy(() -> Checkpoint.open(folder, false))
                .isInstanceOf(WeightFormatException.class)
                .hasMessageContaining(message);
    }

    @Test
    void aShardedSaveReadsBack() {
        var tensors = new LinkedHashMap<String, Tensor>();
        try (var a = Tensor.create(1f, 2f);
                var b = Tensor.create(3f, 4f)) {
            tensors.put("b", b);
            tensors.put("a", a);
            Safetensors.writeSharded(folder, tensors, Map.of(), 8);
        }
        try (var source = Checkpoint.open(folder, true);
                var a = source.tensor("a")) {
            assertThat(Tensors.floats(a)).containsExactly(1, 2);
            assertThat(source.fileOf("b")).isEqualTo("model-00001-of-00002.safetensors");
        }
    }

    @Test
    void anEmptyFolderSaysWhatWasLookedFor() {
        assertThatThrownBy(() -> Checkpoint.open(folder, false))
                .hasMessageContaining(
                        "no weights found; looked for model.safetensors, model.safetensors.index.json, pytorch_model.bin");
        assertThatThrownBy(() -> Checkpoint.open(folder.resolve("none"), false)).hasMessageContaining("found neither");
    }
}
