package dev.headstart.text;

import dev.headstart.HeadstartException;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Cuts an encoding that already has its template to a length, as the Rust library does before it applies the template
 * (tokenizers {@code truncate_encodings}, {@code Encoding::truncate}, {@code Encoding::merge_with}). Done here because the library keeps its
 * limits in the shared tokenizer.
 */
final class Truncator {
    private static final char BLANK = '\u0120'; // as byte-level vocabularies spell it

    private final Columns all;
    private final boolean firstKeepsBlank;
    private final int firstStart;
    private final int firstLength;
    private final int secondStart;
    private final int secondLength;

    /** @param firstKeepsBlank {@link TokenizerJson#firstKeepsBlank()}: the library cuts before it trims the offsets */
    Truncator(Columns all, boolean firstKeepsBlank) {
        this.all = all;
        this.firstKeepsBlank = firstKeepsBlank;
        this.firstStart = start(0);
        this.firstLength = count(0);
        this.secondStart = start(1);
        this.secondLength = count(1);
    }

    private int start(int sequence) {
        for (int i = 0; i < all.length(); i++) if (all.sequenceIds[i] == sequence) return i;
        return 0;
    }

    private int count(int sequence) {
        return (int) IntStream.of(all.sequenceIds).filter(s -> s == sequence).count();
    }

    /** The first piece, followed by those that were cut off. */
    List<Columns> cut(Truncation strategy, int maxLength, int stride, Side side, boolean pair) {
        int room = maxLength - (all.length() - firstLength - secondLength);
        if (firstLength + secondLength <= room) return List.of(all);
        if (room < 0) {
            throw new HeadstartException("a limit of " + maxLength + " tokens leaves no room for the "
                    + (all.length() - firstLength - secondLength)
                    + " special tokens of this tokenizer; raise maxLength");
        }
        int first = firstLength;
        int second = secondLength;
        int remove = firstLength + secondLength - room;
        if (room == 0) {
            first = 0;
            second = 0;
        } else if (strategy == Truncation.LONGEST_FIRST && pair) {
            int small = Math.min(first, second);
            int large = small > room ? small : Math.max(small, room - small);
            if (small + large > room) {
                small = room / 2;
                large = small + room % 2;
            }
            boolean swapped = first > second;
            first = swapped ? large : small;
            second = swapped ? small : large;
        } else if (strategy == Truncation.ONLY_SECOND) {
            if (!pair)
                throw new HeadstartException("truncation ONLY_SECOND was asked for, but there is no second text");
            second = shorter("second", second, remove, maxLength);
        } else {
            first = shorter("first", first, remove, maxLength);
        }
        List<int[]> a = pieces(firstStart, firstLength, first, stride, side);
        List<int[]> b = pieces(secondStart, secondLength, second, stride, side);
        List<Columns> cut =
                new ArrayList<>(); // the main piece, then A's others with each of B's, then B's others with the main A
        for (int i = 0; i < a.size(); i++) {
            for (int[] piece : b) cut.add(select(a.get(i), piece));
        }
        if (a.size() > 1 && b.size() > 1) { // merge_with lists A's overflow before B's
            List<Columns> main = new ArrayList<>(cut.subList(1, b.size()));
            cut.subList(1, b.size()).clear();
            cut.addAll(main);
        }
        return cut;
    }

    private static int shorter(String which, int length, int remove, int maxLength) {
        if (length > remove) return length - remove;
        throw new HeadstartException("the " + which + " text has " + length + " tokens, too few to cut " + remove
                + " from it for the limit of " + maxLength + "; use LONGEST_FIRST or raise maxLength");
    }

    /** [from, to) of each piece of one sequence; the first is the one kept. */
    private static List<int[]> pieces(int start, int length, int max, int stride, Side side) {
        if (max >= length) return List.of(new int[] {start, start + length});
        if (max == 0) return List.of(new int[] {start, start}, new int[] {start, start + length});
        if (stride >= max) {
            throw new HeadstartException("stride " + stride + " must be smaller than the " + max
                    + " tokens that are left of the text; raise maxLength or lower stride");
        }
        List<int[]> pieces = new ArrayList<>();
        if (side == Side.RIGHT) {
            for (int from = 0; ; from += max - stride) {
                int to = Math.min(from + max, length);
                pieces.add(new int[] {start + from, start + to});
                if (to == length) return pieces;
            }
        }
        for (int to = length; ; to -= max - stride) {
            int from = Math.max(to - max, 0);
            pieces.add(new int[] {start + from, start + to});
            if (from == 0) return pieces;
        }
    }

    private Columns select(int[] a, int[] b) {
        Columns piece = all.select(IntStream.range(0, all.length())
                .filter(i -> switch (all.sequenceIds[i]) {
                    case 0 -> i >= a[0] && i < a[1];
                    case 1 -> i >= b[0] && i < b[1];
                    default -> true;
                })
                .toArray());
        if (firstKeepsBlank && a[0] > firstStart) keepBlank(piece, 0);
        if (firstKeepsBlank && b[0] > secondStart) keepBlank(piece, 1);
        return piece;
    }

    /** Gives the first token of a text that begins in its middle the last of the blanks that were trimmed off its offsets. */
    private static void keepBlank(Columns piece, int sequence) {
        for (int i = 0; i < piece.length(); i++) {
            if (piece.sequenceIds[i] != sequence) continue;
            String token = piece.tokens[i];
            int blanks = 0;
            while (blanks < token.length() && token.charAt(blanks) == BLANK) blanks++;
            if (blanks > 0
                    && piece.pointStart[i] > blanks) { // else it was the first of the text, as far as the library knows
                if (piece.pointEnd[i] == piece.pointStart[i]) { // nothing but blanks
                    piece.pointEnd[i]--;
                    piece.end[i]--;
                }
                piece.pointStart[i]--;
                piece.start[i]--;
            }
            return;
        }
    }
}
