package dev.headstart.vision;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.DeflaterOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every kind of image file against what Pillow makes of it (conformance/make_images.py), resampling sample for sample, and damaged files. */
class ImageTest {
    @TempDir
    Path folder;

    private static byte[] resource(String name) {
        try (var in = ImageTest.class.getResourceAsStream("/vision/" + name)) {
            return java.util.Objects.requireNonNull(in, name).readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static Stream<String> files() {
        return new String(resource("index.txt"), StandardCharsets.UTF_8).lines();
    }

    @ParameterizedTest
    @MethodSource("files")
    void decodesAsPillow(String line) {
        String[] f = line.split(" ");
        Image image = Image.decode(resource(f[0]), f[0]);
        assertThat(image.width()).isEqualTo(Integer.parseInt(f[1]));
        assertThat(image.height()).isEqualTo(Integer.parseInt(f[2]));
        byte[] want = resource(f[0] + ".rgb");
        int worst = 0;
        for (int i = 0; i < want.length; i++) {
            worst = Math.max(worst, Math.abs((want[i] & 255) - (image.rgb()[i] & 255)));
        }
        assertThat(worst).isLessThanOrEqualTo(Integer.parseInt(f[3]));
    }

    static Stream<String> filters() {
        return Stream.of(Resample.values())
                .filter(r -> r != Resample.NEAREST_EXACT) // torch's
                .flatMap(r -> Stream.of("11x9", "37x9", "11x23", "80x51", "1x1", "5x60")
                        .map(s -> r.name().toLowerCase(java.util.Locale.ROOT) + "-" + s));
    }

    @ParameterizedTest
    @MethodSource("filters")
    void resizesAsPillow(String name) {
        String[] f = name.split("[-x]");
        Image scene = Image.decode(resource("scene.png"), "scene.png");
        // "box" and "lanczos" hold an x too: the sizes are the last two parts
        String[] s = name.substring(name.lastIndexOf('-') + 1).split("x");
        Resample filter = Resample.of(name.substring(0, name.lastIndexOf('-')), f[0]);
        Image image = scene.resize(Integer.parseInt(s[0]), Integer.parseInt(s[1]), filter);
        assertThat(image.rgb()).isEqualTo(resource("resized-" + name + ".rgb"));
    }

    @Test
    void aWindowIsACropOfTheWhole() {
        Image scene = Image.decode(resource("scene.png"), "scene.png");
        for (Resample filter : Resample.values()) {
            for (boolean coarse : new boolean[] {false, true}) {
                for (int[] size : new int[][] {{50, 40}, {50, scene.height()}, {scene.width(), 40}}) {
                    Image whole = filter.resize(scene, size[0], size[1], 0, 0, size[0], size[1], coarse);
                    assertThat(filter.resize(scene, size[0], size[1], 7, 5, 21, 17, coarse)
                                    .rgb())
                            .as(filter.name())
                            .isEqualTo(whole.crop(7, 5, 21, 17).rgb());
                }
            }
        }
    }

    @Test
    void imagesOfTheCallersStayAsTheyAre() {
        BufferedImage own = new BufferedImage(3, 2, BufferedImage.TYPE_3BYTE_BGR);
        own.setRGB(1, 1, 0x102030);
        Image image = Image.of(own, "own");
        assertThat(Arrays.copyOfRange(image.rgb(), 12, 15)).containsExactly(0x10, 0x20, 0x30);
        assertThat(own.getRGB(1, 1) & 0xFFFFFF).isEqualTo(0x102030);
        assertThat(Image.of(image.toBufferedImage(), "again").rgb()).isEqualTo(image.rgb());
    }

    // === bad input ===

    @Test
    void anEmptyFileIsNamed() throws IOException {
        Path file = Files.createFile(folder.resolve("nothing.jpg"));
        assertThatThrownBy(() -> Image.read(file))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("nothing.jpg")
                .hasMessageContaining("0 bytes");
    }

    @Test
    void aMissingFileAndAFolderAreNamed() {
        assertThatThrownBy(() -> Image.read(folder.resolve("absent.png")))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("no such file");
        assertThatThrownBy(() -> Image.read(folder))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("found a folder");
    }

    @Test
    void aFileThatMayNotBeReadIsNamed() throws IOException {
        Path file = Files.write(folder.resolve("secret.png"), resource("scene.png"));
        org.junit.jupiter.api.Assumptions.assumeTrue(
                file.toFile().setReadable(false) && !Files.isReadable(file), "skipped: this user may read everything");
        assertThatThrownBy(() -> Image.read(file))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll("secret.png", "cannot be read");
    }

    @ParameterizedTest
    @CsvSource({"%PDF-1.4 hello,a PDF", "PK\u0003\u0004....,a zip archive", "hello world,68 65 6c 6c 6f"})
    void otherContentIsNamed(String content, String found) throws IOException {
        Path file = Files.writeString(folder.resolve("photo.jpg"), content);
        assertThatThrownBy(() -> Image.read(file))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("photo.jpg")
                .hasMessageContaining(found);
    }

    @Test
    void theContentDecidesNotTheName() throws IOException {
        Path file = Files.write(folder.resolve("really-a-png.jpg"), resource("scene.png"));
        assertThat(Image.read(file).rgb()).isEqualTo(resource("scene.png.rgb"));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "scene.png",
                "rgb.bmp",
                "still.gif",
                "rgb-raw.tiff",
                "rgb-tiff_lzw.tiff",
                "lossless.webp",
                "lossy.webp",
                "photo-420.jpg",
                "progressive.jpg",
                "cmyk.jpg"
            })
    void halfAFileIsRefused(String name) {
        byte[] whole = resource(name);
        for (int part : new int[] {whole.length / 2, whole.length / 4, 20}) {
            assertThatThrownBy(() -> Image.decode(Arrays.copyOf(whole, part), name))
                    .as("%s cut to %d of %d bytes", name, part, whole.length)
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining(name);
        }
    }

    @Test
    void noBytesWhateverEndInAnythingButAnImageOrAnError() {
        Random random = new Random(5);
        for (String line : (Iterable<String>) files()::iterator) {
            String name = line.split(" ")[0];
            for (int i = 0; i < 40; i++) {
                byte[] bytes = resource(name);
                for (int k = random.nextInt(4); k >= 0; k--) {
                    bytes[random.nextInt(bytes.length)] = (byte) random.nextInt();
                }
                try {
                    Image.decode(bytes, name);
                } catch (HeadstartException expected) {
                    assertThat(expected).hasMessageContaining(name);
                }
            }
        }
    }

    @Test
    void headersThatLieAreRefusedBeforeAnythingIsAllocated() throws IOException {
        assertThatThrownBy(() -> Image.decode(png(100_000, 100_000, 8, 2, new byte[0]), "bomb.png"))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("100000 x 100000");
        assertThatThrownBy(() -> Image.decode(png(20_000, 20_000, 8, 2, new byte[0]), "bomb.png"))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("cannot hold");
    }

    @Test
    void hugeImagesAreDecodedSmaller() throws IOException {
        int side = 30_000; // 900 million pixels of one bit
        byte[] zeros = new byte[(side / 8 + 1) * side];
        Image image = Image.decode(png(side, side, 1, 0, zeros), "huge.png");
        assertThat((long) image.width() * image.height()).isLessThanOrEqualTo(ImageDecoder.FULL_PIXELS);
        assertThat(image.width()).isEqualTo(image.height()).isGreaterThan(5_000);
    }

    @Test
    void oneSideMayBeLong() throws IOException {
        Image image = Image.decode(png(1, 30_000, 8, 0, new byte[2 * 30_000]), "thin.png");
        assertThat(image.height()).isEqualTo(30_000);
        assertThat(image.resize(8, 8, Resample.BICUBIC).rgb()).hasSize(192);
    }

    private static byte[] png(int width, int height, int depth, int type, byte[] rows) throws IOException {
        var out = new ByteArrayOutputStream();
        out.write(new byte[] {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'});
        chunk(
                out,
                "IHDR",
                ByteBuffer.allocate(13)
                        .putInt(width)
                        .putInt(height)
                        .put((byte) depth)
                        .put((byte) type)
                        .array());
        var packed = new ByteArrayOutputStream();
        try (var deflate = new DeflaterOutputStream(packed)) {
            deflate.write(rows);
        }
        chunk(out, "IDAT", packed.toByteArray());
        chunk(out, "IEND", new byte[0]);
        return out.toByteArray();
    }

    private static void chunk(ByteArrayOutputStream out, String type, byte[] data) {
        ByteBuffer b = ByteBuffer.allocate(12 + data.length)
                .putInt(data.length)
                .put(type.getBytes(StandardCharsets.US_ASCII))
                .put(data);
        CRC32 crc = new CRC32();
        crc.update(b.array(), 4, 4 + data.length);
        b.putInt((int) crc.getValue());
        out.writeBytes(b.array());
    }
}
