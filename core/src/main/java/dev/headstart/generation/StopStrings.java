package dev.headstart.generation;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.function.LongFunction;

/**
 * Ends a text when its last token completes a stop string (transformers' {@code StopStringCriteria}). Compares bytes, so that a stop string may begin or
 * end inside a token, and a token inside a character.
 */
final class StopStrings {
    private final List<byte[]> strings;
    private final LongFunction<byte[]> bytesOf;

    StopStrings(List<String> strings, LongFunction<byte[]> bytesOf) {
        this.strings =
                strings.stream().map(s -> s.getBytes(StandardCharsets.UTF_8)).toList();
        this.bytesOf = bytesOf;
    }

    /** Whether a stop string overlaps the last of the row's tokens. */
    boolean endsWithOne(long[] row, int length) {
        byte[] last = bytesOf.apply(row[length - 1]);
        for (byte[] stop : strings) {
            byte[] tail = tail(row, length, stop.length + last.length - 1);
            int before = tail.length - last.length; // bytes ahead of the last token
            for (int start = Math.max(0, before - stop.length + 1); start + stop.length <= tail.length; start++) {
                if (start + stop.length > before && matches(tail, start, stop)) {
                    return true;
                }
            }
        }
        return false;
    }

    /** The bytes of the last tokens, at least {@code wanted} if there are so many. */
    private byte[] tail(long[] row, int length, int wanted) {
        int first = length;
        int have = 0;
        while (first > 0 && have < wanted) {
            have += bytesOf.apply(row[--first]).length;
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (int i = first; i < length; i++) {
            bytes.writeBytes(bytesOf.apply(row[i]));
        }
        return bytes.toByteArray();
    }

    private static boolean matches(byte[] text, int start, byte[] stop) {
        for (int i = 0; i < stop.length; i++) {
            if (text[start + i] != stop[i]) {
                return false;
            }
        }
        return true;
    }
}
