package dev.headstart.vision;

import com.twelvemonkeys.imageio.plugins.webp.vp8.VP8Frame;
import java.awt.Point;
import java.awt.image.DataBuffer;
import java.awt.image.DataBufferByte;
import java.awt.image.PixelInterleavedSampleModel;
import java.awt.image.WritableRaster;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.lang.reflect.Field;
import javax.imageio.ImageReadParam;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;
import org.jspecify.annotations.Nullable;

/**
 * Lossy WebP as libwebp shows it. TwelveMonkeys decodes the planes but repeats the two colour planes, which have half the size, and converts by another
 * table: at coloured edges that is up to 60 grey levels off. Here its planes are taken, and the colours interpolated and converted as libwebp does
 * ({@code upsampling.c}, {@code yuv.h}).
 */
final class LossyWebP {
    /** Where the decoder keeps the samples of the pixel that it is about to convert. */
    private static final @Nullable Field SAMPLES = samples();

    private LossyWebP() {}

    private static @Nullable Field samples() {
        try {
            Field field = VP8Frame.class.getDeclaredField("yuv");
            field.setAccessible(true);
            return field.getType() == byte[].class ? field : null;
        } catch (ReflectiveOperationException | RuntimeException e) { // another version: its own conversion stays
            return null;
        }
    }

    /**
     * Decodes the picture.
     *
     * @param at where its frame begins in the file: behind the head of the chunk {@code VP8 }
     * @return RGB samples, or null where the decoder does not give its planes
     */
    static byte @Nullable [] rgb(byte[] file, int at, int width, int height) throws IOException {
        if (SAMPLES == null) {
            return null;
        }
        try (ImageInputStream in =
                new MemoryCacheImageInputStream(new ByteArrayInputStream(file, at, file.length - at))) {
            VP8Frame frame = new VP8Frame(in, false);
            Planes planes = new Planes(width, height, (byte[]) SAMPLES.get(frame));
            frame.decode(planes, new ImageReadParam());
            return frame.getWidth() == width && frame.getHeight() == height ? planes.rgb() : null;
        } catch (IllegalAccessException e) {
            return null;
        }
    }

    /** Takes each pixel's three samples in place of its colour. */
    private static final class Planes extends WritableRaster {
        private final byte[] y;
        private final byte[] u;
        private final byte[] v;
        private final int half;
        private final byte[] samples;

        Planes(int width, int height, byte[] samples) {
            super(
                    new PixelInterleavedSampleModel(
                            DataBuffer.TYPE_BYTE, width, height, 3, 3 * width, new int[] {0, 1, 2}),
                    new DataBufferByte(1), // nothing is stored in it
                    new Point());
            this.samples = samples;
            half = (width + 1) / 2;
            y = new byte[Math.multiplyExact(width, height)];
            u = new byte[half * ((height + 1) / 2)];
            v = new byte[u.length];
        }

        @Override
        public void setDataElements(int column, int row, Object colour) {
            y[row * width + column] = samples[0];
            if ((row & 1) == 0 && (column & 1) == 0) {
                int i = row / 2 * half + column / 2;
                u[i] = samples[1];
                v[i] = samples[2];
            }
        }

        byte[] rgb() {
            byte[] result = new byte[Math.multiplyExact(3, y.length)];
            int last = (height + 1) / 2 - 1;
            for (int row = 0; row < height; row++) {
                int near = row / 2, far = (row & 1) == 0 ? Math.max(0, near - 1) : Math.min(last, near + 1);
                line(result, row, near * half, far * half);
            }
            return result;
        }

        /** One row; the colours come from the nearer row of colours and the next but one. */
        private void line(byte[] result, int row, int near, int far) {
            for (int x = 0, i = row * width; x < width; x++, i++) {
                int a = x / 2, b = (x & 1) == 0 ? a - 1 : a + 1; // nearer and farther column
                boolean edge = b < 0 || b >= half;
                int cb = edge ? between(u, near + a, far + a) : among(u, near + a, near + b, far + a, far + b);
                int cr = edge ? between(v, near + a, far + a) : among(v, near + a, near + b, far + a, far + b);
                put(result, 3 * i, y[i] & 255, cb, cr);
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
}
