package dev.headstart.text;

import java.util.Arrays;
import java.util.List;

/** The columns of an {@link Encoding}, one entry a token. Never changed once made. */
final class Columns {
    final long[] ids;
    final long[] typeIds;
    final String[] tokens;
    final int[] wordIds;
    final int[] sequenceIds;
    final int[] special;
    final long[] attention;
    final int[] start;
    final int[] end;
    final int[] pointStart;
    final int[] pointEnd;

    /** Space for {@code n} tokens, to be filled by the one who makes it. */
    Columns(int n) {
        ids = new long[n];
        typeIds = new long[n];
        tokens = new String[n];
        wordIds = new int[n];
        sequenceIds = new int[n];
        special = new int[n];
        attention = new long[n];
        start = new int[n];
        end = new int[n];
        pointStart = new int[n];
        pointEnd = new int[n];
    }

    int length() {
        return ids.length;
    }

    /** The tokens at {@code index[0]}, {@code index[1]}, ... */
    Columns select(int[] index) {
        Columns to = new Columns(index.length);
        for (int i = 0; i < index.length; i++) to.copy(i, this, index[i]);
        return to;
    }

    /** This with padding on one side up to {@code length} tokens; itself when it is long enough. */
    Columns pad(int length, Side side, long padId, long padTypeId, String padToken) {
        int missing = length - length();
        if (missing <= 0) return this;
        Columns to = new Columns(length);
        int first = side == Side.LEFT ? missing : 0;
        Arrays.fill(to.ids, padId);
        Arrays.fill(to.typeIds, padTypeId);
        Arrays.fill(to.tokens, padToken);
        Arrays.fill(to.wordIds, -1);
        Arrays.fill(to.sequenceIds, -1);
        Arrays.fill(to.special, 1);
        for (int i = 0; i < length(); i++) to.copy(first + i, this, i);
        return to;
    }

    /** All parts in a row. */
    static Columns join(List<Columns> parts) {
        Columns to = new Columns(parts.stream().mapToInt(Columns::length).sum());
        int at = 0;
        for (Columns part : parts) {
            for (int i = 0; i < part.length(); i++) to.copy(at++, part, i);
        }
        return to;
    }

    /** The same tokens as another text of a pair. */
    Columns asSequence(int sequence, int typeId) {
        Columns to = join(List.of(this));
        for (int i = 0; i < to.length(); i++) {
            to.typeIds[i] = typeId;
            if (to.sequenceIds[i] >= 0) to.sequenceIds[i] = sequence;
        }
        return to;
    }

    void copy(int i, Columns from, int j) {
        ids[i] = from.ids[j];
        typeIds[i] = from.typeIds[j];
        tokens[i] = from.tokens[j];
        wordIds[i] = from.wordIds[j];
        sequenceIds[i] = from.sequenceIds[j];
        special[i] = from.special[j];
        attention[i] = from.attention[j];
        start[i] = from.start[j];
        end[i] = from.end[j];
        pointStart[i] = from.pointStart[j];
        pointEnd[i] = from.pointEnd[j];
    }
}
