package dev.headstart.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.AutoModelForCausalLM;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Against transformers on our small GPT-2 (conformance/decoders.py prints the figures). */
class PerplexityTest {
    private static final long[] IDS = new long[100];

    static {
        for (int i = 0; i < IDS.length; i++) {
            IDS[i] = 3 + (i * i + 5L * i) % 58;
        }
    }

    @Test
    void equalsTheReferenceWithASlidingWindow() {
        Path model = Shared.repositoryRoot().resolve("core/src/test/resources/decoders/gpt2-scaled-by-layer/model");
        try (var loaded = AutoModelForCausalLM.fromPretrained(
                model.toString(), LoadOptions.defaults().withDevice("cpu"))) {
            check(Perplexity.of(IDS, loaded, 32, 8), 86.5092167648198);
            check(Perplexity.of(IDS, loaded, 0, 0), 94.06809348699858);
            check(Perplexity.of(IDS, loaded, 20, 20), 94.12317543586335);
            assertThatThrownBy(() -> Perplexity.of(IDS, loaded, 64, 8))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("32 tokens");
            assertThatThrownBy(() -> Perplexity.of(new long[] {4}, loaded, 0, 0))
                    .hasMessageContaining("at least two tokens");
        }
    }

    private static void check(Perplexity got, double want) {
        assertThat(got.perplexity()).isCloseTo(want, offset(1e-4 * want));
    }

    @Test
    void linesEndAsPreTrainingReadsThem(@TempDir Path folder) throws IOException {
        Path file = Files.writeString(folder.resolve("text.txt"), "one\r\ntwo\rthree\nfour");
        assertThat(Perplexity.read(file)).isEqualTo("one\ntwo\nthree\nfour");
    }
}
