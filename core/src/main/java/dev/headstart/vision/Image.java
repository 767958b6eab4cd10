package dev.headstart.vision;

import dev.headstart.HeadstartException;
import java.awt.image.BufferedImage;
import java.nio.file.Path;

/**
 * An upright 8-bit RGB image in memory, the form in which every processor takes its input (transformers {@code load_image}).
 *
 * @param width pixels in a row
 * @param height rows
 * @param rgb samples in reading order, interleaved: 3 * width * height bytes
 * @param source where it came from, for error messages: a file name or a word of the caller's
 * @param transparent 0xRRGGBB, the colour that the file declares transparent (GIF, PNG with a palette or a tRNS chunk); -1 for none
 */
@SuppressWarnings("ArrayRecordComponent")
public record Image(int width, int height, byte[] rgb, String source, int transparent) {
    /** Without a transparent colour. */
    public Image(int width, int height, byte[] rgb, String source) {
        this(width, height, rgb, source, -1);
    }

    /** Checks that the samples are as many as the sides say. */
    public Image {
        if (width < 1 || height < 1) {
            throw new HeadstartException(
                    source + ": an image needs sides of at least 1 pixel, found " + width + " x " + height);
        }
        if (rgb.length != 3L * width * height) {
            throw new HeadstartException(source + ": an RGB image of " + width + " x " + height + " has "
                    + 3L * width * height + " samples, found " + rgb.length);
        }
    }

    /**
     * Reads JPEG, PNG, WebP, TIFF, BMP or GIF (its first frame); the type is told by the content, not by the file's name. The result is upright
     * (Exif orientation applied) and RGB: grey is repeated, palettes are looked up, alpha is dropped, CMYK is converted, 16 bits become 8;
     * but grey of more than 8 bits is clipped to 255 and not scaled, as transformers and Pillow do it.
     * Images beyond {@value ImageDecoder#FULL_PIXELS} pixels are decoded at a whole fraction of their size, so that memory stays bounded.
     *
     * @throws HeadstartException when the file cannot be read, is empty, truncated, of another type, or declares absurd sizes
     */
    public static Image read(Path file) {
        return ImageDecoder.read(file);
    }

    /**
     * Decodes an image that is in memory, as {@link #read(Path)} does.
     *
     * @param bytes the whole file
     * @param source what error messages call it
     */
    public static Image decode(byte[] bytes, String source) {
        return ImageDecoder.decode(bytes, source);
    }

    /** Takes over an AWT image of any kind, dropping its alpha. */
    public static Image of(BufferedImage image, String source) {
        return new Image(image.getWidth(), image.getHeight(), Pixels.rgb(image, false), source);
    }

    /** The same with white where the transparent colour is (transformers {@code convert_to_rgb}). */
    Image onWhite() {
        if (transparent < 0) {
            return this;
        }
        byte[] result = rgb.clone();
        byte r = (byte) (transparent >> 16), g = (byte) (transparent >> 8), b = (byte) transparent;
        for (int i = 0; i < result.length; i += 3) {
            if (result[i] == r && result[i + 1] == g && result[i + 2] == b) {
                result[i] = result[i + 1] = result[i + 2] = -1;
            }
        }
        return new Image(width, height, result, source);
    }

    /** The same pixels as an AWT image (for display and for writing with ImageIO). */
    public BufferedImage toBufferedImage() {
        BufferedImage result = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        int[] row = new int[width];
        for (int y = 0, i = 0; y < height; y++) {
            for (int x = 0; x < width; x++, i += 3) {
                row[x] = (rgb[i] & 255) << 16 | (rgb[i + 1] & 255) << 8 | rgb[i + 2] & 255;
            }
            result.setRGB(0, y, width, 1, row, 0, width);
        }
        return result;
    }

    /**
     * A rectangle of this image; what lies outside is black.
     *
     * @param left first column, may be negative
     * @param top first row, may be negative
     */
    public Image crop(int left, int top, int cropWidth, int cropHeight) {
        if (left == 0 && top == 0 && cropWidth == width && cropHeight == height) {
            return this;
        }
        byte[] result = new byte[Math.multiplyExact(3, Math.multiplyExact(cropWidth, cropHeight))];
        int x0 = Math.max(0, left), x1 = Math.min(width, left + cropWidth);
        for (int y = Math.max(0, top); y < Math.min(height, top + cropHeight) && x1 > x0; y++) {
            System.arraycopy(rgb, 3 * (y * width + x0), result, 3 * ((y - top) * cropWidth + x0 - left), 3 * (x1 - x0));
        }
        return new Image(cropWidth, cropHeight, result, source, transparent);
    }

    /**
     * Resizes with antialiasing, equal to Pillow's {@code Image.resize} sample for sample.
     *
     * @see Resample
     */
    public Image resize(int newWidth, int newHeight, Resample filter) {
        return filter.resize(this, newWidth, newHeight);
    }

    /** The sides and the source, never the samples. */
    @Override
    public String toString() {
        return "Image[" + source + ", " + width + " x " + height + "]";
    }
}
