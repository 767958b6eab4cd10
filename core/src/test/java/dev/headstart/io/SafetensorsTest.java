package dev.headstart.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class SafetensorsTest {
    @TempDir
    Path folder;

    @Test
    void writesTheBytesOfTheReferenceImplementation() throws IOException {
        // safetensors.torch.save({"b": arange(4, float32), "a": tensor([7], int64), "c": tensor([[1, 2]], uint8)},
        // {"format": "pt"})
        String header =
                "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
                        + "\"b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[8,24]},"
                        + "\"c\":{\"dtype\":\"U8\",\"shape\":[1,2],\"data_offsets\":[24,26]}}";
        Path file = folder.resolve("model.safetensors");
        try (var scope = new PointerScope()) {
            var tensors = new LinkedHashMap<String, Tensor>();
            tensors.put("b", Tensor.create(0f, 1f, 2f, 3f));
            tensors.put("c", Tensor.create(new byte[] {1, 2}, 1, 2));
            tensors.put("a", Tensor.create(7L));
            Safetensors.write(file, tensors);
        }
        int padded = (header.length() + 7) / 8 * 8;
        ByteBuffer expected = ByteBuffer.allocate(8 + padded + 26).order(ByteOrder.LITTLE_ENDIAN);
        expected.putLong(padded)
                .put((header + " ".repeat(padded - header.length())).getBytes(StandardCharsets.US_ASCII));
        expected.putLong(7)
                .putFloat(0)
                .putFloat(1)
                .putFloat(2)
                .putFloat(3)
                .put((byte) 1)
                .put((byte) 2);
        assertThat(Files.readAllBytes(file)).isEqualTo(expected.array());
        try (Stream<Path> left = Files.list(folder)) {
            assertThat(left).as("no staging file is left").containsExactly(file);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void readsWhatItWrote(boolean map) {
        Path file = folder.resolve("model.safetensors");
        try (var scope = new PointerScope()) {
            var tensors = new LinkedHashMap<String, Tensor>();
            tensors.put("scalar", torch.scalar_tensor(new Scalar(2.5f)));
            tensors.put("empty", torch.zeros(0, 5));
            tensors.put(
                    "transposed",
                    Tensor.create(new float[] {1, 2, 3, 4, 5, 6}, 2, 3).t());
            tensors.put("byte", Tensor.create(new byte[] {1, 2, 3}, 3));
            tensors.put("flag", Tensor.create(true, false, true));
            tensors.put("half", Tensor.create(0.5f, -2f).to(torch.ScalarType.Half));
            tensors.put("bfloat", Tensor.create(0.5f, -2f).to(torch.ScalarType.BFloat16));
            tensors.put("trained", Tensor.create(1f, 2f).requires_grad_(true));
            Safetensors.write(file, tensors, Map.of("made by", "a \"test\"\n"));
            try (var source = Safetensors.open(file, map)) {
                assertThat(source.names())
                        .containsExactly("empty", "scalar", "trained", "transposed", "bfloat", "half", "byte", "flag");
                assertThat(source.info("transposed")).isEqualTo(new TensorInfo("F32", List.of(3L, 2L)));
                assertThat(source.info("scalar").shape()).isEmpty();
                assertThat(source.fileOf("half")).isEqualTo("model.safetensors");
                tensors.forEach((name, tensor) -> {
                    try (var read = source.tensor(name)) {
                        assertThat(read.shape()).as(name).isEqualTo(tensor.shape());
                        assertThat(torch.equal(read, tensor)).as(name).isTrue();
                        assertThat(ElementType.of(read)).isEqualTo(ElementType.of(tensor));
                        assertThat(read.is_contiguous()).isTrue();
                        assertThat(read.requires_grad()).isFalse();
                    }
                });
            }
            assertThat(Safetensors.metadata(file)).isEqualTo(Map.of("made by", "a \"test\"\n"));
        }
    }

    @ParameterizedTest
    @EnumSource(ElementType.class)
    void everyElementTypeKeepsItsBits(ElementType type) throws IOException {
        Path file = folder.resolve("x.safetensors");
        byte[] data = {1, 0, 1, 0, 0, 1, 1, 0};
        raw(
                file,
                "{\"x\":{\"dtype\":\"" + type + "\",\"shape\":[" + 8 / type.bytes() + "],\"data_offsets\":[0,8]}}",
                data);
        Map<String, Tensor> tensors = Safetensors.readMap(file);
        assertThat(tensors)
                .hasSize(1)
                .allSatisfy((name, tensor) -> assertThat(ElementType.of(tensor)).isEqualTo(type));
        Path copy = folder.resolve("copy.safetensors");
        Safetensors.write(copy, tensors, Map.of());
        byte[] written = Files.readAllBytes(copy);
        assertThat(java.util.Arrays.copyOfRange(written, written.length - 8, written.length))
                .isEqualTo(data);
        tensors.values().forEach(Tensor::close);
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void tensorsOutliveScopeAndSource(boolean map) {
        Path file = write("x", 1f, 2f, 3f);
        Tensor tensor;
        try (var scope = new PointerScope();
                var inference = new InferenceMode(true);
                var source = Safetensors.open(file, map)) {
            tensor = source.tensor("x");
        }
        try (tensor) {
            assertThat(tensor.is_inference()).as("may be trained later").isFalse();
            tensor.requires_grad_(true);
            assertThat(floats(tensor)).containsExactly(1f, 2f, 3f);
        }
        assertThat(tensor.isNull()).as("closing frees it").isTrue();
    }

    @Test
    void writingToAMappedTensorLeavesTheFileAlone() throws IOException {
        Path file = write("x", 1f, 2f, 3f);
        byte[] before = Files.readAllBytes(file);
        try (var source = Safetensors.open(file, true);
                var tensor = source.tensor("x")) {
            tensor.add_(new Scalar(1));
            assertThat(floats(tensor)).containsExactly(2f, 3f, 4f);
        }
        assertThat(Files.readAllBytes(file)).isEqualTo(before);
    }

    @Test
    void aFileCanBeReplacedWhileItIsMapped() {
        Path file = write("x", 1f, 2f, 3f);
        try (var source = Safetensors.open(file, true);
                var tensor = source.tensor("x")) {
            write("x", 7f);
            assertThat(floats(tensor)).containsExactly(1f, 2f, 3f);
        }
        try (var source = Safetensors.open(file, true);
                var tensor = source.tensor("x")) {
            assertThat(floats(tensor)).containsExactly(7f);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void unalignedTensorsAreCopied(boolean map) throws IOException {
        Path file = folder.resolve("x.safetensors");
        raw(
                file,
                "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}",
                new byte[] {9, 0, 0, (byte) 0x80, 0x3f});
        try (var source = Safetensors.open(file, map);
                var tensor = source.tensor("x")) {
            assertThat(floats(tensor)).containsExactly(1f);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void readsBeyondTwoGibibytes(boolean map) throws IOException {
        long first = (1L << 31) + 8;
        Path file = folder.resolve("large.safetensors");
        String header = "{\"a\":{\"dtype\":\"U8\",\"shape\":[" + first + "],\"data_offsets\":[0," + first
                + "]},\"z\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" + first + "," + (first + 8) + "]}}";
        raw(file, header, new byte[0]);
        long size = Files.size(file);
        try (var channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            // A sparse file: the two floats at the end are all that takes room.
            ByteBuffer end = ByteBuffer.allocate(8)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putFloat(3f)
                    .putFloat(4f);
            channel.write(end.flip(), size + first);
        }
        try (var source = Safetensors.open(file, map);
                var tensor = source.tensor("z")) {
            assertThat(floats(tensor)).containsExactly(3f, 4f);
        }
        if (map) {
            try (var source = Safetensors.open(file, true);
                    var tensor = source.tensor("a")) {
                assertThat(tensor.numel()).isEqualTo(first);
            }
        }
    }

    static Stream<Arguments> accepted() {
        return Stream.of(
                Arguments.of("trailing spaces", "{}   ", 0, List.of()),
                Arguments.of("leading and trailing whitespace", " \n{ } \n", 0, List.of()),
                Arguments.of("no tensors", "{}", 0, List.of()),
                Arguments.of("metadata alone", "{\"__metadata__\":{\"a\":\"b\"}}", 0, List.of()),
                Arguments.of(
                        "zero-sized",
                        "{\"t\":{\"dtype\":\"F32\",\"shape\":[2,0],\"data_offsets\":[0,0]}}",
                        0,
                        List.of("t")),
                Arguments.of(
                        "0-rank", "{\"t\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, List.of("t")),
                Arguments.of(
                        "unknown keys of an entry",
                        "{\"t\":{\"dtype\":\"U8\",\"new\":[{}],\"shape\":[1],\"data_offsets\":[0,1]}}",
                        1,
                        List.of("t")));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource
    void accepted(String what, String header, int data, List<String> names) throws IOException {
        Path file = folder.resolve("x.safetensors");
        raw(file, header, new byte[data]);
        try (var source = Safetensors.open(file, true)) {
            assertThat(source.names()).containsExactlyElementsOf(names);
            for (String name : names) {
                source.tensor(name).close();
            }
        }
    }

    static Stream<Arguments> refused() {
        String max = "9223372036854775807";
        return Stream.of(
                Arguments.of("not JSON", "not JSON at all", 0, "not valid JSON"),
                Arguments.of("another JSON value", "[1]", 0, "not a JSON object"),
                Arguments.of("cut off", "{\"t\":", 0, "not valid JSON"),
                Arguments.of("text after it", "{}x", 0, "not valid JSON"),
                Arguments.of("a second object", "{}{}", 0, "follows the JSON object"),
                Arguments.of("deep nesting", "{\"t\":{\"x\":" + "[".repeat(100_000), 0, "not valid JSON"),
                Arguments.of("entry is a number", "{\"t\":1}", 0, "is not a JSON object"),
                Arguments.of("metadata is a number", "{\"__metadata__\":{\"a\":1}}", 0, "no string"),
                Arguments.of("no shape", "{\"t\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "needs dtype, shape"),
                Arguments.of("dtype", entry("F33", "1", "0,4"), 4, "has dtype \"F33\", expected one of BOOL"),
                Arguments.of("negative size", entry("F32", "-1", "0,4"), 4, "whole numbers"),
                Arguments.of("fraction", entry("F32", "1.0", "0,4"), 4, "whole numbers"),
                Arguments.of("three offsets", entry("F32", "1", "0,4,4"), 4, "two data_offsets"),
                Arguments.of("number over 64 bits", entry("F32", "1" + max, "0,4"), 4, "whole numbers"),
                Arguments.of("rank", entry("F32", "1" + ",1".repeat(100), "0,4"), 4, "at most 64"),
                Arguments.of("overflow of the shape", entry("F32", max + "," + max, "0,4"), 4, "impossible shape"),
                Arguments.of("overflow of the bytes", entry("F32", max, "0,4"), 4, "impossible shape"),
                Arguments.of("overflow hidden by a zero", entry("F32", "0," + max, "0,0"), 0, "impossible shape"),
                Arguments.of("size", entry("F32", "2", "0,4"), 4, "needs 8 bytes"),
                Arguments.of("end before begin", entry("U8", "0", "4,0"), 4, "data_offsets are [4, 0]"),
                Arguments.of("hole at the start", entry("U8", "1", "1,2"), 2, "there is a hole"),
                Arguments.of(
                        "hole in the middle",
                        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
                        3,
                        "there is a hole"),
                Arguments.of("half a byte", entry("F4", "3", "0,2"), 2, "has dtype \"F4\", expected one of BOOL"),
                Arguments.of("data without tensor", entry("U8", "1", "0,1"), 2, "belong to no tensor"),
                Arguments.of("incomplete buffer", entry("F32", "2", "0,8"), 7, "truncated"),
                Arguments.of("overlap", "{" + overlapping(5) + "}", 4, "overlaps the tensor before it"),
                Arguments.of(
                        "duplicate name",
                        "{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                        2,
                        "Duplicate field"));
    }

    private static String entry(String dtype, String shape, String offsets) {
        return "{\"t\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" + offsets + "]}}";
    }

    /** The "JSON attack": many tensors that claim the same bytes. */
    private static String overlapping(int count) {
        var text = new StringBuilder();
        for (int i = 0; i < count; i++) {
            text.append(i == 0 ? "" : ",")
                    .append("\"t" + i + "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}");
        }
        return text.toString();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource
    void refused(String what, String header, int data, String message) throws IOException {
        Path file = folder.resolve("x.safetensors");
        raw(file, header, new byte[data]);
        assertThatThrownBy(() -> Safetensors.open(file, true))
                .isInstanceOf(WeightFormatException.class)
                .hasMessageContaining("x.safetensors: ")
                .hasMessageContaining(message)
                .message()
                .doesNotContain("\n")
                .hasSizeLessThan(1_300);
    }

    @Test
    void refusesFilesThatAreNoSafetensors() throws IOException {
        Path file = folder.resolve("x.safetensors");
        assertThatThrownBy(() -> Safetensors.open(file, false)).hasMessageContaining("no such file");
        Files.write(file, new byte[7]);
        assertThatThrownBy(() -> Safetensors.open(file, false)).hasMessageContaining("found 7 bytes");
        Files.write(file, new byte[] {-1, -1, -1, -1, -1, -1, -1, -1, '{', '}'});
        assertThatThrownBy(() -> Safetensors.open(file, false)).hasMessageContaining("18446744073709551615");
        Files.write(file, new byte[] {0, -31, -11, 5, 1, 0, 0, 0, '{', '}'});
        assertThatThrownBy(() -> Safetensors.open(file, false)).hasMessageContaining("at most 100000000 bytes");
        Files.write(file, new byte[] {60, 0, 0, 0, 0, 0, 0, 0, '{', '}'});
        assertThatThrownBy(() -> Safetensors.open(file, false)).hasMessageContaining("truncated");
        Files.write(file, new byte[] {2, 0, 0, 0, 0, 0, 0, 0, '{', (byte) 0xff});
        assertThatThrownBy(() -> Safetensors.open(file, false)).hasMessageContaining("not UTF-8");
        Files.write(file, new byte[] {0, 0, 0, 0, 0, 0, 0, 0});
        assertThatThrownBy(() -> Safetensors.open(file, false)).isInstanceOf(WeightFormatException.class);
        assertThatThrownBy(() -> Safetensors.open(folder, false)).isInstanceOf(WeightFormatException.class);
    }

    @Test
    void namesTheMissingTensor() {
        Path file = write("encoder.layer.0.weight", 1f);
        try (var source = Safetensors.open(file, false)) {
            assertThatThrownBy(() -> source.tensor("bert.encoder.layer.0.weight"))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("expected a tensor named \"bert.encoder.layer.0.weight\"")
                    .hasMessageContaining("encoder.layer.0.weight");
        }
    }

    @Test
    void aFailedWriteLeavesTheOldFile() throws IOException {
        Path file = write("x", 1f);
        byte[] before = Files.readAllBytes(file);
        try (var quantized = torch.zeros(2).to(torch.ScalarType.ComplexDouble)) {
            assertThatThrownBy(() -> Safetensors.write(file, Map.of("q", quantized)))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("tensor \"q\"");
        }
        assertThatThrownBy(() -> StagedFile.write(file, channel -> {
                    channel.write(ByteBuffer.wrap(new byte[5]));
                    throw new IOException("No space left on device");
                }))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("No space left on device");
        assertThat(Files.readAllBytes(file)).isEqualTo(before);
        try (Stream<Path> left = Files.list(folder)) {
            assertThat(left).containsExactly(file);
        }
    }

    @Test
    void shardsAreFilledInOrderAndStaleOnesRemoved() throws IOException {
        try (var scope = new PointerScope()) {
            var tensors = new LinkedHashMap<String, Tensor>();
            for (int i = 0; i < 5; i++) {
                tensors.put("t" + i, torch.full(new long[] {10}, new Scalar(i)).to(torch.ScalarType.Float));
            }
            Safetensors.writeSharded(folder, tensors, Map.of("format", "pt"), 80);
            assertThat(listing())
                    .containsExactly(
                            "model-00001-of-00003.safetensors",
                            "model-00002-of-00003.safetensors",
                            "model-00003-of-00003.safetensors",
                            "model.safetensors.index.json");
            assertThat(Files.readString(folder.resolve("model.safetensors.index.json")))
                    .contains("\"total_size\" : 200", "\"t3\" : \"model-00002-of-00003.safetensors\"");
            Safetensors.writeSharded(folder, tensors, Map.of("format", "pt"), 200);
            assertThat(listing()).containsExactly("model.safetensors");
        }
    }

    private List<String> listing() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    private Path write(String name, float... values) {
        Path file = folder.resolve("x.safetensors");
        try (var tensor = Tensor.create(values)) {
            Safetensors.write(file, Map.of(name, tensor));
        }
        return file;
    }

    private static float[] floats(Tensor tensor) {
        try (var scope = new PointerScope()) {
            float[] values = new float[(int) tensor.numel()];
            tensor.data_ptr_float().get(values);
            return values;
        }
    }

    private static void raw(Path file, String header, byte[] data) throws IOException {
        var bytes = new ByteArrayOutputStream();
        byte[] json = header.getBytes(StandardCharsets.UTF_8);
        bytes.writeBytes(ByteBuffer.allocate(8)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(json.length)
                .array());
        bytes.writeBytes(json);
        bytes.writeBytes(data);
        Files.write(file, bytes.toByteArray());
    }
}
