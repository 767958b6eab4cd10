package dev.headstart.io;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** What tests of weight formats share. */
final class Tensors {
    static final Path FIXTURES = Path.of("src", "test", "resources", "weight-formats");

    private Tensors() {}

    static float[] floats(Tensor tensor) {
        try (var scope = new PointerScope()) {
            Tensor flat = tensor.contiguous();
            float[] values = new float[(int) flat.numel()];
            flat.data_ptr_float().get(values);
            return values;
        }
    }

    /** Everything that a source says and gives must be what {@code expected} has. */
    static void assertSame(TensorSource source, Path expected) {
        try (var wanted = Safetensors.open(expected, false)) {
            assertThat(source.names()).containsExactlyInAnyOrderElementsOf(wanted.names());
            for (String name : wanted.names()) {
                assertSame(name, source, wanted);
            }
        }
    }

    static void assertSame(String name, TensorSource source, TensorSource wanted) {
        assertThat(source.info(name)).as(name).isEqualTo(wanted.info(name));
        try (var found = source.tensor(name);
                var tensor = wanted.tensor(name)) {
            assertThat(found.shape()).as(name).isEqualTo(tensor.shape());
            assertThat(ElementType.of(found)).as(name).isEqualTo(ElementType.of(tensor));
            assertThat(found.is_contiguous()).as(name).isTrue();
            assertThat(torch.equal(found, tensor)).as(name).isTrue();
        }
    }
}
