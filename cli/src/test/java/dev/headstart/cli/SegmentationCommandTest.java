package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.cli.HeadstartCommandTest.Result;
import dev.headstart.testing.Shared;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code run image-segmentation} for people: classes, shares, and masks as files. */
class SegmentationCommandTest {
    private static final Path MODEL =
            Shared.repositoryRoot().resolve("core/src/test/resources/vision-golden/mobilenet_v2/segmentation/model");

    @TempDir
    Path dir;

    private Path model = Path.of("");
    private String image = "";

    @BeforeEach
    void files() throws IOException {
        model = Files.createDirectory(dir.resolve("model"));
        for (String file : List.of("config.json", "model.safetensors")) {
            Files.copy(MODEL.resolve(file), model.resolve(file));
        }
        ObjectNode config = (ObjectNode)
                new ObjectMapper().readTree(model.resolve("config.json").toFile());
        int size = config.path("image_size").asInt(64);
        config.withObject("/id2label").put("0", "traffic/light");
        Files.writeString(model.resolve("config.json"), config.toString());
        Files.writeString(
                model.resolve("preprocessor_config.json"),
                "{\"image_processor_type\":\"MobileNetV2ImageProcessor\",\"do_center_crop\":false,\"size\":{\"height\":"
                        + size + ",\"width\":" + size + "}}");
        BufferedImage picture = new BufferedImage(48, 32, BufferedImage.TYPE_INT_RGB);
        for (int y = 0; y < 32; y++) {
            for (int x = 0; x < 48; x++) {
                picture.setRGB(x, y, (x * 5) << 16 | (y * 7) << 8 | (x * y) % 256);
            }
        }
        ImageIO.write(picture, "png", dir.resolve("street.png").toFile());
        image = dir.resolve("street.png").toString();
    }

    private Result segment(String... more) {
        List<String> command =
                new ArrayList<>(List.of("run", "image-segmentation", "--model", model.toString(), "--device", "cpu"));
        command.addAll(List.of(more));
        return HeadstartCommandTest.runPrinting(command);
    }

    @Test
    void classesComeWithTheirShareOfThePixelsAndMasksAsFiles() throws IOException {
        Path masks = dir.resolve("masks");
        Result shown = segment("--masks", masks.toString(), image, image);
        assertThat(shown.code()).as(shown.err()).isZero();
        JsonNode json =
                new ObjectMapper().readTree(segment("--json", image).out()).get(0);
        List<String> lines = shown.out().lines().toList();
        assertThat(lines).hasSize(2 * json.size());
        double all = 0;
        for (int i = 0; i < json.size(); i++) {
            BufferedImage mask = ImageIO.read(new ByteArrayInputStream(
                    Base64.getDecoder().decode(json.get(i).get("mask").asText())));
            double share = white(mask) / (48.0 * 32);
            all += share;
            String label = json.get(i).get("label").asText();
            assertThat(lines.get(i))
                    .startsWith(label)
                    .contains(String.format(Locale.ROOT, "%.1f %%", 100 * share))
                    .endsWith(masks.resolve("street-" + label.replace('/', '_') + ".png")
                            .toString());
            Path file = Path.of(lines.get(i).substring(lines.get(i).lastIndexOf("  ") + 2));
            BufferedImage written = ImageIO.read(file.toFile());
            assertThat(written.getWidth()).isEqualTo(48);
            assertThat(white(written)).isEqualTo(white(mask));
            assertThat(lines.get(json.size() + i)).endsWith("-2.png"); // the same input again
        }
        assertThat(all).isCloseTo(1, within(1e-9));
        try (Stream<Path> files = Files.list(masks)) {
            assertThat(files).hasSize(2 * json.size());
        }
        Result again = segment("--masks", masks.toString(), image);
        assertThat(again.code()).isEqualTo(1);
        assertThat(again.err()).contains(masks.toString(), "not empty", "--masks");
    }

    private static int white(BufferedImage mask) {
        int n = 0;
        for (int y = 0; y < mask.getHeight(); y++) {
            for (int x = 0; x < mask.getWidth(); x++) {
                n += (mask.getRGB(x, y) & 255) == 255 ? 1 : 0;
            }
        }
        return n;
    }
}
