package dev.headstart.io;

import static dev.headstart.io.BundleBytes.proto;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.io.BundleBytes.Proto;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class OnnxReaderTest {
    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void readsWhatPyTorchExported(boolean map) {
        try (var source = Checkpoint.open(Tensors.FIXTURES.resolve("tiny-bert.onnx"), map)) {
            Tensors.assertSame(source, Tensors.FIXTURES.resolve("tiny-bert.safetensors"));
        }
    }

    private static Proto tensor(String name, int type, long... dims) {
        Proto tensor = proto().number(2, type).text(8, name);
        for (long dim : dims) {
            tensor.number(1, dim);
        }
        return tensor;
    }

    private Path model(Proto... initializers) throws IOException {
        Proto graph = proto().text(2, "main");
        for (Proto initializer : initializers) {
            graph.message(5, initializer);
        }
        return Files.write(
                folder.resolve("x.onnx"), proto().number(1, 8).message(7, graph).bytes());
    }

    private static byte[] floats(float... values) {
        var bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        for (float value : values) {
            bytes.putFloat(value);
        }
        return bytes.array();
    }

    @Test
    void readsTypedNumbers() throws IOException {
        Path file = model(
                tensor("packed", 1, 2).data(4, floats(1, 2)),
                tensor("single", 1, 2).fixed32(4, Float.floatToIntBits(3)).fixed32(4, Float.floatToIntBits(4)),
                tensor("half", 10, 2).data(5, new byte[] {(byte) 0x80, 0x78, (byte) 0x80, (byte) 0x80, 0x01}),
                tensor("int64", 7, 2).data(7, new byte[] {5, 6}),
                tensor("int64single", 7, 1).number(7, -1),
                tensor("int8", 3, 2).data(5, new byte[] {1, 2}),
                tensor("double", 11, 1)
                        .data(
                                10,
                                ByteBuffer.allocate(8)
                                        .order(ByteOrder.LITTLE_ENDIAN)
                                        .putDouble(0.5)
                                        .array()),
                tensor("empty", 1, 0));
        try (var source = OnnxReader.open(file, false);
                var packed = source.tensor("packed");
                var single = source.tensor("single");
                var half = source.tensor("half");
                var long1 = source.tensor("int64");
                var long2 = source.tensor("int64single");
                var int8 = source.tensor("int8");
                var doubles = source.tensor("double");
                var empty = source.tensor("empty")) {
            assertThat(Tensors.floats(packed)).containsExactly(1, 2);
            assertThat(Tensors.floats(single)).containsExactly(3, 4);
            assertThat(Tensors.floats(half.to(torch.ScalarType.Float))).containsExactly(1, 2);
            assertThat(Tensors.floats(long1.to(torch.ScalarType.Float))).containsExactly(5, 6);
            assertThat(Tensors.floats(long2.to(torch.ScalarType.Float))).containsExactly(-1);
            assertThat(Tensors.floats(int8.to(torch.ScalarType.Float))).containsExactly(1, 2);
            assertThat(Tensors.floats(doubles.to(torch.ScalarType.Float))).containsExactly(0.5f);
            assertThat(empty.numel()).isZero();
        }
    }

    @Test
    void wrongCountsOfNumbersAreErrors() throws IOException {
        Path few = model(tensor("x", 1, 3).data(4, floats(1, 2)));
        try (var source = OnnxReader.open(few, false)) {
            assertThatThrownBy(() -> source.tensor("x")).hasMessageContaining("lacks 1 of its 3 numbers");
        }
        Path many = model(tensor("x", 1, 1).data(4, floats(1, 2)));
        try (var source = OnnxReader.open(many, false)) {
            assertThatThrownBy(() -> source.tensor("x")).hasMessageContaining("more numbers than its shape");
        }
        Path raw = model(tensor("x", 1, 3).data(9, floats(1, 2)));
        assertThatThrownBy(() -> OnnxReader.open(raw, false)).hasMessageContaining("needs 12 bytes, found 8");
        Path huge = model(tensor("x", 1, 1L << 40).data(4, floats(1)));
        assertThatThrownBy(() -> OnnxReader.open(huge, false)).hasMessageContaining("too few numbers");
        Path overflow = model(tensor("x", 1, 1L << 40, 1L << 40).data(9, floats(1)));
        assertThatThrownBy(() -> OnnxReader.open(overflow, false)).hasMessageContaining("impossible shape");
        Path negative = model(tensor("x", 1, -1).data(9, floats(1)));
        assertThatThrownBy(() -> OnnxReader.open(negative, false)).hasMessageContaining("impossible shape");
    }

    private static Proto external(String location, String offset) {
        return tensor("x", 1, 2)
                .number(14, 1)
                .message(13, proto().text(1, "location").text(2, location))
                .message(13, proto().text(1, "offset").text(2, offset))
                .message(13, proto().text(1, "length").text(2, "8"));
    }

    @Test
    void externalDataStaysInTheFolder() throws IOException {
        Files.write(folder.resolve("weights.bin"), floats(0, 1, 2));
        try (var source = OnnxReader.open(model(external("weights.bin", "4")), true);
                var tensor = source.tensor("x")) {
            assertThat(Tensors.floats(tensor)).containsExactly(1, 2);
        }
        try (var source = OnnxReader.open(model(external("weights.bin", "8")), true)) {
            assertThatThrownBy(() -> source.tensor("x")).hasMessageContaining("truncated");
        }
        try (var source = OnnxReader.open(model(external("other.bin", "0")), true)) {
            assertThatThrownBy(() -> source.tensor("x")).hasMessageContaining("found no such file");
        }
        for (String location : new String[] {"../weights.bin", "/etc/passwd", "a\\b", "", ".."}) {
            Path file = model(external(location, "0"));
            assertThatThrownBy(() -> OnnxReader.open(file, true))
                    .hasMessageContaining("expected the plain name of a file");
        }
    }

    @Test
    void linearWeightsAreNamedByBiasElseByScope() throws IOException {
        Proto graph = proto().message(5, tensor("onnx::MatMul_1", 1, 2, 1).data(9, floats(1, 2)))
                .message(5, tensor("17", 1, 1, 2).data(9, floats(3, 4)))
                .message(5, tensor("a.b.bias", 1, 1).data(9, floats(5)))
                .message(5, tensor("own.weight", 1, 1, 2).data(9, floats(6, 7)))
                .message(
                        1,
                        proto().text(1, "in")
                                .text(1, "onnx::MatMul_1")
                                .text(2, "m")
                                .text(3, "MatMul_7")
                                .text(4, "MatMul"))
                .message(
                        1, proto().text(1, "a.b.bias").text(1, "m").text(2, "s").text(4, "Add"))
                .message(
                        1,
                        proto().text(1, "in")
                                .text(1, "17")
                                .text(2, "n")
                                .text(3, "/c/layer.0/d/MatMul")
                                .text(4, "MatMul"))
                .message(
                        1,
                        proto().text(1, "in")
                                .text(1, "own.weight")
                                .text(2, "o")
                                .text(3, "/own/MatMul")
                                .text(4, "MatMul"));
        Path file =
                Files.write(folder.resolve("y.onnx"), proto().message(7, graph).bytes());
        try (var source = OnnxReader.open(file, false)) {
            assertThat(source.names()).containsExactly("a.b.weight", "c.layer.0.d.weight", "a.b.bias", "own.weight");
            assertThat(source.info("a.b.weight").shape()).containsExactly(1L, 2L);
            assertThat(source.info("own.weight").shape()).containsExactly(1L, 2L);
        }
    }

    @Test
    void whatIsNoOnnxIsSaid() throws IOException {
        Path text = Files.writeString(folder.resolve("t.onnx"), "<!DOCTYPE html><html>");
        assertThatThrownBy(() -> OnnxReader.open(text, false))
                .isInstanceOf(WeightFormatException.class)
                .hasMessageContaining("t.onnx");
        Path empty = Files.write(folder.resolve("e.onnx"), new byte[0]);
        assertThatThrownBy(() -> OnnxReader.open(empty, true)).hasMessageContaining("found no graph");
        Path twice = model(tensor("x", 1, 0), tensor("x", 1, 0));
        assertThatThrownBy(() -> OnnxReader.open(twice, true)).hasMessageContaining("\"x\" twice");
    }
}
