package dev.headstart.vision;

import com.twelvemonkeys.imageio.plugins.webp.vp8.VP8Frame;
import java.awt.Point;
import java.awt.image.DataBuffer;
import java.awt.image.DataBufferByte;
import java.awt.image.PixelInterleavedSampleModel;
import java.awt.image.WritableRaster;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.lang.reflect.AccessibleObject;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.stream.Stream;
import javax.imageio.ImageReadParam;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;
import org.jspecify.annotations.Nullable;

/**
 * Lossy WebP as libwebp shows it. TwelveMonkeys predicts from samples that the loop filter has already changed, repeats the two colour planes, which have
 * half the size, and converts by another table: together up to 60 grey levels off. Here its reconstructed planes are taken, unfiltered; filter ({@link
 * Vp8Filter}), interpolation and conversion are libwebp's ({@code upsampling.c}, {@code yuv.h}).
 */
final class LossyWebP {
    /** What is looked into; null when this version of TwelveMonkeys has it under other names: its own conversion stays then. */
    private static final @Nullable Inside INSIDE = Inside.find();

    private LossyWebP() {}

    /** The decoder's state. @param samples of the pixel it is about to convert; @param skipsInner of a macroblock, whether its inner edges stay */
    private record Inside(
            Field samples, Field level, Field levels, Field sharpness, Field simple, Field row, Method skipsInner) {

        static @Nullable Inside find() {
            try {
                Class<?> frame = VP8Frame.class;
                Field row = frame.getDeclaredField("currentMacroBlockRow");
                Inside inside = new Inside(
                        frame.getDeclaredField("yuv"),
                        frame.getDeclaredField("filterLevel"),
                        frame.getDeclaredField("filterLevels"),
                        frame.getDeclaredField("sharpnessLevel"),
                        frame.getDeclaredField("simpleFilter"),
                        row,
                        row.getType().getComponentType().getDeclaredMethod("isSkip_inner_lf"));
                Stream.of(
                                inside.samples,
                                inside.level,
                                inside.levels,
                                inside.sharpness,
                                inside.simple,
                                row,
                                inside.skipsInner)
                        .forEach((AccessibleObject part) -> part.setAccessible(true));
                return inside;
            } catch (ReflectiveOperationException | RuntimeException e) {
                return null;
            }
        }
    }

    /**
     * Decodes the picture.
     *
     * @param at where its frame begins in the file: behind the head of the chunk {@code VP8 }
     * @return RGB samples, or null where the decoder does not give its planes
     */
    static byte @Nullable [] rgb(byte[] file, int at, int width, int height) throws IOException {
        if (INSIDE == null) {
            return null;
        }
        try (ImageInputStream in =
                new MemoryCacheImageInputStream(new ByteArrayInputStream(file, at, file.length - at))) {
            VP8Frame frame = new VP8Frame(in, false);
            Planes planes = new Planes(width, height, frame, INSIDE);
            frame.decode(planes, planes.new Watch());
            return frame.getWidth() == width && frame.getHeight() == height ? planes.rgb() : null;
        } catch (IllegalAccessException e) {
            return null;
        }
    }

    /** Takes each pixel's three samples in place of its colour; its sides are whole macroblocks. */
    private static final class Planes extends WritableRaster {
        private final VP8Frame frame;
        private final Inside inside;
        private final int shownWidth;
        private final int shownHeight;
        private final int half;
        private final byte[] samples;
        private final byte[] y;
        private final byte[] u;
        private final byte[] v;
        private final boolean[] inner;
        private int level;

        Planes(int shownWidth, int shownHeight, VP8Frame frame, Inside inside) throws IllegalAccessException {
            super(
                    new PixelInterleavedSampleModel(
                            DataBuffer.TYPE_BYTE,
                            (shownWidth + 15) / 16 * 16,
                            (shownHeight + 15) / 16 * 16,
                            3,
                            3 * ((shownWidth + 15) / 16 * 16),
                            new int[] {0, 1, 2}),
                    new DataBufferByte(1), // nothing is stored in it
                    new Point());
            this.frame = frame;
            this.inside = inside;
            this.shownWidth = shownWidth;
            this.shownHeight = shownHeight;
            samples = (byte[]) inside.samples.get(frame);
            half = width / 2;
            y = new byte[Math.multiplyExact(width, height)];
            u = new byte[y.length / 4];
            v = new byte[y.length / 4];
            inner = new boolean[y.length / 256];
        }

        /** Asked for the subsampling between the frame's header and its first row: there the decoder's own filter is switched off. */
        private final class Watch extends ImageReadParam {
            @Override
            public int getSourceXSubsampling() {
                try {
                    int stated = inside.level.getInt(frame);
                    level = stated > 0 ? stated : level;
                    inside.level.setInt(frame, 0);
                } catch (IllegalAccessException e) {
                    throw new IllegalStateException(e);
                }
                return super.getSourceXSubsampling();
            }
        }

        @Override
        public void setDataElements(int column, int row, Object colour) {
            y[row * width + column] = samples[0];
            if ((row & 1) == 0 && (column & 1) == 0) {
                int i = row / 2 * half + column / 2;
                u[i] = samples[1];
                v[i] = samples[2];
            }
            if ((row & 15) == 0 && (column & 15) == 0) {
                try {
                    Object block = ((Object[]) inside.row.get(frame))[column / 16];
                    inner[row / 16 * (width / 16) + column / 16] = !(Boolean) inside.skipsInner.invoke(block);
                } catch (ReflectiveOperationException e) {
                    throw new IllegalStateException(e);
                }
            }
        }

        byte[] rgb() throws IllegalAccessException {
            if (level > 0) {
                int[][] levels = (int[][]) inside.levels.get(frame);
                Vp8Filter filter =
                        new Vp8Filter(y, u, v, width, inside.sharpness.getInt(frame), inside.simple.getBoolean(frame));
                for (int row = 0, i = 0; row < height / 16; row++) {
                    for (int column = 0; column < width / 16; column++, i++) {
                        filter.block(column, row, levels[row][column], inner[i]);
                    }
                }
            }
            byte[] result = new byte[Math.multiplyExact(3, Math.multiplyExact(shownWidth, shownHeight))];
            int last = (shownHeight + 1) / 2 - 1;
            for (int row = 0; row < shownHeight; row++) {
                int near = row / 2, far = (row & 1) == 0 ? Math.max(0, near - 1) : Math.min(last, near + 1);
                line(result, row, near * half, far * half);
            }
            return result;
        }

        /** One row; the colours come from the nearer row of colours and the next but one. */
        private void line(byte[] result, int row, int near, int far) {
            int columns = (shownWidth + 1) / 2;
            for (int x = 0, o = 3 * row * shownWidth; x < shownWidth; x++, o += 3) {
                int a = x / 2, b = (x & 1) == 0 ? a - 1 : a + 1; // nearer and farther column
                boolean edge = b < 0 || b >= columns;
                int cb = edge ? between(u, near + a, far + a) : among(u, near + a, near + b, far + a, far + b);
                int cr = edge ? between(v, near + a, far + a) : among(v, near + a, near + b, far + a, far + b);
                put(result, o, y[row * width + x] & 255, cb, cr);
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
