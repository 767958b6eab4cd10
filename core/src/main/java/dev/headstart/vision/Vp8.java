package dev.headstart.vision;

import java.io.IOException;
import java.util.Arrays;

/** A key frame of VP8 (RFC 6386), the picture of a lossy WebP file, decoded to its planes. */
final class Vp8 {
    private static final int DC = 0, TM = 1, VE = 2, HE = 3, LD = 4, RD = 5, VR = 6, VL = 7, HD = 8, HU = 9;

    private static final int[] ZIGZAG = {0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15};
    private static final int[] BANDS = {0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 0};
    private static final int[][] LARGE = {
        {173, 148, 140},
        {176, 155, 140, 135},
        {180, 157, 141, 134, 130},
        {254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129}
    };
    /** Modes of blocks of 4 x 4 in the standard's order; a negative entry is a mode, another the next place. */
    private static final int[] TREE = {-DC, 2, -TM, 4, -VE, 6, 8, 12, -HE, 10, -RD, -VR, -LD, 14, -VL, 16, -HD, -HU};

    private final byte[] data;
    private final Vp8Tables tables;
    final int width;
    final int height;
    /** Macroblocks in a row and in a column. */
    private final int columns;

    private final int rows;
    private final Plane y;
    private final Plane u;
    private final Plane v;
    private final Bits header;
    private final Bits[] tokens;
    private final boolean segmented;
    private boolean mapped;
    private final int[] segmentProbabilities = {255, 255, 255};
    private final int[][] factors = new int[4][];
    private final int[] levels = new int[4];
    private final int[] referenceDelta = new int[4];
    private final int[] modeDelta = new int[4];
    private final boolean deltas;
    private final boolean simple;
    private final int level;
    private final int sharpness;
    private final int[][][][] probabilities;
    private final int skipProbability;
    /** Whether the blocks above and to the left had coefficients: 4 luma, 2 and 2 chroma, 1 of the second order. */
    private final boolean[][] above;

    private final boolean[] left = new boolean[9];
    private final int[] modesAbove;
    private final int[] modesLeft = new int[4];
    private final int[] strength;
    private final boolean[] inner;

    /** Samples with a row above and a column to the left, and four more columns to the right. */
    static final class Plane {
        final byte[] samples;
        final int stride;

        Plane(int width, int height) {
            stride = width + 5;
            samples = new byte[Math.multiplyExact(stride, height + 1)];
            Arrays.fill(samples, 0, stride, (byte) 127);
            for (int i = 1; i <= height; i++) {
                samples[i * stride] = (byte) 129;
            }
        }

        int at(int column, int row) {
            return (row + 1) * stride + column + 1;
        }
    }

    /** The arithmetic decoder. */
    private static final class Bits {
        private final byte[] data;
        private final int end;
        private int at;
        private int value;
        private int range = 255;
        private int count;

        Bits(byte[] data, int at, int end) {
            this.data = data;
            this.at = at;
            this.end = end;
            value = next() << 8 | next();
        }

        private int next() {
            return at < end ? data[at++] & 255 : 0;
        }

        int bit(int probability) {
            int split = 1 + ((range - 1) * probability >> 8), high = split << 8, bit = value >= high ? 1 : 0;
            range = bit == 1 ? range - split : split;
            value -= bit == 1 ? high : 0;
            while (range < 128) {
                value <<= 1;
                range <<= 1;
                if (++count == 8) {
                    count = 0;
                    value |= next();
                }
            }
            return bit;
        }

        boolean flag() {
            return bit(128) == 1;
        }

        int number(int bits) {
            int n = 0;
            for (int i = 0; i < bits; i++) {
                n = n << 1 | bit(128);
            }
            return n;
        }

        /** A number that may be absent, with its sign behind it. */
        int optional(int bits) {
            return flag() ? signed(number(bits)) : 0;
        }

        int signed(int n) {
            return flag() ? -n : n;
        }
    }

    /** @param at where the frame begins; @param end behind its last byte */
    Vp8(byte[] data, int at, int end, Vp8Tables tables) throws IOException {
        this.data = data;
        this.tables = tables;
        if (end - at < 10
                || (data[at] & 1) != 0
                || data[at + 3] != (byte) 0x9D
                || data[at + 4] != 1
                || data[at + 5] != 0x2A) {
            throw new IOException("no key frame of VP8");
        }
        int first = ((data[at] & 255) | (data[at + 1] & 255) << 8 | (data[at + 2] & 255) << 16) >> 5;
        width = (data[at + 6] & 255) | (data[at + 7] & 63) << 8;
        height = (data[at + 8] & 255) | (data[at + 9] & 63) << 8;
        if (width == 0 || height == 0 || first > end - at - 10) {
            throw new IOException("sizes of VP8 that cannot be");
        }
        columns = (width + 15) / 16;
        rows = (height + 15) / 16;
        y = new Plane(16 * columns, 16 * rows);
        u = new Plane(8 * columns, 8 * rows);
        v = new Plane(8 * columns, 8 * rows);
        above = new boolean[columns][9];
        modesAbove = new int[4 * columns];
        strength = new int[columns * rows];
        inner = new boolean[columns * rows];

        header = new Bits(data, at + 10, at + 10 + first);
        header.number(2); // colour space, clamping
        segmented = header.flag();
        int[] quantizers = new int[4];
        boolean absolute = segmented && segments(quantizers);
        simple = header.flag();
        level = header.number(6);
        sharpness = header.number(3);
        deltas = header.flag();
        if (deltas && header.flag()) {
            for (int[] list : new int[][] {referenceDelta, modeDelta}) {
                for (int i = 0; i < 4; i++) {
                    list[i] = header.flag() ? header.signed(header.number(6)) : list[i];
                }
            }
        }
        tokens = partitions(1 << header.number(2), at + 10 + first, end);
        int base = header.number(7);
        int[] delta = new int[5];
        for (int i = 0; i < 5; i++) {
            delta[i] = header.optional(4);
        }
        for (int s = 0; s < 4; s++) {
            int q = !segmented ? base : absolute ? quantizers[s] : base + quantizers[s];
            factors[s] = factors(q, delta);
            levels[s] = !segmented ? level : absolute ? levels[s] : level + levels[s];
        }
        header.flag(); // whether the probabilities outlive the frame
        probabilities = tables.coefficients();
        for (int i = 0; i < 4; i++) {
            for (int j = 0; j < 8; j++) {
                for (int k = 0; k < 3; k++) {
                    for (int l = 0; l < 11; l++) {
                        if (header.bit(tables.updates()[i][j][k][l]) == 1) {
                            probabilities[i][j][k][l] = header.number(8);
                        }
                    }
                }
            }
        }
        skipProbability = header.flag() ? header.number(8) : -1;
    }

    /** @return whether the numbers are absolute */
    private boolean segments(int[] quantizers) {
        mapped = header.flag();
        boolean absolute = false;
        if (header.flag()) {
            absolute = header.flag();
            for (int i = 0; i < 4; i++) {
                quantizers[i] = header.optional(7);
            }
            for (int i = 0; i < 4; i++) {
                levels[i] = header.optional(6);
            }
        }
        for (int i = 0; mapped && i < 3; i++) {
            segmentProbabilities[i] = header.flag() ? header.number(8) : 255;
        }
        return absolute;
    }

    private Bits[] partitions(int count, int at, int end) {
        Bits[] all = new Bits[count];
        int from = at + 3 * (count - 1);
        for (int i = 0; i < count; i++) {
            int s = at + 3 * i;
            long size = i == count - 1 || s + 2 >= end
                    ? end
                    : (data[s] & 255) | (data[s + 1] & 255) << 8 | (data[s + 2] & 255) << 16;
            int to = (int) Math.min(end, from + size);
            all[i] = new Bits(data, Math.min(from, end), to);
            from = to;
        }
        return all;
    }

    /** What coefficients are multiplied by: of luma, of the second order, of chroma; each the first and the others. */
    private int[] factors(int q, int[] delta) {
        int[] dc = tables.dc(), ac = tables.ac();
        return new int[] {
            dc[index(q + delta[0], 127)],
            ac[index(q, 127)],
            2 * dc[index(q + delta[1], 127)],
            Math.max(8, ac[index(q + delta[2], 127)] * 101581 >> 16),
            dc[index(q + delta[3], 117)],
            ac[index(q + delta[4], 127)]
        };
    }

    private static int index(int q, int most) {
        return Math.max(0, Math.min(most, q));
    }

    /** Decodes and filters. */
    void decode() {
        for (int row = 0; row < rows; row++) {
            Arrays.fill(left, false);
            Arrays.fill(modesLeft, DC);
            for (int column = 0; column < columns; column++) {
                block(column, row, tokens[row % tokens.length]);
            }
        }
        if (level > 0) {
            Vp8Filter filter = new Vp8Filter(y, u, v, sharpness, simple);
            for (int i = 0; i < strength.length; i++) {
                filter.block(i % columns, i / columns, strength[i], inner[i]);
            }
        }
    }

    Plane luma() {
        return y;
    }

    Plane blue() {
        return u;
    }

    Plane red() {
        return v;
    }

    private void block(int column, int row, Bits bits) {
        int segment = !mapped
                ? 0
                : header.bit(segmentProbabilities[0]) == 0
                        ? header.bit(segmentProbabilities[1])
                        : 2 + header.bit(segmentProbabilities[2]);
        boolean skip = skipProbability >= 0 && header.bit(skipProbability) == 1;
        boolean whole = header.bit(145) == 1;
        int[] modes = new int[16];
        if (whole) {
            Arrays.fill(modes, header.bit(156) == 1 ? header.bit(128) == 1 ? TM : HE : header.bit(163) == 1 ? VE : DC);
        } else {
            for (int i = 0; i < 16; i++) {
                int[] p = tables.modes()[i < 4 ? modesAbove[4 * column + i] : modes[i - 4]][
                        i % 4 == 0 ? modesLeft[i / 4] : modes[i - 1]];
                int at = 0;
                do {
                    at = TREE[at + header.bit(p[at >> 1])];
                } while (at > 0);
                modes[i] = -at;
            }
        }
        for (int i = 0; i < 4; i++) {
            modesAbove[4 * column + i] = modes[12 + i];
            modesLeft[i] = modes[4 * i + 3];
        }
        int colour = header.bit(142) == 0 ? DC : header.bit(114) == 0 ? VE : header.bit(183) == 1 ? TM : HE;

        int[] coefficients = new int[384];
        boolean some = false;
        if (skip) {
            boolean second = above[column][8], secondLeft = left[8];
            Arrays.fill(above[column], false);
            Arrays.fill(left, false);
            above[column][8] = !whole && second;
            left[8] = !whole && secondLeft;
        } else {
            some = residuals(bits, above[column], whole, factors[segment], coefficients);
        }
        int at = row * columns + column, s = levels[segment];
        strength[at] = deltas ? s + referenceDelta[0] + (whole ? 0 : modeDelta[0]) : s;
        inner[at] = !whole || some;

        if (whole) {
            square(y, 16 * column, 16 * row, 16, modes[0]);
            for (int i = 0; i < 16; i++) {
                add(y, y.at(16 * column + i % 4 * 4, 16 * row + i / 4 * 4), coefficients, 16 * i);
            }
        } else {
            corner(column, row);
            for (int i = 0; i < 16; i++) {
                int place = y.at(16 * column + i % 4 * 4, 16 * row + i / 4 * 4);
                small(place, modes[i], i % 4 == 3 ? y.at(16 * column + 16, 16 * row - 1) : place - y.stride + 4);
                add(y, place, coefficients, 16 * i);
            }
        }
        for (int c = 0; c < 2; c++) {
            Plane plane = c == 0 ? u : v;
            square(plane, 8 * column, 8 * row, 8, colour);
            for (int i = 0; i < 4; i++) {
                add(plane, plane.at(8 * column + i % 2 * 4, 8 * row + i / 2 * 4), coefficients, 256 + 64 * c + 16 * i);
            }
        }
    }

    // === coefficients ===

    /** @return whether any block has one */
    private boolean residuals(Bits bits, boolean[] top, boolean whole, int[] factor, int[] out) {
        boolean some = false;
        int first = 0, type = 3;
        if (whole) {
            int[] second = new int[16];
            int n = coefficients(bits, probabilities[1], context(top[8], left[8]), factor[2], factor[3], 0, second, 0);
            top[8] = left[8] = n > 0;
            hadamard(second, out);
            first = 1;
            type = 0;
        }
        for (int i = 0; i < 24; i++) {
            boolean luma = i < 16;
            int side = luma ? 4 : 2, b = luma ? i : (i - 16) % 4, offset = luma ? 0 : i < 20 ? 4 : 6;
            int t = offset + b % side, l = offset + b / side;
            int n = coefficients(
                    bits,
                    probabilities[luma ? type : 2],
                    context(top[t], left[l]),
                    factor[luma ? 0 : 4],
                    factor[luma ? 1 : 5],
                    luma ? first : 0,
                    out,
                    16 * i);
            top[t] = left[l] = n > (luma ? first : 0);
            some |= n > 1 || out[16 * i] != 0;
        }
        return some;
    }

    private static int context(boolean a, boolean b) {
        return (a ? 1 : 0) + (b ? 1 : 0);
    }

    /** @return the place behind the last coefficient */
    private static int coefficients(
            Bits bits, int[][][] bands, int context, int dc, int ac, int from, int[] out, int at) {
        int n = from;
        int[] p = bands[BANDS[n]][context];
        for (; n < 16; n++) {
            if (bits.bit(p[0]) == 0) {
                return n;
            }
            while (bits.bit(p[1]) == 0) {
                p = bands[BANDS[++n]][0];
                if (n == 16) {
                    return 16;
                }
            }
            int value = bits.bit(p[2]) == 0 ? 1 : large(bits, p);
            p = bands[BANDS[n + 1]][value == 1 ? 1 : 2];
            out[at + ZIGZAG[n]] = bits.signed(value) * (n > 0 ? ac : dc);
        }
        return 16;
    }

    private static int large(Bits bits, int[] p) {
        if (bits.bit(p[3]) == 0) {
            return bits.bit(p[4]) == 0 ? 2 : 3 + bits.bit(p[5]);
        }
        if (bits.bit(p[6]) == 0) {
            if (bits.bit(p[7]) == 0) {
                return 5 + bits.bit(159);
            }
            int two = bits.bit(165);
            return 7 + 2 * two + bits.bit(145);
        }
        int high = bits.bit(p[8]), kind = 2 * high + bits.bit(p[9 + high]), value = 0;
        for (int probability : LARGE[kind]) {
            value = 2 * value + bits.bit(probability);
        }
        return value + 3 + (8 << kind);
    }

    /** The first coefficients of the sixteen luma blocks. */
    private static void hadamard(int[] in, int[] out) {
        int[] t = new int[16];
        for (int i = 0; i < 4; i++) {
            int a0 = in[i] + in[12 + i],
                    a1 = in[4 + i] + in[8 + i],
                    a2 = in[4 + i] - in[8 + i],
                    a3 = in[i] - in[12 + i];
            t[i] = a0 + a1;
            t[4 + i] = a3 + a2;
            t[8 + i] = a0 - a1;
            t[12 + i] = a3 - a2;
        }
        for (int i = 0; i < 4; i++) {
            int dc = t[4 * i] + 3, a0 = dc + t[4 * i + 3], a1 = t[4 * i + 1] + t[4 * i + 2];
            int a2 = t[4 * i + 1] - t[4 * i + 2], a3 = dc - t[4 * i + 3];
            out[64 * i] = a0 + a1 >> 3;
            out[64 * i + 16] = a3 + a2 >> 3;
            out[64 * i + 32] = a0 - a1 >> 3;
            out[64 * i + 48] = a3 - a2 >> 3;
        }
    }

    /** Adds the inverse cosine transform of a block of 4 x 4. */
    private static void add(Plane plane, int at, int[] in, int from) {
        int[] t = new int[16];
        for (int i = 0; i < 4; i++) {
            int p = from + i, a = in[p] + in[p + 8], b = in[p] - in[p + 8];
            int c = less(in[p + 4]) - more(in[p + 12]), d = more(in[p + 4]) + less(in[p + 12]);
            t[4 * i] = a + d;
            t[4 * i + 1] = b + c;
            t[4 * i + 2] = b - c;
            t[4 * i + 3] = a - d;
        }
        for (int i = 0; i < 4; i++) {
            int dc = t[i] + 4, a = dc + t[8 + i], b = dc - t[8 + i];
            int c = less(t[4 + i]) - more(t[12 + i]), d = more(t[4 + i]) + less(t[12 + i]), o = at + i * plane.stride;
            shift(plane.samples, o, a + d);
            shift(plane.samples, o + 1, b + c);
            shift(plane.samples, o + 2, b - c);
            shift(plane.samples, o + 3, a - d);
        }
    }

    private static void shift(byte[] samples, int at, int by) {
        samples[at] = clip((samples[at] & 255) + (by >> 3));
    }

    /** a sqrt(2) cos(pi / 8). */
    private static int more(int a) {
        return (a * 20091 >> 16) + a;
    }

    /** a sqrt(2) sin(pi / 8). */
    private static int less(int a) {
        return a * 35468 >> 16;
    }

    private static byte clip(int value) {
        return (byte) Math.max(0, Math.min(255, value));
    }

    // === prediction ===

    private static void square(Plane plane, int column, int row, int side, int mode) {
        byte[] s = plane.samples;
        int at = plane.at(column, row), top = at - plane.stride, corner = s[top - 1] & 255, mean = 128;
        if (mode == DC && (column > 0 || row > 0)) {
            int sum = 0, count = 0;
            for (int i = 0; i < side; i++) {
                sum += (row > 0 ? s[top + i] & 255 : 0) + (column > 0 ? s[at + i * plane.stride - 1] & 255 : 0);
                count += (row > 0 ? 1 : 0) + (column > 0 ? 1 : 0);
            }
            mean = (sum + count / 2) / count;
        }
        for (int i = 0; i < side; i++) {
            int o = at + i * plane.stride, before = s[o - 1] & 255;
            for (int j = 0; j < side; j++) {
                int over = s[top + j] & 255;
                s[o + j] = switch (mode) {
                    case DC -> (byte) mean;
                    case VE -> (byte) over;
                    case HE -> (byte) before;
                    default -> clip(before + over - corner);
                };
            }
        }
    }

    /** What lies above and to the right of the last column of macroblocks: the last sample, repeated. */
    private void corner(int column, int row) {
        if (column == columns - 1 && row > 0) {
            int at = y.at(16 * columns, 16 * row - 1);
            Arrays.fill(y.samples, at, at + 4, y.samples[at - 1]);
        }
    }

    /** @param right where the four samples above and to the right are */
    private void small(int at, int mode, int right) {
        byte[] s = y.samples;
        int stride = y.stride, top = at - stride;
        int[] e = new int[13]; // the edge from the lower left over the corner to the upper right
        for (int i = 0; i < 4; i++) {
            e[3 - i] = s[at + i * stride - 1] & 255;
            e[5 + i] = s[top + i] & 255;
            e[9 + i] = s[right + i] & 255;
        }
        e[4] = s[top - 1] & 255;
        int sum = 4;
        for (int i = 0; i < 4; i++) {
            sum += e[i] + e[5 + i];
        }
        for (int r = 0; r < 4; r++) {
            for (int c = 0; c < 4; c++) {
                int value = switch (mode) {
                    case DC -> sum >> 3;
                    case TM -> Math.max(0, Math.min(255, e[3 - r] + e[5 + c] - e[4]));
                    case VE -> three(e, 5 + c);
                    case HE -> r == 3 ? e[1] + 3 * e[0] + 2 >> 2 : three(e, 3 - r);
                    case LD -> r + c == 6 ? e[11] + 3 * e[12] + 2 >> 2 : three(e, 6 + r + c);
                    case RD -> three(e, 4 - r + c);
                    case VR ->
                        c == 0 && r > 0
                                ? three(e, 5 - r)
                                : (r & 1) == 0 ? two(e, 4 + c - r / 2) : three(e, 4 + c - r / 2);
                    case VL -> verticalLeft(e, r, c);
                    case HD ->
                        r == 0 && c > 0
                                ? three(e, 3 + c)
                                : (c & 1) == 0 ? two(e, 3 - r + c / 2) : three(e, 4 - r + c / 2);
                    default -> horizontalUp(e, r, c);
                };
                s[at + r * stride + c] = (byte) value;
            }
        }
    }

    private static int verticalLeft(int[] e, int r, int c) {
        if (c == 3 && r >= 2) {
            return three(e, r == 2 ? 10 : 11);
        }
        return (r & 1) == 0 ? two(e, 5 + c + r / 2) : three(e, 6 + c + r / 2);
    }

    private static int horizontalUp(int[] e, int r, int c) {
        int i = 2 * r + c;
        if (i >= 6) {
            return e[0];
        }
        if (i == 5) {
            return e[1] + 3 * e[0] + 2 >> 2;
        }
        return (i & 1) == 0 ? two(e, 2 - i / 2) : three(e, 2 - i / 2);
    }

    private static int two(int[] e, int i) {
        return e[i] + e[i + 1] + 1 >> 1;
    }

    private static int three(int[] e, int i) {
        return e[i - 1] + 2 * e[i] + e[i + 1] + 2 >> 2;
    }
}
