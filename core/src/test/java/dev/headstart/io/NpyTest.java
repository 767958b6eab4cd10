package dev.headstart.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class NpyTest {
    @TempDir
    Path folder;

    private Path raw(String header, int data) throws IOException {
        byte[] text = header.getBytes(StandardCharsets.US_ASCII);
        byte[] file = Arrays.copyOf(
                new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (byte) text.length, 0},
                10 + text.length + data);
        System.arraycopy(text, 0, file, 10, text.length);
        for (int i = 0; i < data; i++) {
            file[10 + text.length + i] = (byte) i;
        }
        return Files.write(folder.resolve("x.npy"), file);
    }

    @Test
    void writesTheBytesOfNumpyAndReadsThem() throws IOException {
        Path file = folder.resolve("x.npy");
        try (var array = Tensor.create(new float[] {1, 2, 3, 4, 5, 6}, 2, 3)) {
            Npy.write(file, array);
        }
        // numpy.save of float32 [2, 3]
        assertThat(new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1))
                .startsWith(
                        "\u0093NUMPY\u0001\u0000v\u0000{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   ")
                .hasSize(128 + 24);
        try (var read = Npy.read(file)) {
            assertThat(read.shape()).containsExactly(2, 3);
            assertThat(Tensors.floats(read)).containsExactly(1, 2, 3, 4, 5, 6);
        }
    }

    @Test
    void fortranOrderIsTurned() throws IOException {
        Path file = raw("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }\n", 6);
        try (var read = Npy.read(file);
                var floats = read.to(org.bytedeco.pytorch.global.torch.ScalarType.Float)) {
            assertThat(read.shape()).containsExactly(2, 3);
            assertThat(Tensors.floats(floats)).containsExactly(0, 2, 4, 1, 3, 5);
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "{'descr': '|O', 'fortran_order': False, 'shape': (1,), } ; holds numpy type",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } ; needs 8 bytes",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999999999,99), } ; impossible shape",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999,), } ; expected a shape",
                "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), } ; expected descr",
                "nothing ; expected descr"
            })
    void whatIsNotReadIsSaid(String header, String message) throws IOException {
        Path file = raw(header, 4);
        assertThatThrownBy(() -> Npy.read(file))
                .isInstanceOf(WeightFormatException.class)
                .hasMessageContaining(message);
    }

    @Test
    void readsTheArchivesOfTheSharedData() {
        var arrays = Npy.readArchive(Shared.require("data/pneumoniamnist/pneumoniamnist.npz"));
        assertThat(arrays.keySet())
                .containsExactly(
                        "train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels");
        assertThat(arrays)
                .hasEntrySatisfying(
                        "test_images", images -> assertThat(images.shape()).containsExactly(624, 28, 28));
        arrays.values().forEach(Tensor::close);
        try (var faces = Npy.read(Shared.require("data/skimage-images/lfw_subset.npy"))) {
            assertThat(faces.shape()).containsExactly(200, 25, 25);
            assertThat(ElementType.of(faces)).isEqualTo(ElementType.F64);
        }
    }
}
