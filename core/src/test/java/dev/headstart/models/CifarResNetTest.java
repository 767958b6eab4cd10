package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.LoadOptions;
import dev.headstart.hub.ModelFolder;
import dev.headstart.testing.Shared;
import dev.headstart.vision.Image;
import dev.headstart.vision.ImageBatch;
import dev.headstart.vision.ImageProcessor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The CIFAR-10 ResNets of the original paper (PyTorch's legacy format, names with "module.", shortcuts without weights) on real test images. */
class CifarResNetTest {
    /** As the network's authors trained it: ImageNet's mean and deviation. */
    private static final String PROCESSOR = "{\"image_processor_type\": \"ViTImageProcessor\", \"do_resize\": false,"
            + " \"image_mean\": [0.485, 0.456, 0.406], \"image_std\": [0.229, 0.224, 0.225]}";

    /** Every tenth image; {@link #accuracyOnAllTestImages} takes minutes. */
    @ParameterizedTest
    @CsvSource({"resnet20-12fca82f.th, 79.5", "resnet32-d509ac18.th, 80.8"})
    void accuracyOnSomeTestImages(String file, double percent) throws IOException {
        assertThat(accuracy(file, 10)).isCloseTo(percent, within(0.05));
    }

    @Tag("soak")
    @ParameterizedTest
    @CsvSource({"resnet20-12fca82f.th, 81.03", "resnet32-d509ac18.th, 82.56"})
    void accuracyOnAllTestImages(String file, double percent) throws IOException {
        assertThat(accuracy(file, 1)).isCloseTo(percent, within(0.05));
    }

    /** Percent of the images, every {@code step}th of each class, that are named right. */
    private static double accuracy(String file, int step) throws IOException {
        Path weights = Shared.require("data/weights-resnet-cifar10/pretrained_models/" + file);
        Path test = Shared.require("data/cifar10-jpeg/test");
        ImageProcessor processor = ImageProcessor.of((ObjectNode) new ObjectMapper().readTree(PROCESSOR));
        List<String> classes;
        try (Stream<Path> folders = Files.list(test)) {
            classes = folders.map(p -> p.getFileName().toString()).sorted().toList();
        }
        int right = 0, all = 0;
        try (PreTrainedModel<?> model =
                Models.load(new ModelFolder(file, weights, true), null, LoadOptions.defaults())) {
            assertThat(model.config().text("shortcut", "")).isEqualTo("A");
            assertThat(model.config().numLabels()).isEqualTo(10);
            for (int label = 0; label < classes.size(); label++) {
                List<Path> files;
                try (Stream<Path> s = Files.list(test.resolve(classes.get(label)))) {
                    List<Path> sorted = s.sorted().toList();
                    files = IntStream.range(0, sorted.size())
                            .filter(i -> i % step == 0)
                            .mapToObj(sorted::get)
                            .toList();
                }
                for (int at = 0; at < files.size(); at += 250) {
                    List<Image> images = files.subList(at, Math.min(at + 250, files.size())).parallelStream()
                            .map(Image::read)
                            .toList();
                    try (PointerScope scope = new PointerScope();
                            ImageBatch batch = processor.preprocess(images);
                            ModelOutput out = model.forward(Inputs.of(batch.modelInputs()))) {
                        float[] logits = Tensors.floats(
                                java.util.Objects.requireNonNull(out.tensors().get("logits"))); // [B, 10]
                        for (int i = 0; i < images.size(); i++) {
                            int best = 0;
                            for (int c = 1; c < 10; c++) {
                                best = logits[10 * i + c] > logits[10 * i + best] ? c : best;
                            }
                            right += best == label ? 1 : 0;
                            all++;
                        }
                    }
                }
            }
        }
        assertThat(all).isEqualTo(10_000 / step);
        return 100.0 * right / all;
    }
}
