package dev.headstart.train.vision;

import dev.headstart.HeadstartException;
import dev.headstart.data.OnError;
import dev.headstart.models.Tensors;
import dev.headstart.train.TrainingData;
import dev.headstart.vision.Image;
import dev.headstart.vision.ImageBatch;
import dev.headstart.vision.ImageProcessor;
import dev.headstart.vision.Resample;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Batches of augmented images: {@code pixel_values} [B, 3, H, W] in channels-last order and {@code labels}, int64 [B], or float [B, C] when images are
 * mixed. The next step's images are decoded, augmented and resized by another thread while the present step computes. What is drawn depends on the
 * step alone.
 */
final class ImageBatches implements TrainingData, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ImageFineTune.class);

    private final ImageSamples samples;
    private final ImageProcessor processor;
    private final Augmentation augmentation;
    private final @Nullable Mixing mixing;
    private final OnError onError;
    private final Map<String, Integer> classes = new HashMap<>();
    private final ArrayDeque<Coming> coming = new ArrayDeque<>();
    private final ExecutorService worker = Executors.newSingleThreadExecutor(work -> {
        Thread t = new Thread(work, "images");
        t.setDaemon(true);
        return t;
    });

    /** A batch that is being prepared. */
    private record Coming(int[] indexes, long seed, CompletableFuture<ImageBatch> images) {}

    /** @param mixing null for none */
    ImageBatches(
            ImageSamples samples,
            ImageProcessor processor,
            Map<Integer, String> id2label,
            Augmentation augmentation,
            @Nullable Mixing mixing,
            OnError onError) {
        this.samples = samples;
        this.processor = processor;
        this.augmentation = augmentation;
        this.mixing = mixing;
        this.onError = onError;
        id2label.forEach((i, name) -> classes.put(name, i));
    }

    @Override
    public int size() {
        return samples.size();
    }

    /** Index of an image's class. */
    int label(int index) {
        Integer label = classes.get(samples.label(index));
        if (label == null) {
            throw new HeadstartException("label \"" + samples.label(index) + "\" is none of " + classes.keySet());
        }
        return label;
    }

    @Override
    public void announce(List<int[]> batches, SplittableRandom random) {
        for (int[] indexes : batches) {
            long seed = random.nextLong();
            coming.add(new Coming(indexes, seed, CompletableFuture.supplyAsync(() -> prepare(indexes, seed), worker)));
        }
    }

    @Override
    public Map<String, Tensor> batch(int[] indexes, SplittableRandom random) {
        long seed = random.nextLong();
        ImageBatch images;
        Coming next = coming.poll();
        if (next != null && next.seed == seed && Arrays.equals(next.indexes, indexes)) {
            images = join(next.images);
        } else {
            if (next != null) {
                next.images.thenAccept(ImageBatch::close);
            }
            images = prepare(indexes, seed);
        }
        Tensor pixels = images.pixelValues(); // [B, 3, H, W]
        PointerScope scope = PointerScope.getInnerScope();
        if (scope != null) {
            scope.attach(pixels);
            pixels.releaseReference();
        }
        Map<String, Tensor> batch = new LinkedHashMap<>();
        Tensor labels =
                Tensors.int64(Arrays.stream(indexes).mapToLong(this::label).toArray()); // [B]
        batch.put("pixel_values", pixels);
        batch.put("labels", labels);
        if (mixing != null) {
            mixing.apply(batch, classes.size(), new SplittableRandom(seed + 1));
        }
        return batch;
    }

    @Override
    public boolean preparesItself() {
        return true;
    }

    private ImageBatch prepare(int[] indexes, long seed) {
        long[] seeds = new SplittableRandom(seed).longs(indexes.length).toArray();
        Image[] ready = new Image[indexes.length];
        boolean sized = augmentation.resizes() && processor.sizesAreEqual(); // once, to what the model takes
        Augmentation.Cut cut = sized
                ? processor::resizedCrop
                : (x, left, top, width, height) ->
                        x.crop(left, top, width, height).resize(x.width(), x.height(), Resample.BILINEAR);
        IntStream.range(0, ready.length)
                .parallel()
                .forEach(i -> ready[i] = augmentation.apply(image(indexes[i]), new SplittableRandom(seeds[i]), cut));
        return sized ? processor.batch(List.of(ready), true) : processor.preprocess(List.of(ready), true);
    }

    /** The image; in its place, when it cannot be read and such are to be skipped, the next of its class that can. */
    private Image image(int index) {
        for (int i = index, tried = 0; ; ) {
            try {
                return samples.image(i);
            } catch (HeadstartException e) {
                if (onError == OnError.FAIL || ++tried > 100) {
                    throw e;
                }
                LOG.warn("skipped: {}", e.getMessage());
                do {
                    i = (i + 1) % samples.size();
                } while (!samples.label(i).equals(samples.label(index)));
            }
        }
    }

    private static ImageBatch join(CompletableFuture<ImageBatch> future) {
        try {
            return future.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw e;
        }
    }

    @Override
    public void close() {
        coming.forEach(c -> c.images.thenAccept(ImageBatch::close));
        coming.clear();
        worker.shutdown();
    }
}
