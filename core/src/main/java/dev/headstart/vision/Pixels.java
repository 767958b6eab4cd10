package dev.headstart.vision;

import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.DataBuffer;
import java.awt.image.DataBufferByte;
import java.awt.image.IndexColorModel;
import java.awt.image.PixelInterleavedSampleModel;
import java.awt.image.Raster;

/**
 * The samples of AWT images as 8-bit RGB, without colour management: as Pillow does, profiles are not applied. (AWT's own {@code getRGB} would
 * convert grey as if it were linear light.)
 */
final class Pixels {
    private Pixels() {}

    /**
     * The samples of an image that a file was decoded to, which may be taken apart. Grey of more than 8 bits without alpha, integers or floats, is not scaled:
     * values above 255 become 255 and fractions are cut off, as Pillow turns its modes I;16, I and F into RGB.
     */
    static byte[] ofFile(BufferedImage image) {
        ColorModel model = image.getColorModel();
        if (model instanceof IndexColorModel
                || image.getRaster().getNumBands() != 1
                || model.getColorSpace().getType() != ColorSpace.TYPE_GRAY
                || model.getComponentSize(0) <= 8) {
            return rgb(image, true);
        }
        Raster raster = image.getRaster();
        int w = raster.getWidth(), h = raster.getHeight();
        byte[] result = new byte[Math.multiplyExact(3, Math.multiplyExact(w, h))];
        double[] row = new double[w];
        for (int y = 0, o = 0; y < h; y++) {
            raster.getSamples(raster.getMinX(), raster.getMinY() + y, w, 1, 0, row);
            for (int x = 0; x < w; x++, o += 3) {
                result[o] = result[o + 1] = result[o + 2] = (byte) Math.max(0, Math.min(255, row[x]));
            }
        }
        return result;
    }

    /**
     * The samples of any image; 16 bits are scaled to 8.
     *
     * @param owned whether the image may be taken apart: its own array may become the result
     */
    static byte[] rgb(BufferedImage image, boolean owned) {
        int w = image.getWidth(), h = image.getHeight();
        ColorModel model = image.getColorModel();
        Raster raster = image.getRaster();
        if (model instanceof IndexColorModel palette) {
            return indexed(raster, palette);
        }
        int colours = model.getNumColorComponents();
        boolean integral = raster.getTransferType() == DataBuffer.TYPE_BYTE
                || raster.getTransferType() == DataBuffer.TYPE_USHORT
                || raster.getTransferType() == DataBuffer.TYPE_INT;
        int space = model.getColorSpace().getType();
        if (!integral
                || space != ColorSpace.TYPE_RGB && space != ColorSpace.TYPE_GRAY && space != ColorSpace.TYPE_CMYK) {
            return converted(image);
        }
        byte[] direct = colours == 3 ? interleaved(image, owned) : null;
        if (direct != null) {
            return direct;
        }
        int bands = raster.getNumBands();
        int[] bits = model.getComponentSize();
        byte[] result = new byte[Math.multiplyExact(3, Math.multiplyExact(w, h))];
        int[] row = new int[bands * w];
        for (int y = 0, o = 0; y < h; y++) {
            raster.getPixels(raster.getMinX(), raster.getMinY() + y, w, 1, row);
            for (int x = 0, i = 0; x < w; x++, i += bands, o += 3) {
                if (colours == 1) {
                    result[o] = result[o + 1] = result[o + 2] = eight(row[i], bits[0]);
                } else if (colours == 3) {
                    result[o] = eight(row[i], bits[0]);
                    result[o + 1] = eight(row[i + 1], bits[1]);
                    result[o + 2] = eight(row[i + 2], bits[2]);
                } else {
                    int light = 255 - (eight(row[i + 3], bits[3]) & 255);
                    for (int c = 0; c < 3; c++) {
                        result[o + c] = (byte) Math.max(0, light - mulDiv255(eight(row[i + c], bits[c]) & 255, light));
                    }
                }
            }
        }
        return result;
    }

    /** CMYK as libjpeg gives it from Adobe's files (inverted: 255 is no ink), four bytes a pixel, to RGB. */
    static byte[] invertedCmyk(byte[] cmyk) {
        byte[] result = new byte[cmyk.length / 4 * 3];
        for (int i = 0, o = 0; o < result.length; i += 4, o += 3) {
            int light = cmyk[i + 3] & 255;
            for (int c = 0; c < 3; c++) {
                result[o + c] = (byte) Math.max(0, light - mulDiv255(255 - (cmyk[i + c] & 255), light));
            }
        }
        return result;
    }

    private static int mulDiv255(int a, int b) {
        int t = a * b + 128;
        return (t >> 8) + t >> 8;
    }

    private static byte eight(int sample, int bits) {
        return (byte) (bits == 8 ? sample : bits > 8 ? sample >>> bits - 8 : sample * 255 / ((1 << bits) - 1));
    }

    private static byte[] indexed(Raster raster, IndexColorModel palette) {
        int w = raster.getWidth(), h = raster.getHeight(), colours = palette.getMapSize();
        byte[] red = new byte[colours], green = new byte[colours], blue = new byte[colours];
        palette.getReds(red);
        palette.getGreens(green);
        palette.getBlues(blue);
        byte[] result = new byte[Math.multiplyExact(3, Math.multiplyExact(w, h))];
        int[] row = new int[w];
        for (int y = 0, o = 0; y < h; y++) {
            raster.getSamples(raster.getMinX(), raster.getMinY() + y, w, 1, 0, row);
            for (int x = 0; x < w; x++, o += 3) {
                int i = Math.min(row[x], colours - 1);
                result[o] = red[i];
                result[o + 1] = green[i];
                result[o + 2] = blue[i];
            }
        }
        return result;
    }

    /** Bytes side by side in one array (what the readers give for 8-bit RGB and RGBA), or null. */
    private static byte @org.jspecify.annotations.Nullable [] interleaved(BufferedImage image, boolean owned) {
        Raster raster = image.getRaster();
        if (!(raster.getDataBuffer() instanceof DataBufferByte buffer)
                || !(raster.getSampleModel() instanceof PixelInterleavedSampleModel samples)
                || buffer.getNumBanks() != 1
                || image.isAlphaPremultiplied()) {
            return null;
        }
        int w = raster.getWidth(), h = raster.getHeight();
        int step = samples.getPixelStride(), stride = samples.getScanlineStride();
        int[] offsets = samples.getBandOffsets();
        byte[] data = buffer.getData();
        int base = buffer.getOffset()
                - raster.getSampleModelTranslateY() * stride
                - raster.getSampleModelTranslateX() * step;
        int r = base + offsets[0], g = base + offsets[1], b = base + offsets[2];
        if (owned && step == 3 && stride == 3 * w && base == 0 && data.length == 3 * w * h) {
            if (offsets[0] == 2) { // blue first: exchanged in place
                for (int i = 0; i < data.length; i += 3) {
                    byte t = data[i];
                    data[i] = data[i + 2];
                    data[i + 2] = t;
                }
                return data;
            }
            if (offsets[0] == 0 && offsets[1] == 1) {
                return data;
            }
        }
        byte[] result = new byte[Math.multiplyExact(3, Math.multiplyExact(w, h))];
        for (int y = 0, o = 0; y < h; y++) {
            for (int x = 0, i = y * stride; x < w; x++, i += step, o += 3) {
                result[o] = data[r + i];
                result[o + 1] = data[g + i];
                result[o + 2] = data[b + i];
            }
        }
        return result;
    }

    /** What is left (floats, packed pixels of odd kinds, Lab ...): AWT converts. */
    private static byte[] converted(BufferedImage image) {
        int w = image.getWidth(), h = image.getHeight();
        byte[] result = new byte[Math.multiplyExact(3, Math.multiplyExact(w, h))];
        int[] row = new int[w];
        for (int y = 0, o = 0; y < h; y++) {
            image.getRGB(0, y, w, 1, row, 0, w);
            for (int x = 0; x < w; x++, o += 3) {
                result[o] = (byte) (row[x] >> 16);
                result[o + 1] = (byte) (row[x] >> 8);
                result[o + 2] = (byte) row[x];
            }
        }
        return result;
    }
}
