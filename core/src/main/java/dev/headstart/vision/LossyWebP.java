package dev.headstart.vision;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * Lossy WebP as libwebp shows it. TwelveMonkeys predicts from samples that the loop filter has already changed, repeats the two colour planes, which have
 * half the size, and loses files of fast encoders altogether; so frames are decoded here ({@link Vp8}), and the colours interpolated and converted as
 * libwebp does ({@code upsampling.c}, {@code yuv.h}).
 */
final class LossyWebP {
    private LossyWebP() {}

    /**
     * Decodes the picture.
     *
     * @param at where its frame begins in the file: behind the head of the chunk {@code VP8 }
     * @return RGB samples, or null where the tables that are needed are not there
     * @throws IOException when it is no such frame or of other sizes
     */
    static byte @Nullable [] rgb(byte[] file, int at, int end, int width, int height) throws IOException {
        Vp8Tables tables = Vp8Tables.FOUND;
        if (tables == null) {
            return null;
        }
        Vp8 frame = new Vp8(file, at, end, tables);
        if (frame.width != width || frame.height != height) {
            throw new IOException("the frame has other sizes than the file's header");
        }
        frame.decode();
        byte[] result = new byte[Math.multiplyExact(3, Math.multiplyExact(width, height))];
        int last = (height + 1) / 2 - 1;
        for (int row = 0; row < height; row++) {
            int near = row / 2, far = (row & 1) == 0 ? Math.max(0, near - 1) : Math.min(last, near + 1);
            line(frame, result, row, near, far);
        }
        return result;
    }

    /** One row; the colours come from the nearer row of colours and the next but one. */
    private static void line(Vp8 frame, byte[] result, int row, int near, int far) {
        byte[] y = frame.luma().samples, u = frame.blue().samples, v = frame.red().samples;
        int width = frame.width, columns = (width + 1) / 2;
        int light = frame.luma().at(0, row),
                n = frame.blue().at(0, near),
                f = frame.blue().at(0, far);
        for (int x = 0, o = 3 * row * width; x < width; x++, o += 3) {
            int a = x / 2, b = (x & 1) == 0 ? a - 1 : a + 1; // nearer and farther column
            boolean edge = b < 0 || b >= columns;
            int cb = edge ? between(u, n + a, f + a) : among(u, n + a, n + b, f + a, f + b);
            int cr = edge ? between(v, n + a, f + a) : among(v, n + a, n + b, f + a, f + b);
            put(result, o, y[light + x] & 255, cb, cr);
        }
    }

    private static int between(byte[] plane, int near, int far) {
        return (3 * (plane[near] & 255) + (plane[far] & 255) + 2) >> 2;
    }

    /** 9/16 of the nearest, 3/16 of its two neighbours, 1/16 of the one across, rounded as libwebp does. */
    private static int among(byte[] plane, int nearest, int beside, int above, int across) {
        int n = plane[nearest] & 255, s = plane[beside] & 255, o = plane[above] & 255, c = plane[across] & 255;
        int diagonal = (n + s + o + c + 8 + 2 * (s + o)) >> 3;
        return (diagonal + n) >> 1;
    }

    private static void put(byte[] result, int i, int y, int u, int v) {
        int light = y * 19077 >> 8;
        result[i] = clip(light + (v * 26149 >> 8) - 14234);
        result[i + 1] = clip(light - (u * 6419 >> 8) - (v * 13320 >> 8) + 8708);
        result[i + 2] = clip(light + (u * 33050 >> 8) - 17685);
    }

    private static byte clip(int value) {
        return (byte) (value < 0 ? 0 : Math.min(255, value >> 6));
    }
}
