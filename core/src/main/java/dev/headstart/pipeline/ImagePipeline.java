package dev.headstart.pipeline;

import dev.headstart.HeadstartException;
import dev.headstart.hub.FileSelection;
import dev.headstart.hub.Hub;
import dev.headstart.models.Inputs;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.nn.Precision;
import dev.headstart.vision.Image;
import dev.headstart.vision.ImageBatch;
import dev.headstart.vision.ImageProcessor;
import java.net.URI;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.IntFunction;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** A processor and a model together: images are decoded and prepared while the model works on those before. */
abstract class ImagePipeline implements Pipeline {
    /** Images that go through the model together. */
    private static final int BATCH = 8;

    /** Work after which packing the weights for speed pays. */
    private static final int PACK_AFTER_IMAGES = 4;

    private long seen;
    private boolean packed;
    protected final ImageProcessor processor;
    protected final PreTrainedModel<?> model;

    ImagePipeline(String id, PreTrainedModel<?> model, PipelineOptions options) {
        this.model = model;
        this.packed = options.load().precision() != null || model.quantized();
        try {
            processor = ImageProcessor.fromFolder(Hub.standard()
                    .resolve(id, FileSelection.NO_WEIGHTS, options.load())
                    .path());
        } catch (RuntimeException e) {
            model.close();
            throw e;
        }
    }

    /** Receives one batch: the first image's index, the images, and what the model said of them. Called inside a scope. */
    interface Batch {
        void accept(int first, List<Image> images, ModelOutput out);
    }

    /** Packs the weights once there is enough work for it to pay. */
    private synchronized void pack(int images) {
        seen += images;
        if (!packed && seen >= PACK_AFTER_IMAGES) {
            model.optimize(Precision.FP32);
            packed = true;
        }
    }

    private record Ready(List<Image> images, ImageBatch batch) {}

    /** Images from files. */
    static IntFunction<Image> files(List<String> paths) {
        return i -> Image.read(path(paths.get(i)));
    }

    /** A file by its path or its {@code file:} address. */
    private static Path path(String input) {
        if (input.matches("(?i)(https?|ftp)://.*")) {
            throw new HeadstartException(
                    input + ": images are read from files, not from the network; download it first");
        }
        try {
            return input.startsWith("file:/") ? Path.of(URI.create(input)) : Path.of(input);
        } catch (IllegalArgumentException e) {
            throw new HeadstartException(input + ": is no path of a file (" + e.getMessage() + ")", e);
        }
    }

    /** Runs the model over all images. @param source gives an image by its index */
    void infer(int count, IntFunction<Image> source, Batch receiver) {
        pack(count);
        int size = processor.sizesAreEqual() ? BATCH : 1;
        CompletableFuture<Ready> next = count > 0 ? load(source, 0, Math.min(size, count)) : null;
        for (int at = 0; next != null; at += size) {
            Ready ready = join(next);
            int following = at + size;
            int end = Math.min(following + size, count);
            // the model's threads wait for each other: what takes a processor from one of them holds up all
            boolean ahead = Runtime.getRuntime().availableProcessors() > torch.get_num_threads();
            next = ahead && following < count ? load(source, following, end) : null;
            try (ImageBatch batch = ready.batch();
                    PointerScope scope = new PointerScope();
                    ModelOutput out = model.forward(inputs(batch))) {
                receiver.accept(at, ready.images(), out);
            } catch (RuntimeException e) {
                if (next != null) {
                    next.thenAccept(r -> r.batch().close());
                }
                throw e;
            }
            if (!ahead && following < count) {
                next = load(source, following, end);
            }
        }
    }

    /** What the model is given beside the pixels' tensors. */
    Inputs inputs(ImageBatch batch) {
        return Inputs.of(batch.modelInputs());
    }

    private CompletableFuture<Ready> load(IntFunction<Image> source, int from, int to) {
        return CompletableFuture.supplyAsync(() -> {
            List<Image> images = java.util.stream.IntStream.range(from, to)
                    .parallel()
                    .mapToObj(source)
                    .toList();
            return new Ready(images, processor.preprocess(images));
        });
    }

    private static Ready join(CompletableFuture<Ready> future) {
        try {
            return future.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw e;
        }
    }

    /** The output tensor of the given name. */
    static Tensor field(ModelOutput out, String name) {
        Tensor t = out.tensors().get(name);
        if (t == null) {
            throw new HeadstartException("the model gives no " + name + "; it gives "
                    + String.join(", ", out.tensors().keySet()));
        }
        return t;
    }

    @Override
    public void close() {
        model.close();
    }
}
