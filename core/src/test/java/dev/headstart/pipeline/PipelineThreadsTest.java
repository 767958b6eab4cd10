package dev.headstart.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.headstart.LoadOptions;
import dev.headstart.testing.Shared;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** One pipeline, many threads, many shapes of batches: the numbers stay the same. */
class PipelineThreadsTest {
    private static final int THREADS = 16;
    private static final double TOLERANCE = 1e-5;
    private static final List<String> WORDS = List.of("the", "movie", "cat", "was", "good", "not", "paris", ".", "of");
    private static final PipelineOptions OPTIONS =
            PipelineOptions.DEFAULT.withLoad(LoadOptions.defaults().withDevice("cpu"));

    private static String model(String name) {
        return Shared.repositoryRoot()
                .resolve("core/src/test/resources/pipelines/" + name + "/model")
                .toString();
    }

    /** Enough of them that the weights are packed while threads run. */
    private static List<String> texts() {
        Random random = new Random(5);
        return Stream.generate(() -> String.join(
                        " ",
                        random.ints(1 + random.nextInt(20), 0, WORDS.size())
                                .mapToObj(WORDS::get)
                                .toList()))
                .limit(60)
                .toList();
    }

    /** Every thread runs {@code body} with its number at the same time. */
    private static void hammer(ThreadBody body) throws Exception {
        CountDownLatch start = new CountDownLatch(1);
        ExecutorService pool = Executors.newFixedThreadPool(THREADS);
        try {
            List<Future<Void>> all = new ArrayList<>();
            for (int t = 0; t < THREADS; t++) {
                int thread = t;
                Callable<Void> call = () -> {
                    start.await();
                    body.run(thread);
                    return null;
                };
                all.add(pool.submit(call));
            }
            start.countDown();
            for (Future<Void> one : all) {
                one.get();
            }
        } finally {
            pool.shutdownNow();
        }
    }

    private interface ThreadBody {
        void run(int thread) throws Exception;
    }

    /** A slice of the texts that is the thread's own, in batches of its own size. */
    private static List<List<Integer>> batches(int thread, int texts) {
        List<Integer> order = new ArrayList<>(IntStream.range(0, texts).boxed().toList());
        java.util.Collections.shuffle(order, new Random(thread));
        int size = 1 + thread % 7;
        return IntStream.range(0, (texts + size - 1) / size)
                .mapToObj(i -> order.subList(i * size, Math.min(texts, (i + 1) * size)))
                .toList();
    }

    @Test
    void sentenceEmbedding() throws Exception {
        List<String> texts = texts();
        List<float[]> single = new ArrayList<>();
        try (SentenceEmbeddingPipeline one =
                (SentenceEmbeddingPipeline) Pipeline.of("sentence-embedding", model("sentence-all-modes"), OPTIONS)) {
            texts.forEach(t -> single.add(one.apply(t)));
        }
        try (SentenceEmbeddingPipeline shared =
                (SentenceEmbeddingPipeline) Pipeline.of("sentence-embedding", model("sentence-all-modes"), OPTIONS)) {
            hammer(thread -> {
                for (List<Integer> batch : batches(thread, texts.size())) {
                    List<float[]> got =
                            shared.apply(batch.stream().map(texts::get).toList());
                    for (int i = 0; i < got.size(); i++) {
                        float[] want = single.get(batch.get(i));
                        assertThat(got.get(i)).hasSameSizeAs(want);
                        for (int d = 0; d < want.length; d++) {
                            assertThat((double) got.get(i)[d]).isCloseTo(want[d], within(TOLERANCE));
                        }
                    }
                }
            });
        }
    }

    @Test
    void textClassification() throws Exception {
        List<String> texts = texts();
        List<List<ClassScore>> single = new ArrayList<>();
        String model = model("zero-shot-entailment-first");
        try (TextClassificationPipeline one =
                (TextClassificationPipeline) Pipeline.of("text-classification", model, OPTIONS)) {
            texts.forEach(
                    t -> single.add(one.apply(List.of(t), null, null, null).get(0)));
        }
        try (TextClassificationPipeline shared =
                (TextClassificationPipeline) Pipeline.of("text-classification", model, OPTIONS)) {
            hammer(thread -> {
                for (List<Integer> batch : batches(thread, texts.size())) {
                    List<List<ClassScore>> got =
                            shared.apply(batch.stream().map(texts::get).toList(), null, null, null);
                    for (int i = 0; i < got.size(); i++) {
                        List<ClassScore> want = single.get(batch.get(i));
                        assertThat(got.get(i)).hasSameSizeAs(want);
                        for (int c = 0; c < want.size(); c++) {
                            assertThat(got.get(i).get(c).label())
                                    .isEqualTo(want.get(c).label());
                            assertThat(got.get(i).get(c).score())
                                    .isCloseTo(want.get(c).score(), within(TOLERANCE));
                        }
                    }
                }
            });
        }
    }
}
