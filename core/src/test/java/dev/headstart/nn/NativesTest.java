package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.Float32Backend;
import org.bytedeco.pytorch.global.torch.Float32Op;
import org.bytedeco.pytorch.global.torch.Float32Precision;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NativesTest {
    @Test
    void missingLibrariesAreNamedByTheArtifactToAdd() throws Exception {
        try (URLClassLoader empty = new URLClassLoader(new URL[0], ClassLoader.getPlatformClassLoader())) {
            assertThatThrownBy(() -> Natives.requirePresent(empty))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("dev.headstart:headstart-native-" + Natives.platform())
                    .hasMessageNotContaining("\n");
        }
    }

    @Test
    void factsComeFromTheLoadedLibrary() {
        Natives.Facts facts = Natives.facts();
        assertThat(facts.platform()).startsWith(Natives.platform());
        assertThat(facts.torch()).matches("\\d+\\.\\d+\\.\\d+.*");
        assertThat(facts.threads()).isPositive();
        assertThat(facts.capability()).isNotEmpty();
    }

    @Test
    void fp32IsWholeOnAGpu() {
        Natives.load();
        Natives.exactOnGpu();
        for (Float32Op op : new Float32Op[] {Float32Op.CONV, Float32Op.MATMUL, Float32Op.RNN}) {
            assertThat(torch.globalContext()
                            .float32Precision(Float32Backend.CUDA, op)
                            .intern())
                    .isEqualTo(Float32Precision.IEEE);
        }
        assertThat(torch.globalContext().allowTF32CuBLAS()).isFalse();
    }

    @Test
    void processorReadsTheFirstBlockAlone(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("cpuinfo");
        Files.writeString(
                file,
                "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 amx_bf16 avx512_vnni\n\nprocessor\t: 1\nflags\t: avx512f\n");
        Processor processor = Processor.read(file, 3);
        assertThat(processor.model()).isEqualTo("Some CPU");
        assertThat(processor.cores()).isEqualTo(3);
        assertThat(processor.features()).containsExactlyInAnyOrder("avx2", "amx_bf16", "avx512_vnni");
        assertThat(processor.fastBf16()).isTrue();
        assertThat(processor.fastInt8()).isTrue();
        assertThat(processor.precision()).isEqualTo(Precision.BF16);
        assertThat(new Processor("old", 1, java.util.Set.of("avx2")).precision())
                .isEqualTo(Precision.FP32);
        assertThat(Processor.read(folder.resolve("none"), 1).features()).isEmpty();
    }
}
