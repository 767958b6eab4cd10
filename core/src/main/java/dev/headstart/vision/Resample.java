package dev.headstart.vision;

import dev.headstart.HeadstartException;

/**
 * Antialiased resampling equal to Pillow's: separable filters, whose support grows with the reduction, in fixed-point arithmetic, rounded to 8 bits
 * after each of the two passes (Pillow {@code Resample.c}). torch's kernel for bytes, which torchvision and with it transformers' processors use, has
 * coarser weights, so that its result is up to two grey levels off: it can be asked for.
 * The codes are those that {@code preprocessor_config.json} holds under {@code resample}.
 */
public enum Resample {
    /** The nearest sample, no filtering; where two are as near, as Pillow chooses. */
    NEAREST(0, 0),
    /** The nearest sample, no filtering; where two are as near, as torch chooses ({@code nearest-exact}). */
    NEAREST_EXACT(0, 0),
    /** Windowed sinc of three lobes. */
    LANCZOS(1, 3),
    /** Triangle. */
    BILINEAR(2, 1),
    /** Cubic convolution with a = -0.5. */
    BICUBIC(3, 2),
    /** Mean of the covered samples. */
    BOX(4, 0.5),
    /** Hamming-windowed sinc of one lobe. */
    HAMMING(5, 1);

    /** Bits after the point of the fixed-point weights: 8 bits of sample, 2 of headroom, 22 of weight. */
    private static final int PRECISION = 22;

    private final int code;
    private final double support;

    Resample(int code, double support) {
        this.code = code;
        this.support = support;
    }

    /** Pillow's number of this filter. */
    public int code() {
        return code;
    }

    /**
     * The filter of a code.
     *
     * @param code 0 to 5
     * @param where what the error names
     */
    public static Resample of(int code, String where) {
        for (Resample r : values()) {
            if (r.code == code && r != NEAREST) { // processors resize with torch
                return r;
            }
        }
        throw new HeadstartException(where
                + ": resample must be 0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic), 4 (box) or 5 (hamming), found "
                + code);
    }

    /**
     * The filter of a name as timm and torchvision write it.
     *
     * @param where what the error names
     */
    public static Resample of(String name, String where) {
        return switch (name) {
            case "nearest" -> NEAREST;
            case "nearest-exact" -> NEAREST_EXACT;
            case "lanczos" -> LANCZOS;
            case "bilinear", "random" -> BILINEAR;
            case "bicubic" -> BICUBIC;
            case "box" -> BOX;
            case "hamming" -> HAMMING;
            default ->
                throw new HeadstartException(where
                        + ": interpolation must be nearest, lanczos, bilinear, bicubic, box or hamming, found " + name);
        };
    }

    Image resize(Image image, int width, int height) {
        return resize(image, width, height, 0, 0, width, height, false);
    }

    /**
     * Resizes and crops in one go: only the samples of the window are computed.
     *
     * @param width columns of the whole resized image
     * @param height rows of the whole resized image
     * @param left first column of the window, within the resized image
     * @param top first row of the window
     * @param coarse whether weights have 16 bits, as torch's kernel for bytes has them, or Pillow's 32
     */
    Image resize(
            Image image, int width, int height, int left, int top, int windowWidth, int windowHeight, boolean coarse) {
        if (width < 1 || height < 1) {
            throw new HeadstartException(image.source() + ": cannot be resized from " + image.width() + " x "
                    + image.height() + " to " + width + " x " + height + "; sides must be at least 1 pixel");
        }
        if (width == image.width() && height == image.height()) {
            return image.crop(left, top, windowWidth, windowHeight);
        }
        if (support == 0) {
            return nearest(image, width, height, left, top, windowWidth, windowHeight);
        }
        Weights columns = new Weights(image.width(), width, left, windowWidth, coarse);
        Weights rows = new Weights(image.height(), height, top, windowHeight, coarse);
        boolean sameRows = height == image.height();
        int first = sameRows ? top : rows.start[0];
        int last = sameRows ? top + windowHeight : rows.start[windowHeight - 1] + rows.count[windowHeight - 1];
        byte[] wide = width == image.width() && left == 0 && windowWidth == width
                ? java.util.Arrays.copyOfRange(image.rgb(), 3 * first * width, 3 * last * width)
                : horizontal(image, columns, first, last);
        byte[] result = sameRows ? wide : vertical(wide, 3 * windowWidth, rows, first);
        return new Image(windowWidth, windowHeight, result, image.source());
    }

    private static byte[] horizontal(Image image, Weights weights, int first, int last) {
        int out = weights.start.length, stride = 3 * image.width();
        byte[] source = image.rgb(), result = new byte[Math.multiplyExact(3 * out, last - first)];
        int[] taps = weights.taps;
        for (int y = first, o = 0; y < last; y++) {
            int row = y * stride;
            for (int x = 0; x < out; x++, o += 3) {
                int r = 1 << weights.precision - 1, g = r, b = r;
                int i = row + 3 * weights.start[x], k = x * weights.size, end = k + weights.count[x];
                for (; k < end; k++, i += 3) {
                    int w = taps[k];
                    r += w * (source[i] & 255);
                    g += w * (source[i + 1] & 255);
                    b += w * (source[i + 2] & 255);
                }
                result[o] = clip(r >> weights.precision);
                result[o + 1] = clip(g >> weights.precision);
                result[o + 2] = clip(b >> weights.precision);
            }
        }
        return result;
    }

    /** Sums whole rows, so that the inner loop runs over consecutive samples. */
    private static byte[] vertical(byte[] source, int stride, Weights weights, int first) {
        int out = weights.start.length;
        byte[] result = new byte[Math.multiplyExact(stride, out)];
        int[] sums = new int[stride];
        for (int y = 0; y < out; y++) {
            java.util.Arrays.fill(sums, 1 << weights.precision - 1);
            for (int k = 0; k < weights.count[y]; k++) {
                accumulate(sums, source, (weights.start[y] - first + k) * stride, weights.taps[y * weights.size + k]);
            }
            for (int i = 0, o = y * stride; i < stride; i++, o++) {
                result[o] = clip(sums[i] >> weights.precision);
            }
        }
        return result;
    }

    private static void accumulate(int[] sums, byte[] source, int offset, int weight) {
        for (int i = 0; i < sums.length; i++) {
            sums[i] += weight * (source[offset + i] & 255);
        }
    }

    private static byte clip(int sample) {
        return (byte) Math.max(0, Math.min(255, sample));
    }

    private Image nearest(Image image, int width, int height, int left, int top, int windowWidth, int windowHeight) {
        byte[] result = new byte[Math.multiplyExact(3 * windowWidth, windowHeight)];
        int[] rows = nearest(image.height(), height), columns = nearest(image.width(), width);
        for (int y = 0, o = 0; y < windowHeight; y++) {
            int row = rows[top + y] * image.width();
            for (int x = 0; x < windowWidth; x++, o += 3) {
                int i = 3 * (row + columns[left + x]);
                result[o] = image.rgb()[i];
                result[o + 1] = image.rgb()[i + 1];
                result[o + 2] = image.rgb()[i + 2];
            }
        }
        return new Image(windowWidth, windowHeight, result, image.source());
    }

    /** Which of {@code in} samples each of {@code out} takes. Pillow adds up the positions, torch multiplies in float32. */
    private int[] nearest(int in, int out) {
        int[] from = new int[out];
        double step = (double) in / out, at = step * 0.5;
        float scale = (float) in / out;
        for (int i = 0; i < out; i++, at += step) {
            from[i] = Math.min(in - 1, (int) (this == NEAREST ? at : Math.floor((i + 0.5f) * scale)));
        }
        return from;
    }

    private double filter(double x) {
        double a = Math.abs(x);
        return switch (this) {
            case NEAREST, NEAREST_EXACT -> throw new IllegalStateException("nearest has no filter");
            case BOX -> x > -0.5 && x <= 0.5 ? 1 : 0;
            case BILINEAR -> a < 1 ? 1 - a : 0;
            case HAMMING ->
                a == 0 ? 1 : a >= 1 ? 0 : Math.sin(a * Math.PI) / (a * Math.PI) * (0.54 + 0.46 * Math.cos(a * Math.PI));
            case BICUBIC -> a < 1 ? (1.5 * a - 2.5) * a * a + 1 : a < 2 ? ((-0.5 * a + 2.5) * a - 4) * a + 2 : 0;
            case LANCZOS -> a < 3 ? sinc(x) * sinc(x / 3) : 0;
        };
    }

    private static double sinc(double x) {
        return x == 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
    }

    /** Which input samples make each output sample of one axis, and with which fixed-point weights. */
    private final class Weights {
        final int size;
        final int[] start;
        final int[] count;
        final int[] taps;
        /** Bits after the point. */
        final int precision;

        Weights(int in, int out, int offset, int window, boolean coarse) {
            double scale = (double) in / out, stretch = Math.max(scale, 1), reach = support * stretch;
            size = (int) Math.ceil(reach) * 2 + 1;
            start = new int[window];
            count = new int[window];
            taps = new int[Math.multiplyExact(window, size)];
            double[] k = new double[size];
            double largest = 0;
            for (int i = 0; coarse && i < out; i++) {
                exact(k, in, scale, stretch, i);
                for (double w : k) {
                    largest = Math.max(largest, w);
                }
            }
            precision = coarse ? coarsePrecision(largest) : PRECISION;
            for (int i = 0; i < window; i++) {
                long range = exact(k, in, scale, stretch, offset + i);
                start[i] = (int) (range >> 32);
                count[i] = (int) range;
                for (int j = 0; j < count[i]; j++) {
                    taps[i * size + j] = (int) (k[j] * (1 << precision) + (k[j] < 0 ? -0.5 : 0.5));
                }
            }
        }

        /** The weights of output sample {@code i}, whose sum is 1, into {@code k}. @return first input sample in the upper half, number in the lower */
        private long exact(double[] k, int in, double scale, double stretch, int i) {
            double center = (i + 0.5) * scale, reach = support * stretch, sum = 0;
            int from = Math.max(0, (int) (center - reach + 0.5));
            int n = Math.min(in, (int) (center + reach + 0.5)) - from;
            for (int j = 0; j < n; j++) {
                sum += k[j] = filter((j + from - center + 0.5) / stretch);
            }
            for (int j = 0; j < k.length; j++) {
                k[j] = j >= n ? 0 : sum == 0 ? k[j] : k[j] / sum;
            }
            return (long) from << 32 | n;
        }
    }

    /** As many bits as keep the largest weight below 2^15 (ATen {@code UpSampleKernelAVXAntialias.h}, after Pillow-SIMD). */
    private static int coarsePrecision(double largest) {
        int bits = 0;
        while (bits < 22 && (int) (0.5 + largest * (1 << bits + 1)) < 1 << 15) {
            bits++;
        }
        return bits;
    }
}
