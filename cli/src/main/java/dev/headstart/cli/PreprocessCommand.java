package dev.headstart.cli;

import dev.headstart.hub.FileSelection;
import dev.headstart.hub.Hub;
import dev.headstart.io.Safetensors;
import dev.headstart.vision.Image;
import dev.headstart.vision.ImageBatch;
import dev.headstart.vision.ImageProcessor;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Files through the checkpoint's own processor, for comparison with other implementations. */
@Command(
        name = "preprocess",
        description = "Runs image files through a checkpoint's processor and writes the model's inputs as safetensors.")
final class PreprocessCommand implements Runnable {
    @Option(names = "--model", required = true, paramLabel = "ID", description = "Model folder or id.")
    private @Nullable String model;

    @Option(
            names = "--outputs",
            required = true,
            paramLabel = "FILE",
            description = "Safetensors file to write: pixel_values, pixel_mask.")
    private @Nullable Path outputs;

    @Parameters(arity = "1..*", paramLabel = "FILE", description = "Images: JPEG, PNG, WebP, TIFF, BMP or GIF.")
    private @Nullable List<Path> files;

    @Override
    public void run() {
        Path folder = Hub.standard()
                .resolve(Objects.requireNonNull(model), null, FileSelection.NO_WEIGHTS)
                .path();
        ImageProcessor processor = ImageProcessor.fromFolder(folder);
        List<Image> images =
                Objects.requireNonNull(files).stream().map(Image::read).toList();
        try (ImageBatch batch = processor.preprocess(images)) {
            Safetensors.write(Objects.requireNonNull(outputs), batch.modelInputs());
        }
    }
}
