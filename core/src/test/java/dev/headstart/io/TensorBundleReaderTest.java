package dev.headstart.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TensorBundleReaderTest {
    @TempDir
    Path folder;

    private static BundleBytes bert() {
        var bundle = new BundleBytes()
                .floats("bert/embeddings/word_embeddings", new long[] {3, 2}, 1, 2, 3, 4, 5, 6)
                .floats("bert/embeddings/LayerNorm/gamma", new long[] {2}, 1, 1)
                .floats("bert/embeddings/LayerNorm/beta", new long[] {2}, 0, 0)
                .floats("cls/seq_relationship/output_weights", new long[] {2, 2}, 1, 2, 3, 4)
                .raw("global_step", 9, new long[] {}, new byte[] {7, 0, 0, 0, 0, 0, 0, 0});
        for (int layer = 0; layer < 12; layer++) {
            String kernel = "bert/encoder/layer_" + layer + "/attention/self/query/kernel";
            bundle.floats(kernel, new long[] {2, 3}, layer, 1, 2, 3, 4, 5);
            bundle.floats(kernel + "/adam_m", new long[] {2, 3}, 0, 0, 0, 0, 0, 0);
        }
        return bundle;
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void readsStoredNames(boolean map) throws IOException {
        Path index = bert().write(folder.resolve("model.ckpt-1"));
        try (var source = TensorBundleReader.open(index, map)) {
            assertThat(source.names()).hasSize(29).contains("global_step");
            assertThat(source.info("global_step")).isEqualTo(new TensorInfo("I64", List.of()));
            String kernel = "bert/encoder/layer_11/attention/self/query/kernel";
            assertThat(source.info(kernel)).isEqualTo(new TensorInfo("F32", List.of(2L, 3L)));
            try (var tensor = source.tensor(kernel)) {
                assertThat(Tensors.floats(tensor)).containsExactly(11, 1, 2, 3, 4, 5);
            }
        }
    }

    @Test
    void bertOpensUnderHuggingFaceNames() throws IOException {
        bert().write(folder.resolve("variables").resolve("variables"));
        try (var source = Checkpoint.open(folder, true)) {
            assertThat(source.names())
                    .hasSize(16)
                    .contains(
                            "bert.embeddings.word_embeddings.weight",
                            "bert.embeddings.LayerNorm.weight",
                            "bert.embeddings.LayerNorm.bias",
                            "cls.seq_relationship.weight");
            String query = "bert.encoder.layer.0.attention.self.query.weight";
            assertThat(source.info(query).shape()).containsExactly(3L, 2L);
            try (var tensor = source.tensor(query);
                    var words = source.tensor("bert.embeddings.word_embeddings.weight");
                    var head = source.tensor("cls.seq_relationship.weight")) {
                assertThat(tensor.shape()).containsExactly(3, 2);
                assertThat(tensor.is_contiguous()).isTrue();
                assertThat(Tensors.floats(tensor)).containsExactly(0, 3, 1, 4, 2, 5);
                assertThat(Tensors.floats(words)).containsExactly(1, 2, 3, 4, 5, 6);
                assertThat(Tensors.floats(head)).as("stored as PyTorch does").containsExactly(1, 2, 3, 4);
            }
            assertThat(source.fileOf(query)).isEqualTo("variables.index");
            assertThatThrownBy(() -> source.tensor("bert/embeddings/word_embeddings"))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("expected a tensor named");
        }
    }

    @ParameterizedTest
    @CsvSource({
        "module/bert/encoder/layer_0/attention/self/query/kernel,bert.encoder.layer.0.attention.self.query.weight",
        "bert/encoder/layer_11/output/dense/bias,bert.encoder.layer.11.output.dense.bias",
        "bert/embeddings/token_type_embeddings,bert.embeddings.token_type_embeddings.weight",
        "bert/pooler/dense/kernel,bert.pooler.dense.weight",
        "module/cls/predictions/output_bias,cls.predictions.bias",
        "cls/predictions/transform/LayerNorm/gamma,cls.predictions.transform.LayerNorm.weight",
        "cls/seq_relationship/output_bias,cls.seq_relationship.bias",
        "output_weights,classifier.weight",
        "resnet/conv/kernel,",
        "bert/encoder/layer_0/attention/self/query/moving_mean,",
    })
    void namesAreTranslated(String variable, String expected) {
        assertThat(BertNames.huggingFaceName(variable)).isEqualTo(expected);
    }

    @Test
    void strangersAmongBertsVariablesAreNamed() throws IOException {
        Path index = bert().floats("some/other/kernel", new long[] {1, 1}, 1).write(folder.resolve("x"));
        assertThatThrownBy(() -> Checkpoint.open(index, false))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("\"some/other/kernel\", which BERT does not have");
    }

    @Test
    void damagedDataIsFoundByItsChecksum() throws IOException {
        Path index = bert().write(folder.resolve("x"));
        Path data = folder.resolve("x.data-00000-of-00001");
        byte[] bytes = Files.readAllBytes(data);
        bytes[1] ^= 1;
        Files.write(data, bytes);
        try (var source = TensorBundleReader.open(index, false)) {
            assertThatThrownBy(() -> source.tensor("bert/embeddings/word_embeddings"))
                    .isInstanceOf(WeightFormatException.class)
                    .hasMessageContaining(
                            "x.data-00000-of-00001: the checksum of tensor \"bert/embeddings/word_embeddings\"");
            source.tensor("bert/embeddings/LayerNorm/beta").close();
        }
        Files.write(data, java.util.Arrays.copyOf(bytes, 20));
        assertThatThrownBy(() -> TensorBundleReader.open(index, true)).hasMessageContaining("truncated");
        Files.delete(data);
        assertThatThrownBy(() -> TensorBundleReader.open(index, true)).hasMessageContaining("found no such file");
    }

    @Test
    void compressionIsRefusedByName() throws IOException {
        Path index = bert().write(folder.resolve("x"));
        byte[] bytes = Files.readAllBytes(index);
        // The last block of the file is the index block; its type byte stands before the checksum and the footer.
        bytes[bytes.length - 48 - 5] = 1;
        Files.write(index, bytes);
        assertThatThrownBy(() -> TensorBundleReader.open(index, false))
                .hasMessageContaining("found one with snappy, which is not read");
        bytes[bytes.length - 48 - 5] = 0;
        bytes[bytes.length - 48 - 1] ^= 1;
        Files.write(index, bytes);
        assertThatThrownBy(() -> TensorBundleReader.open(index, false)).hasMessageContaining("expected block checksum");
        Files.write(index, new byte[100]);
        assertThatThrownBy(() -> TensorBundleReader.open(index, false)).hasMessageContaining("found another ending");
    }

    @Test
    void whatIsNotReadIsSaid() throws IOException {
        var shape = BundleBytes.proto().message(2, BundleBytes.proto().number(1, 1));
        Path strings = new BundleBytes()
                .record(
                        "_CHECKPOINTABLE_OBJECT_GRAPH",
                        BundleBytes.proto().number(1, 7).number(5, 3),
                        new byte[3])
                .floats("x", new long[] {1}, 1)
                .write(folder.resolve("strings"));
        try (var source = TensorBundleReader.open(strings, false)) {
            assertThat(source.names()).containsExactly("x");
        }
        Path quantized = new BundleBytes()
                .record("q", BundleBytes.proto().number(1, 11).message(2, shape).number(5, 1), new byte[1])
                .write(folder.resolve("quantized"));
        assertThatThrownBy(() -> TensorBundleReader.open(quantized, false))
                .hasMessageContaining("has TensorFlow type 11");
        Path sliced = new BundleBytes()
                .record("s", BundleBytes.proto().number(1, 1).message(2, shape).data(7, new byte[0]), new byte[0])
                .write(folder.resolve("sliced"));
        assertThatThrownBy(() -> TensorBundleReader.open(sliced, false)).hasMessageContaining("partitioned variable");
        assertThatThrownBy(() -> TensorBundleReader.open(folder.resolve("none"), false))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("looked for variables/variables.index");
    }
}
