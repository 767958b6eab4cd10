package dev.headstart.train.vision;

import dev.headstart.vision.Image;
import java.util.SplittableRandom;

/**
 * The fourteen operations of RandAugment (Cubuk et al. 2019) with the ranges of torchvision's: magnitude 0 to 30; where a direction is possible it is
 * drawn. Geometry takes the nearest sample; what comes from outside is black.
 */
enum RandAugment {
    IDENTITY,
    SHEAR_X,
    SHEAR_Y,
    TRANSLATE_X,
    TRANSLATE_Y,
    ROTATE,
    BRIGHTNESS,
    COLOR,
    CONTRAST,
    SHARPNESS,
    POSTERIZE,
    SOLARIZE,
    AUTO_CONTRAST,
    EQUALIZE;

    private static final RandAugment[] ALL = values();

    static RandAugment draw(SplittableRandom random) {
        return ALL[random.nextInt(ALL.length)];
    }

    Image apply(Image x, int magnitude, SplittableRandom random) {
        double m = magnitude / 30.0, signed = random.nextBoolean() ? m : -m;
        return switch (this) {
            case IDENTITY -> x;
            case SHEAR_X -> affine(x, 1, 0.3 * signed, 0, 1, 0, 0);
            case SHEAR_Y -> affine(x, 1, 0, 0.3 * signed, 1, 0, 0);
            case TRANSLATE_X -> affine(x, 1, 0, 0, 1, 150.0 / 331 * signed * x.width(), 0);
            case TRANSLATE_Y -> affine(x, 1, 0, 0, 1, 0, 150.0 / 331 * signed * x.height());
            case ROTATE -> {
                double a = Math.toRadians(30 * signed), c = Math.cos(a), s = Math.sin(a);
                yield affine(x, c, -s, s, c, 0, 0);
            }
            case BRIGHTNESS -> blend(x, new byte[x.rgb().length], 1 + 0.9 * signed);
            case COLOR -> blend(x, grey(x), 1 + 0.9 * signed);
            case CONTRAST -> blend(x, flat(x), 1 + 0.9 * signed);
            case SHARPNESS -> blend(x, smooth(x), 1 + 0.9 * signed);
            case POSTERIZE -> map(x, v -> v & -(1 << (int) Math.round(m * 4)));
            case SOLARIZE -> map(x, v -> v >= 255 * (1 - m) ? 255 - v : v);
            case AUTO_CONTRAST -> autoContrast(x);
            case EQUALIZE -> equalize(x);
        };
    }

    /** Output (i, j) about the centre is input (a i + b j + dx, c i + d j + dy). */
    private static Image affine(Image x, double a, double b, double c, double d, double dx, double dy) {
        int w = x.width(), h = x.height();
        byte[] in = x.rgb(), out = new byte[in.length];
        double cx = (w - 1) / 2.0, cy = (h - 1) / 2.0;
        for (int j = 0, o = 0; j < h; j++) {
            for (int i = 0; i < w; i++, o += 3) {
                int sx = (int) Math.rint(a * (i - cx) + b * (j - cy) + cx + dx);
                int sy = (int) Math.rint(c * (i - cx) + d * (j - cy) + cy + dy);
                if (sx >= 0 && sy >= 0 && sx < w && sy < h) {
                    System.arraycopy(in, 3 * (sy * w + sx), out, o, 3);
                }
            }
        }
        return new Image(w, h, out, x.source());
    }

    /** other + factor (x - other), kept in range. */
    private static Image blend(Image x, byte[] other, double factor) {
        byte[] in = x.rgb(), out = new byte[in.length];
        for (int i = 0; i < in.length; i++) {
            double o = other[i] & 255;
            out[i] = (byte) Math.max(0, Math.min(255, (int) (o + factor * ((in[i] & 255) - o))));
        }
        return new Image(x.width(), x.height(), out, x.source());
    }

    private static int luma(byte[] rgb, int i) {
        return (int) Math.round(0.299 * (rgb[i] & 255) + 0.587 * (rgb[i + 1] & 255) + 0.114 * (rgb[i + 2] & 255));
    }

    private static byte[] grey(Image x) {
        byte[] in = x.rgb(), out = new byte[in.length];
        for (int i = 0; i < in.length; i += 3) {
            out[i] = out[i + 1] = out[i + 2] = (byte) luma(in, i);
        }
        return out;
    }

    private static byte[] flat(Image x) {
        byte[] in = x.rgb(), out = new byte[in.length];
        long sum = 0;
        for (int i = 0; i < in.length; i += 3) {
            sum += luma(in, i);
        }
        java.util.Arrays.fill(out, (byte) Math.round(3.0 * sum / in.length));
        return out;
    }

    /** The 3x3 filter (1 1 1, 1 5 1, 1 1 1) / 13; the border stays. */
    private static byte[] smooth(Image x) {
        int w = x.width(), stride = 3 * w;
        byte[] in = x.rgb(), out = in.clone();
        for (int y = 1; y < x.height() - 1; y++) {
            for (int i = y * stride + 3; i < (y + 1) * stride - 3; i++) {
                int sum = 4 * (in[i] & 255);
                for (int row = i - stride; row <= i + stride; row += stride) {
                    sum += (in[row - 3] & 255) + (in[row] & 255) + (in[row + 3] & 255);
                }
                out[i] = (byte) Math.round(sum / 13f);
            }
        }
        return out;
    }

    private interface Sample {
        int of(int value);
    }

    private static Image map(Image x, Sample function) {
        byte[] table = new byte[256], out = x.rgb().clone();
        for (int v = 0; v < 256; v++) {
            table[v] = (byte) function.of(v);
        }
        for (int i = 0; i < out.length; i++) {
            out[i] = table[out[i] & 255];
        }
        return new Image(x.width(), x.height(), out, x.source());
    }

    private static int[][] histograms(Image x) {
        int[][] counts = new int[3][256];
        byte[] in = x.rgb();
        for (int i = 0; i < in.length; i++) {
            counts[i % 3][in[i] & 255]++;
        }
        return counts;
    }

    private static Image byChannel(Image x, byte[][] tables) {
        byte[] out = x.rgb().clone();
        for (int i = 0; i < out.length; i++) {
            out[i] = tables[i % 3][out[i] & 255];
        }
        return new Image(x.width(), x.height(), out, x.source());
    }

    private static Image autoContrast(Image x) {
        byte[][] tables = new byte[3][256];
        int[][] counts = histograms(x);
        for (int c = 0; c < 3; c++) {
            int low = 0, high = 255;
            while (low < 255 && counts[c][low] == 0) {
                low++;
            }
            while (high > low && counts[c][high] == 0) {
                high--;
            }
            for (int v = 0; v < 256; v++) {
                tables[c][v] =
                        (byte) (high == low ? v : Math.max(0, Math.min(255, (int) ((v - low) * 255.0 / (high - low)))));
            }
        }
        return byChannel(x, tables);
    }

    /** PIL.ImageOps.equalize. */
    private static Image equalize(Image x) {
        byte[][] tables = new byte[3][256];
        int[][] counts = histograms(x);
        for (int c = 0; c < 3; c++) {
            int last = 255;
            while (last > 0 && counts[c][last] == 0) {
                last--;
            }
            int step = (x.width() * x.height() - counts[c][last]) / 255;
            int sum = step / 2;
            for (int v = 0; v < 256; v++) {
                tables[c][v] = (byte) (step == 0 ? v : Math.min(255, sum / step));
                sum += counts[c][v];
            }
        }
        return byChannel(x, tables);
    }
}
