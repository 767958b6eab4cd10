package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.cli.HeadstartCommandTest.Result;
import dev.headstart.hub.Hub;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.zip.CRC32;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is no picture, or a strange one, given to the default classifier: named in one line, or answered. */
class ImageBadInputTest {
    @TempDir
    Path dir;

    private static Result classify(String... more) {
        List<String> command = new ArrayList<>(List.of("run", "image-classification", "--offline", "--json"));
        command.addAll(Arrays.asList(more));
        return HeadstartCommandTest.runPrinting(command);
    }

    private static void refused(Path file, String... parts) {
        Result r = classify(file.toString());
        assertThat(r.code()).as(r.err()).isEqualTo(1);
        assertThat(r.out()).isEmpty();
        String last = r.err().lines().reduce((a, b) -> b).orElse("");
        assertThat(last).contains(String.valueOf(file.getFileName())).contains(parts);
        assertThat(r.err()).doesNotContain("\tat ");
    }

    private static void answered(Path file) {
        Result r = classify(file.toString());
        assertThat(r.code()).as(r.err()).isZero();
        assertThat(r.out()).contains("\"label\"", "\"score\"");
    }

    private Path picture(String name, String format, int width, int height) throws IOException {
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        Graphics2D g = image.createGraphics();
        g.setColor(Color.ORANGE);
        g.fillOval(0, 0, width, height);
        g.dispose();
        Path file = dir.resolve(name);
        ImageIO.write(image, format, file.toFile());
        return file;
    }

    @Test
    void filesThatAreNoPictureAreNamed() throws IOException {
        Path whole = picture("whole.jpg", "jpg", 120, 90);
        byte[] bytes = Files.readAllBytes(whole);
        refused(Files.write(dir.resolve("half.jpg"), Arrays.copyOf(bytes, bytes.length / 2)), "cut short", "replace");
        refused(Files.write(dir.resolve("nothing.png"), new byte[0]), "0 bytes");
        refused(Files.writeString(dir.resolve("text.jpg"), "<html><body>not found"), "an HTML page");
        refused(dir.resolve("missing.jpg"), "no such file");
        refused(Files.write(dir.resolve("bomb.png"), bomb()), "decompression bomb");
        Path locked = picture("locked.png", "png", 8, 8);
        if (locked.toFile().setReadable(false) && !Files.isReadable(locked)) { // root reads everything
            refused(locked, "cannot be read");
        }
    }

    @Test
    void strangePicturesAreAnswered() throws IOException {
        answered(picture("narrow.png", "png", 1, 200));
        answered(picture("dot.png", "png", 1, 1));
        answered(picture("long.jpg", "jpg", 30_000, 300));
        answered(Files.copy(picture("a.png", "png", 50, 40), dir.resolve("really-a-png.jpg")));
    }

    @Test
    void aBadFileAmongGoodOnesLeavesNoHalfAnswer() throws IOException {
        Path good = picture("good.png", "png", 40, 40);
        Path bad = Files.writeString(dir.resolve("bad.png"), "no image");
        Result r = classify(good.toString(), bad.toString());
        assertThat(r.code()).isEqualTo(1);
        assertThat(r.out()).isEmpty();
        assertThat(r.err()).contains("bad.png");
    }

    @Test
    void anUnknownProcessorIsNamed() throws IOException {
        Path model = Files.createDirectories(dir.resolve("model"));
        Path zoo = Hub.standard().resolve("headstart/cifar10-resnet14").path();
        for (String file : List.of("config.json", "model.safetensors")) {
            Files.copy(zoo.resolve(file), model.resolve(file));
        }
        Files.writeString(
                model.resolve("preprocessor_config.json"), "{\"image_processor_type\": \"OracleImageProcessor\"}");
        Result r = classify(
                "--model", model.toString(), picture("x.png", "png", 9, 9).toString());
        assertThat(r.code()).isEqualTo(1);
        assertThat(r.out()).isEmpty();
        assertThat(r.err()).contains("preprocessor_config.json", "OracleImageProcessor is unknown", "known are");
    }

    /** A PNG whose header promises 30,000 x 30,000 pixels and holds a few bytes. */
    private static byte[] bomb() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.writeBytes(new byte[] {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 26, '\n'});
        byte[] header = {'I', 'H', 'D', 'R', 0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30, 8, 2, 0, 0, 0};
        CRC32 crc = new CRC32();
        crc.update(header);
        out.writeBytes(new byte[] {0, 0, 0, 13});
        out.writeBytes(header);
        for (int shift = 24; shift >= 0; shift -= 8) {
            out.write((int) (crc.getValue() >> shift));
        }
        out.writeBytes(new byte[64]);
        return out.toByteArray();
    }
}
