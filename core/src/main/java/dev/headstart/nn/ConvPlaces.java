package dev.headstart.nn;

import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.javacpp.LongPointer;

/**
 * Where the places that a convolution reads begin, int64 [places of the filter, rows], as {@link TileCode} takes them: the indirection of Dukhan 2019, "The
 * Indirect Convolution Algorithm". Convolutions of the same sizes share a table.
 *
 * @param images whose rows it holds
 * @param y from top to bottom
 * @param x from left to right
 * @param bytes of a place of the input
 */
record ConvPlaces(long images, Axis y, Axis x, long bytes) {
    /**
     * One of the image's two axes.
     *
     * @param size of the input
     * @param filter places of the filter
     */
    record Axis(long size, long filter, long stride, long padding) {
        /** The result's size. */
        long out() {
            return (size + 2 * padding - filter) / stride + 1;
        }

        private boolean inOrder() {
            return filter == 1 && stride == 1 && padding == 0;
        }

        /** @return what is read, below zero for what lies outside */
        private long read(long out, long place) {
            long at = out * stride + place - padding;
            return at < size ? at : -1;
        }
    }

    /** Tables that are kept. */
    private static final int KEPT = 32;

    /** Added to an address it stays below zero. */
    static final long OUTSIDE = Long.MIN_VALUE / 2;

    private static final Map<ConvPlaces, LongPointer> MADE = new LinkedHashMap<>(KEPT, 0.75f, true);

    /** Of the result. */
    long rows() {
        return images * y.out() * x.out();
    }

    long filterPlaces() {
        return y.filter * x.filter;
    }

    /** Whether the rows of the result read the places of the input one after the other. */
    boolean inOrder() {
        return y.inOrder() && x.inOrder();
    }

    /** The table; what no longer is among the last ones goes with the garbage when nobody uses it. */
    LongPointer table() {
        synchronized (MADE) {
            LongPointer found = MADE.get(this);
            if (found == null) {
                found = make();
                MADE.put(this, found);
                if (MADE.size() > KEPT) {
                    MADE.remove(MADE.keySet().iterator().next());
                }
            }
            return found;
        }
    }

    private LongPointer make() {
        long[] all = new long[Math.toIntExact(rows() * filterPlaces())];
        int at = 0;
        for (long ky = 0; ky < y.filter; ky++) {
            for (long kx = 0; kx < x.filter; kx++) {
                for (long i = 0; i < images; i++) {
                    for (long oy = 0; oy < y.out(); oy++) {
                        long row = y.read(oy, ky);
                        for (long ox = 0; ox < x.out(); ox++) {
                            long column = x.read(ox, kx);
                            boolean inside = row >= 0 && column >= 0;
                            all[at++] = inside ? ((i * y.size + row) * x.size + column) * bytes : OUTSIDE;
                        }
                    }
                }
            }
        }
        return Memory.keep(new LongPointer(all));
    }
}
