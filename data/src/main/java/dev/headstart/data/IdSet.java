package dev.headstart.data;

import java.util.Arrays;

/**
 * Tells ids that came before, in 16 to 32 bytes an id whatever its length: it keeps a 64-bit hash of each. That two different ids of ten million share
 * one has a chance of about one in 400,000.
 */
public final class IdSet {
    private long[] slots = new long[1 << 10];
    private int size;

    /** Adds an id. @return false when it was there already */
    public boolean add(String id) {
        long h = 0xcbf29ce484222325L; // FNV-1a, then the finalizer of MurmurHash3
        for (int i = 0; i < id.length(); i++) {
            h = (h ^ id.charAt(i)) * 0x100000001b3L;
        }
        h = (h ^ (h >>> 33)) * 0xff51afd7ed558ccdL;
        h = (h ^ (h >>> 33)) * 0xc4ceb9fe1a85ec53L;
        h ^= h >>> 33;
        if (!put(h == 0 ? 1 : h)) {
            return false;
        }
        if (++size > slots.length / 2) {
            long[] old = slots;
            slots = new long[Math.multiplyExact(old.length, 2)];
            Arrays.stream(old).filter(v -> v != 0).forEach(this::put);
        }
        return true;
    }

    private boolean put(long h) {
        int i = (int) h & (slots.length - 1);
        while (slots[i] != 0) {
            if (slots[i] == h) {
                return false;
            }
            i = (i + 1) & (slots.length - 1);
        }
        slots[i] = h;
        return true;
    }
}
