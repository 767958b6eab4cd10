package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.LoadOptions;
import dev.headstart.generation.Generation;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.generation.TokenStream;
import dev.headstart.testing.Shared;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;

/** What a generation makes ends with it, whichever way it ends; calls do not disturb each other. */
class GenerationMemoryTest {
    private static PreTrainedModel<?> load() {
        Path model = Shared.repositoryRoot().resolve("core/src/test/resources/decoders/qwen3-bias-sampling/model");
        return AutoModelForCausalLM.fromPretrained(
                model.toString(), LoadOptions.defaults().withDevice("cpu"));
    }

    @Test
    void nothingStaysBehind() {
        try (PreTrainedModel<?> model = load()) {
            everyKind((GenerativeModel) model);
            long before = Pointer.totalCount();
            for (int i = 0; i < 15; i++) {
                everyKind((GenerativeModel) model);
            }
            assertThat(Pointer.totalCount() - before)
                    .as("native objects left by 60 generations")
                    .isLessThan(30);
        }
    }

    private static void everyKind(GenerativeModel model) {
        long[][] prompts = {{5, 6, 7}, {9, 10, 11, 12, 13}};
        Generation.of(model)
                .prompt(prompts)
                .with("max_new_tokens", 6)
                .with("no_repeat_ngram_size", 2)
                .generate();
        Generation.of(model)
                .prompt(prompts)
                .with("max_new_tokens", 6)
                .with("num_beams", 3)
                .generate();
        Generation.of(model)
                .prompt(prompts)
                .with("max_new_tokens", 6)
                .with("do_sample", true)
                .with("top_p", 0.9)
                .generate();
        try (TokenStream cancelled = Generation.of(model).prompt(prompts).with("max_new_tokens", 20).stream()) {
            cancelled.next();
        }
    }

    @Test
    void callsInParallelGiveWhatTheyGiveAlone() throws Exception {
        try (PreTrainedModel<?> model = load()) {
            long[][] alone = IntStream.range(0, 12)
                    .mapToObj(i -> sampled((GenerativeModel) model, i))
                    .toArray(long[][]::new);
            var pool = Executors.newFixedThreadPool(4);
            try {
                List<Future<long[]>> together = IntStream.range(0, 12)
                        .mapToObj(i -> pool.submit(() -> sampled((GenerativeModel) model, i)))
                        .toList();
                for (int i = 0; i < alone.length; i++) {
                    assertThat(together.get(i).get()).containsExactly(alone[i]);
                }
            } finally {
                pool.shutdown();
            }
        }
    }

    private static long[] sampled(GenerativeModel model, int seed) {
        return Generation.of(model)
                .prompt(new long[] {3 + seed, 8, 21})
                .with("max_new_tokens", 12)
                .with("do_sample", true)
                .with("seed", seed)
                .generate()
                .sequences()[0];
    }
}
