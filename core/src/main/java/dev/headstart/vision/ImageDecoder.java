package dev.headstart.vision;

import dev.headstart.HeadstartException;
import java.awt.Rectangle;
import java.awt.image.BufferedImage;
import java.awt.image.DataBuffer;
import java.awt.image.DataBufferByte;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.Locale;
import javax.imageio.ImageIO;
import javax.imageio.ImageReadParam;
import javax.imageio.ImageReader;
import javax.imageio.ImageTypeSpecifier;
import javax.imageio.metadata.IIOMetadata;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;
import org.jspecify.annotations.Nullable;
import org.w3c.dom.Node;

/** Image files to {@link Image}: ImageIO, TwelveMonkeys and image-webp-decoder decode; sizes are checked from the header before anything is allocated. */
final class ImageDecoder {
    /** Beyond this many pixels an image is decoded at 1/2, 1/3 ... of its size. */
    static final int FULL_PIXELS = 1 << 26;
    /** Beyond this many pixels a header is not believed. */
    static final long MAX_PIXELS = 1L << 30;
    /** Files larger than this are not images that a processor takes. */
    static final long MAX_BYTES = 1L << 28;
    /** Deflate cannot shrink more than this. */
    private static final int DEFLATE_LIMIT = 1032;

    static {
        ImageIO.setUseCache(false);
    }

    private ImageDecoder() {}

    /** The formats, told apart by their first bytes. */
    private enum Format {
        JPEG("com.sun."),
        PNG("com.sun."),
        GIF("com.sun."),
        BMP("com.sun."),
        TIFF("com.twelvemonkeys."),
        WEBP("");

        /** Whose ImageIO reader is asked first. */
        final String preferred;

        Format(String preferred) {
            this.preferred = preferred;
        }
    }

    static Image read(Path file) {
        byte[] bytes;
        try {
            if (Files.isDirectory(file)) {
                throw new HeadstartException(file + ": expected an image file, found a folder");
            }
            long size = Files.size(file);
            if (size > MAX_BYTES) {
                throw new HeadstartException(file + ": image files may have up to " + (MAX_BYTES >> 20) + " MiB, found "
                        + (size >> 20) + " MiB; store it smaller or compressed");
            }
            bytes = Files.readAllBytes(file);
        } catch (NoSuchFileException e) {
            throw new HeadstartException(file + ": no such file; give the path of an image", e);
        } catch (IOException e) {
            throw new HeadstartException(
                    file + ": cannot be read (" + e.getMessage() + "); check that it exists and may be read", e);
        }
        return decode(bytes, file.toString());
    }

    static Image decode(byte[] bytes, String source) {
        Format format = format(bytes, source);
        try {
            checkWhole(bytes, format, source);
            Image image = format == Format.WEBP
                    ? webp(bytes, source)
                    : format == Format.JPEG && components(bytes) == 4
                            ? cmykJpeg(bytes, source)
                            : plain(bytes, format, source);
            return upright(image, Exif.orientation(bytes));
        } catch (HeadstartException e) {
            throw e;
        } catch (IOException | RuntimeException e) {
            String reason = e.getMessage() == null
                    ? e.getClass().getSimpleName()
                    : e.getMessage().lines().findFirst().orElse("");
            throw new HeadstartException(
                    source + ": this " + format + " image is damaged or cut short (" + reason + "; the file has "
                            + bytes.length + " bytes); replace the file",
                    e);
        }
    }

    private static Format format(byte[] b, String source) {
        if (b.length == 0) {
            throw new HeadstartException(source + ": the file is empty (0 bytes), expected an image");
        }
        if (b.length > 3 && (b[0] & 255) == 0xFF && (b[1] & 255) == 0xD8) {
            return Format.JPEG;
        } else if (starts(b, 0, "\u0089PNG\r\n\u001a\n")) {
            return Format.PNG;
        } else if (starts(b, 0, "GIF87a") || starts(b, 0, "GIF89a")) {
            return Format.GIF;
        } else if (starts(b, 0, "BM")) {
            return Format.BMP;
        } else if (starts(b, 0, "II*\0") || starts(b, 0, "MM\0*") || starts(b, 0, "II+\0") || starts(b, 0, "MM\0+")) {
            return Format.TIFF;
        } else if (starts(b, 0, "RIFF") && starts(b, 8, "WEBP")) {
            return Format.WEBP;
        }
        throw new HeadstartException(source + ": expected a JPEG, PNG, WebP, TIFF, BMP or GIF image, found "
                + describe(b) + "; convert the file or leave it out");
    }

    private static String describe(byte[] b) {
        String[][] known = {
            {"%PDF", "a PDF"},
            {"PK\3\4", "a zip archive"},
            {"<svg", "an SVG drawing"},
            {"<?xml", "XML"},
            {"<!DOCTYPE", "an HTML page"},
            {"<html", "an HTML page"},
            {"RIFF", "a RIFF file (audio or video)"},
            {"\0\0\1\0", "an icon"},
            {"8BPS", "a Photoshop file"}
        };
        for (String[] k : known) {
            if (starts(b, 0, k[0])) {
                return k[1];
            }
        }
        if (starts(b, 4, "ftypavif") || starts(b, 4, "ftyphei") || starts(b, 4, "ftypmif1")) {
            return "an AVIF or HEIC image";
        }
        StringBuilder hex = new StringBuilder("a file that begins with the bytes");
        for (int i = 0; i < Math.min(8, b.length); i++) {
            hex.append(String.format(Locale.ROOT, " %02x", b[i]));
        }
        return hex.toString();
    }

    private static boolean starts(byte[] b, int at, String magic) {
        if (b.length < at + magic.length()) {
            return false;
        }
        for (int i = 0; i < magic.length(); i++) {
            if ((b[at + i] & 255) != magic.charAt(i)) {
                return false;
            }
        }
        return true;
    }

    /** What the readers do not notice: files that end early. */
    private static void checkWhole(byte[] b, Format format, String source) {
        if (format == Format.WEBP) {
            long declared =
                    8 + (ByteBuffer.wrap(b).order(ByteOrder.LITTLE_ENDIAN).getInt(4) & 0xFFFFFFFFL);
            if (b.length < declared) {
                throw cutShort(source, format, b.length, declared);
            }
        } else if (format == Format.BMP && b.length > 34) {
            ByteBuffer h = ByteBuffer.wrap(b).order(ByteOrder.LITTLE_ENDIAN);
            if (h.getInt(14) >= 40 && h.getInt(30) == 0) { // uncompressed rows, each padded to 4 bytes
                long needed = (h.getInt(10) & 0xFFFFFFFFL)
                        + (Math.abs((long) h.getInt(18)) * h.getShort(28) + 31)
                                / 32
                                * 4
                                * Math.abs((long) h.getInt(22));
                if (b.length < needed) {
                    throw cutShort(source, format, b.length, needed);
                }
            }
        }
    }

    private static HeadstartException cutShort(String source, Format format, long found, long declared) {
        return new HeadstartException(source + ": this " + format + " image is cut short: its header declares "
                + declared + " bytes, the file has " + found + "; replace the file");
    }

    private static Image plain(byte[] bytes, Format format, String source) throws IOException {
        ImageReader reader = reader(format, format.preferred);
        try (ImageInputStream in = new MemoryCacheImageInputStream(new ByteArrayInputStream(bytes))) {
            boolean animated = format == Format.GIF;
            reader.setInput(in, false, !animated);
            if (format == Format.TIFF && floats(reader)) { // which TwelveMonkeys cuts to 0 .. 1
                reader.dispose();
                in.seek(0);
                reader = reader(format, "com.sun.");
                reader.setInput(in, false, true);
            }
            String[] warning = new String[1];
            reader.addIIOReadWarningListener((r, message) -> warning[0] = message);
            int width = reader.getWidth(0), height = reader.getHeight(0);
            ImageReadParam param = reader.getDefaultReadParam();
            int step = step(width, height, format, bytes, source);
            param.setSourceSubsampling(step, step, 0, 0);
            BufferedImage image = reader.read(0, param);
            checkEnd(warning[0], bytes, source);
            int transparent = transparent(image, format, bytes);
            if (animated && step == 1) {
                return gifFrame(image, reader, source, transparent);
            }
            return new Image(image.getWidth(), image.getHeight(), Pixels.ofFile(image), source, transparent);
        } finally {
            reader.dispose();
        }
    }

    private static Image webp(byte[] bytes, String source) throws IOException {
        WebP picture = WebP.open(bytes);
        if ((long) picture.width() * picture.height() > FULL_PIXELS) { // its decoder has no subsampling
            throw new HeadstartException(source + ": WebP images may have up to 2^26 pixels, found " + picture.width()
                    + " x " + picture.height() + "; store it smaller or as JPEG");
        }
        return picture.image(bytes, source);
    }

    /** The one colour that is wholly transparent while all others are opaque, as Pillow keeps it; -1 for none. */
    private static int transparent(BufferedImage image, Format format, byte[] b) {
        if (image.getColorModel() instanceof IndexColorModel palette) {
            int found = -1;
            for (int i = 0; i < palette.getMapSize(); i++) {
                int alpha = palette.getAlpha(i);
                if (alpha != 255 && (alpha != 0 || found >= 0)) {
                    return -1;
                }
                found = alpha == 0 ? i : found;
            }
            return found < 0 ? -1 : palette.getRGB(found) & 0xFFFFFF;
        }
        if (format != Format.PNG || b[24] != 8 || b[25] != 0 && b[25] != 2) {
            return -1;
        }
        ByteBuffer in = ByteBuffer.wrap(b);
        for (long at = 8; at + 12 < b.length && !starts(b, (int) at + 4, "IDAT"); ) {
            if (starts(b, (int) at + 4, "tRNS")) { // 16 bits for grey or for each of red, green, blue
                int i = (int) at + 8, step = b[25] == 0 ? 0 : 2;
                return i + 2 * step + 2 > b.length
                        ? -1
                        : (b[i + 1] & 255) << 16 | (b[i + 1 + step] & 255) << 8 | b[i + 1 + 2 * step] & 255;
            }
            at += 12 + (in.getInt((int) at) & 0xFFFFFFFFL);
        }
        return -1;
    }

    /** The JPEG reader fills what is missing with grey and only warns. */
    private static void checkEnd(@Nullable String warning, byte[] bytes, String source) {
        if (warning != null && warning.toLowerCase(Locale.ROOT).contains("premature end")) {
            throw new HeadstartException(source + ": this image is cut short (the file has " + bytes.length
                    + " bytes and ends within the picture); replace the file");
        }
    }

    private static boolean floats(ImageReader reader) throws IOException {
        ImageTypeSpecifier raw = reader.getRawImageType(0);
        return raw != null && raw.getSampleModel().getDataType() == DataBuffer.TYPE_FLOAT;
    }

    private static ImageReader reader(Format format, String preferred) {
        Iterator<ImageReader> all = ImageIO.getImageReadersByFormatName(format.name());
        ImageReader found = null;
        while (all.hasNext()) {
            ImageReader r = all.next();
            if (found == null || r.getClass().getName().startsWith(preferred)) {
                found = r;
            }
        }
        if (found == null) {
            throw new HeadstartException("no ImageIO reader for " + format
                    + " is registered; put com.twelvemonkeys.imageio:imageio-tiff on the class path");
        }
        return found;
    }

    /** By how much the sides are divided while decoding. */
    private static int step(int width, int height, Format format, byte[] bytes, String source) {
        long pixels = (long) width * height;
        if (pixels > MAX_PIXELS) {
            throw new HeadstartException(source + ": the header declares " + width + " x " + height
                    + " pixels, more than the limit of 2^30; "
                    + "this may be a decompression bomb; store the image smaller");
        }
        int bytesPerPixel = 4;
        if (format == Format.PNG) {
            int depth = bytes[24], type = bytes[25];
            int bits = depth * (type == 2 ? 3 : type == 4 ? 2 : type == 6 ? 4 : 1);
            if (pixels * bits / 8 > (long) DEFLATE_LIMIT * bytes.length) {
                throw new HeadstartException(
                        source + ": the header declares " + width + " x " + height + " pixels, which " + bytes.length
                                + " bytes cannot hold; the file is damaged or a decompression bomb");
            }
            bytesPerPixel = Math.max(4, bits / 8);
        }
        int step = 1;
        while ((width / step + 1L) * (height / step + 1L) * bytesPerPixel > 4L * FULL_PIXELS) {
            step++;
        }
        return step;
    }

    /** The first frame at its place on the logical screen; around it the background colour. */
    private static Image gifFrame(BufferedImage frame, ImageReader reader, String source, int transparent)
            throws IOException {
        int left = 0, top = 0, width = frame.getWidth(), height = frame.getHeight();
        Node descriptor = child(reader.getImageMetadata(0), "ImageDescriptor");
        Node screen = child(reader.getStreamMetadata(), "LogicalScreenDescriptor");
        if (descriptor != null && screen != null) {
            left = number(descriptor, "imageLeftPosition");
            top = number(descriptor, "imageTopPosition");
            width = Math.max(left + width, number(screen, "logicalScreenWidth"));
            height = Math.max(top + height, number(screen, "logicalScreenHeight"));
        }
        Image image = new Image(frame.getWidth(), frame.getHeight(), Pixels.ofFile(frame), source, transparent);
        if ((long) width * height > FULL_PIXELS) {
            return image;
        }
        return image.crop(-left, -top, width, height);
    }

    private static @Nullable Node child(@Nullable IIOMetadata metadata, String name) {
        if (metadata == null || metadata.getNativeMetadataFormatName() == null) {
            return null;
        }
        Node node = metadata.getAsTree(metadata.getNativeMetadataFormatName()).getFirstChild();
        while (node != null && !node.getNodeName().equals(name)) {
            node = node.getNextSibling();
        }
        return node;
    }

    private static int number(Node node, String attribute) {
        Node a = node.getAttributes().getNamedItem(attribute);
        return a == null ? 0 : Integer.parseInt(a.getNodeValue());
    }

    // === JPEG with four components ===

    /** Components of the first frame header, 0 when there is none. */
    private static int components(byte[] b) {
        for (int at = 2; at + 9 < b.length; ) {
            if ((b[at] & 255) != 0xFF) {
                return 0;
            }
            int marker = b[at + 1] & 255;
            if (marker == 0xFF) {
                at++;
                continue;
            }
            if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {
                return b[at + 9] & 255;
            }
            at += marker == 0x01 || marker >= 0xD0 && marker <= 0xD8
                    ? 2
                    : 2 + ((b[at + 2] & 255) << 8 | b[at + 3] & 255);
        }
        return 0;
    }

    /** The transform flag of Adobe's APP14 segment: 2 says YCCK; -1 without the segment. */
    private static int adobeTransform(byte[] b) {
        for (int at = 2; at + 16 < b.length && (b[at] & 255) == 0xFF && (b[at + 1] & 255) != 0xDA; ) {
            int length = (b[at + 2] & 255) << 8 | b[at + 3] & 255;
            if ((b[at + 1] & 255) == 0xEE && starts(b, at + 4, "Adobe")) {
                return b[at + 15] & 255;
            }
            at += 2 + length;
        }
        return -1;
    }

    /** CMYK and YCCK: the reader gives the stored components, the conversion is ours, as Pillow's: no profiles, inks taken as inverted. */
    private static Image cmykJpeg(byte[] bytes, String source) throws IOException {
        ImageReader reader = reader(Format.JPEG, Format.JPEG.preferred);
        try (ImageInputStream in = new MemoryCacheImageInputStream(new ByteArrayInputStream(bytes))) {
            reader.setInput(in, true, true);
            String[] warning = new String[1];
            reader.addIIOReadWarningListener((r, message) -> warning[0] = message);
            int fullWidth = reader.getWidth(0), fullHeight = reader.getHeight(0);
            ImageReadParam param = reader.getDefaultReadParam();
            int step = step(fullWidth, fullHeight, Format.JPEG, bytes, source);
            param.setSourceSubsampling(step, step, 0, 0);
            Raster raster = reader.readRaster(0, param);
            checkEnd(warning[0], bytes, source);
            Rectangle r = raster.getBounds();
            byte[] data =
                    raster.getDataBuffer() instanceof DataBufferByte b && b.getData().length == 4 * r.width * r.height
                            ? b.getData()
                            : (byte[]) raster.getDataElements(r.x, r.y, r.width, r.height, null);
            if (adobeTransform(bytes) == 2) {
                for (int i = 0; i < data.length; i += 4) {
                    float y = data[i] & 255, cb = (data[i + 1] & 255) - 128, cr = (data[i + 2] & 255) - 128;
                    // libjpeg turns YCCK into CMYK as 255 minus the RGB of the first three; Adobe's inks are inverted
                    // once more
                    data[i] = clip(255 - (y + 1.402f * cr));
                    data[i + 1] = clip(255 - (y - 0.344136f * cb - 0.714136f * cr));
                    data[i + 2] = clip(255 - (y + 1.772f * cb));
                }
            }
            return new Image(r.width, r.height, Pixels.invertedCmyk(data), source);
        } finally {
            reader.dispose();
        }
    }

    private static byte clip(float v) {
        return (byte) Math.max(0, Math.min(255, Math.round(v)));
    }

    // === orientation ===

    /** Undoes the camera's rotation: orientation 1 to 8 of Exif tag 274. */
    static Image upright(Image image, int orientation) {
        if (orientation < 2 || orientation > 8) {
            return image;
        }
        int w = image.width(), h = image.height();
        boolean swap = orientation >= 5;
        int outWidth = swap ? h : w, outHeight = swap ? w : h;
        byte[] in = image.rgb(), out = new byte[in.length];
        for (int y = 0, o = 0; y < outHeight; y++) {
            for (int x = 0; x < outWidth; x++, o += 3) {
                int sx = switch (orientation) {
                    case 2, 3 -> w - 1 - x;
                    case 4 -> x;
                    case 5, 6 -> y;
                    default -> w - 1 - y;
                };
                int sy = switch (orientation) {
                    case 2 -> y;
                    case 3, 4 -> h - 1 - y;
                    case 5, 8 -> x;
                    default -> h - 1 - x;
                };
                int i = 3 * (sy * w + sx);
                out[o] = in[i];
                out[o + 1] = in[i + 1];
                out[o + 2] = in[i + 2];
            }
        }
        return new Image(outWidth, outHeight, out, image.source(), image.transparent());
    }

    /** Finds the orientation tag in JPEG (APP1), PNG (eXIf), WebP (EXIF) and TIFF files. */
    static final class Exif {
        private Exif() {}

        /** 1 to 8, or 1 when nothing sensible is said. */
        static int orientation(byte[] b) {
            try {
                int tiff = start(b);
                return tiff < 0 ? 1 : tag(b, tiff);
            } catch (IndexOutOfBoundsException e) {
                return 1;
            }
        }

        private static int start(byte[] b) {
            if (starts(b, 0, "II") || starts(b, 0, "MM")) {
                return 0;
            }
            if (starts(b, 0, "\u0089PNG")) {
                ByteBuffer in = ByteBuffer.wrap(b);
                for (long at = 8; at + 8 < b.length; at += 12 + (in.getInt((int) at) & 0xFFFFFFFFL)) {
                    if (starts(b, (int) at + 4, "eXIf")) {
                        return (int) at + 8;
                    }
                }
                return -1;
            }
            if (starts(b, 0, "RIFF")) {
                int at = WebP.chunk(b, "EXIF", 12, b.length);
                return at < 0 ? -1 : at + 8 + (starts(b, at + 8, "Exif\0\0") ? 6 : 0);
            }
            if ((b[0] & 255) == 0xFF) {
                for (int at = 2; at + 10 < b.length && (b[at] & 255) == 0xFF && (b[at + 1] & 255) != 0xDA; ) {
                    if ((b[at + 1] & 255) == 0xE1 && starts(b, at + 4, "Exif\0\0")) {
                        return at + 10;
                    }
                    at += 2 + ((b[at + 2] & 255) << 8 | b[at + 3] & 255);
                }
            }
            return -1;
        }

        private static int tag(byte[] b, int tiff) {
            String order = new String(b, tiff, 2, StandardCharsets.ISO_8859_1);
            ByteBuffer in =
                    ByteBuffer.wrap(b).order(order.equals("II") ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
            if (in.getShort(tiff + 2) != 42) {
                return 1;
            }
            int ifd = tiff + in.getInt(tiff + 4);
            int entries = in.getShort(ifd) & 0xFFFF;
            for (int i = 0; i < entries; i++) {
                int at = ifd + 2 + 12 * i;
                if ((in.getShort(at) & 0xFFFF) == 0x0112) {
                    return in.getShort(at + 8);
                }
            }
            return 1;
        }
    }
}
