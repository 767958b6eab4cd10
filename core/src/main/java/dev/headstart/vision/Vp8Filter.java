package dev.headstart.vision;

/** VP8's loop filter (RFC 6386, section 15), which smooths the edges of macroblocks and of the blocks of 4 x 4 in them, in place. */
final class Vp8Filter {
    private final Vp8.Plane y;
    private final Vp8.Plane u;
    private final Vp8.Plane v;
    private final int sharpness;
    private final boolean simple;

    Vp8Filter(Vp8.Plane y, Vp8.Plane u, Vp8.Plane v, int sharpness, boolean simple) {
        this.y = y;
        this.u = u;
        this.v = v;
        this.sharpness = sharpness;
        this.simple = simple;
    }

    /** Filters the edges of one macroblock; the macroblocks are taken in reading order. @param level strength, 0 to 63 */
    void block(int column, int row, int level, boolean inner) {
        int strength = Math.max(0, Math.min(63, level));
        if (strength == 0) {
            return;
        }
        int flat = sharpness > 4 ? strength >> 2 : sharpness > 0 ? strength >> 1 : strength;
        flat = Math.max(1, sharpness > 0 ? Math.min(flat, 9 - sharpness) : flat);
        Edge edge = new Edge(2 * (2 * strength + flat) + 1, flat, strength >= 40 ? 2 : strength >= 15 ? 1 : 0);
        int at = y.at(16 * column, 16 * row), colour = u.at(8 * column, 8 * row);
        for (boolean across : new boolean[] {false, true}) { // vertical edges first
            int step = across ? y.stride : 1, along = across ? 1 : y.stride;
            int halfStep = across ? u.stride : 1, halfAlong = across ? 1 : u.stride;
            if (across ? row > 0 : column > 0) {
                line(y.samples, at, step, along, 16, edge, true);
                colours(colour, halfStep, halfAlong, edge, true);
            }
            for (int i = 4; inner && i < 16; i += 4) {
                line(y.samples, at + i * step, step, along, 16, edge, false);
            }
            if (inner) {
                colours(colour + 4 * halfStep, halfStep, halfAlong, edge, false);
            }
        }
    }

    /** @param twice 2 * limit + 1 of an inner edge; @param flat limit of differences beside it; @param peak above which an edge is the picture's own */
    private record Edge(int twice, int flat, int peak) {}

    private void colours(int at, int step, int along, Edge edge, boolean outer) {
        if (!simple) {
            line(u.samples, at, step, along, 8, edge, outer);
            line(v.samples, at, step, along, 8, edge, outer);
        }
    }

    /** @param at first sample behind the edge; @param step from one side to the other; @param along the edge; @param outer whether it is a macroblock's */
    private void line(byte[] p, int at, int step, int along, int length, Edge edge, boolean outer) {
        int twice = edge.twice + (outer ? 8 : 0);
        for (int i = 0; i < length; i++, at += along) {
            int p1 = p[at - 2 * step] & 255, p0 = p[at - step] & 255, q0 = p[at] & 255, q1 = p[at + step] & 255;
            if (4 * Math.abs(p0 - q0) + Math.abs(p1 - q1) > twice) {
                continue;
            }
            if (simple) {
                two(p, at, step, p1, p0, q0, q1);
                continue;
            }
            int p2 = p[at - 3 * step] & 255, q2 = p[at + 2 * step] & 255;
            if (apart(p[at - 4 * step] & 255, p2, edge.flat)
                    || apart(p2, p1, edge.flat)
                    || apart(p1, p0, edge.flat)
                    || apart(p[at + 3 * step] & 255, q2, edge.flat)
                    || apart(q2, q1, edge.flat)
                    || apart(q1, q0, edge.flat)) {
                continue;
            }
            if (apart(p1, p0, edge.peak) || apart(q1, q0, edge.peak)) {
                two(p, at, step, p1, p0, q0, q1);
            } else if (outer) {
                int a = signed(3 * (q0 - p0) + signed(p1 - q1));
                move(p, at, step, 2, 9 * a + 63 >> 7, p2, q2);
                move(p, at, step, 1, 18 * a + 63 >> 7, p1, q1);
                move(p, at, step, 0, 27 * a + 63 >> 7, p0, q0);
            } else {
                int a = 3 * (q0 - p0), down = small(a + 4 >> 3);
                p[at - step] = sample(p0 + small(a + 3 >> 3));
                p[at] = sample(q0 - down);
                move(p, at, step, 1, down + 1 >> 1, p1, q1);
            }
        }
    }

    private static boolean apart(int a, int b, int limit) {
        return Math.abs(a - b) > limit;
    }

    private static void two(byte[] p, int at, int step, int p1, int p0, int q0, int q1) {
        int a = 3 * (q0 - p0) + signed(p1 - q1);
        p[at - step] = sample(p0 + small(a + 3 >> 3));
        p[at] = sample(q0 - small(a + 4 >> 3));
    }

    private static void move(byte[] p, int at, int step, int distance, int by, int before, int behind) {
        p[at - (distance + 1) * step] = sample(before + by);
        p[at + distance * step] = sample(behind - by);
    }

    private static byte sample(int value) {
        return (byte) Math.max(0, Math.min(255, value));
    }

    private static int signed(int value) {
        return Math.max(-128, Math.min(127, value));
    }

    private static int small(int value) {
        return Math.max(-16, Math.min(15, value));
    }
}
