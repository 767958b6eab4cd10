package dev.headstart.pipeline;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.headstart.nn.Natives;
import java.io.IOException;
import java.nio.file.Path;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** {@link PipelineGoldenTest}'s cases on a GPU; skipped where there is none. */
class GpuPipelinesTest {
    @BeforeEach
    void needsAGpu() {
        Natives.load();
        assumeTrue(torch.cuda_is_available(), "no usable GPU here: skipped");
    }

    @ParameterizedTest
    @MethodSource("dev.headstart.pipeline.PipelineGoldenTest#cases")
    void givesWhatTheReferenceGives(Path folder) throws IOException {
        PipelineGoldenTest.run(folder, "cuda", 5);
    }
}
