package dev.headstart.pipeline;

import dev.headstart.models.Inputs;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.vision.Image;
import dev.headstart.vision.ImageBatch;
import dev.headstart.vision.ImageProcessor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;

/** Example images on which a classifier's activations are measured before it is quantized. */
public final class ImageCalibration {
    private static final int BATCH = 8;

    private ImageCalibration() {}

    /**
     * Runs a model on images.
     *
     * @param folder the model's, for its processor
     * @param files all images there are
     * @param count how many to take, evenly spread over the files
     */
    public static Consumer<PreTrainedModel<?>> of(Path folder, List<Path> files, int count) {
        ImageProcessor processor = ImageProcessor.fromFolder(folder);
        int taken = Math.min(count, files.size());
        List<Path> some = new ArrayList<>();
        for (int i = 0; i < taken; i++) {
            some.add(files.get((int) ((long) i * files.size() / taken)));
        }
        int step = processor.sizesAreEqual() ? BATCH : 1;
        return model -> {
            for (int from = 0; from < some.size(); from += step) {
                List<Image> images = IntStream.range(from, Math.min(some.size(), from + step))
                        .parallel()
                        .mapToObj(i -> Image.read(some.get(i)))
                        .toList();
                try (ImageBatch batch = processor.preprocess(images);
                        PointerScope scope = new PointerScope();
                        ModelOutput out = model.forward(Inputs.of(batch.modelInputs()))) {
                    // only the activations count
                }
            }
        };
    }
}
