package dev.headstart.train;

import dev.headstart.nn.Memory;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** Makes the batches of the next step on a thread of its own while the present step runs: the same batches, in the same order, from the same random numbers. */
final class BatchesAhead implements TrainingData, AutoCloseable {
    private final TrainingData data;
    private final boolean pinned;
    private final ExecutorService worker = Executors.newSingleThreadExecutor(job -> {
        Thread thread = new Thread(job, "batches");
        thread.setDaemon(true);
        return thread;
    });
    private final Deque<Coming> coming = new ArrayDeque<>();

    private record Coming(int[] indexes, CompletableFuture<Map<String, Tensor>> batch) {}

    /** @param pinned whether batches are to lie in page-locked memory, from where a GPU fetches them without the processor */
    BatchesAhead(TrainingData data, boolean pinned) {
        this.data = data;
        this.pinned = pinned;
    }

    @Override
    public int size() {
        return data.size();
    }

    @Override
    public int length(int index) {
        return data.length(index);
    }

    @Override
    public int[] pass(long pass, long seed) {
        return data.pass(pass, seed);
    }

    @Override
    public void announce(List<int[]> batches, SplittableRandom random) {
        for (int[] indexes : batches) {
            coming.add(new Coming(indexes, CompletableFuture.supplyAsync(() -> make(indexes, random), worker)));
        }
    }

    private Map<String, Tensor> make(int[] indexes, SplittableRandom random) {
        Map<String, Tensor> kept = new LinkedHashMap<>();
        try (PointerScope scope = new PointerScope()) {
            data.batch(indexes, random).forEach((name, t) -> kept.put(name, Memory.keep(pinned ? t.pin_memory() : t)));
        }
        return kept;
    }

    @Override
    public Map<String, Tensor> batch(int[] indexes, SplittableRandom random) {
        Coming next = coming.poll();
        if (next == null || !Arrays.equals(next.indexes, indexes)) {
            forget(next);
            return data.batch(indexes, random);
        }
        Map<String, Tensor> batch;
        try {
            batch = next.batch.join();
        } catch (CompletionException e) {
            throw e.getCause() instanceof RuntimeException cause ? cause : e;
        }
        PointerScope scope = PointerScope.getInnerScope();
        if (scope != null) {
            batch.values().forEach(t -> {
                scope.attach(t);
                t.releaseReference();
            });
        }
        return batch;
    }

    private void forget(@Nullable Coming first) {
        if (first != null) {
            coming.addFirst(first);
        }
        coming.forEach(c -> c.batch.thenAccept(b -> b.values().forEach(Tensor::close)));
        coming.clear();
    }

    @Override
    public void close() {
        forget(null);
        worker.shutdown();
    }
}
