package dev.headstart.generation;

import java.util.Set;
import org.jspecify.annotations.Nullable;

/** When a row ends: end tokens, stop strings, length, time (transformers' stopping criteria). */
final class Stopping {
    private final Set<Integer> eos;
    private final @Nullable StopStrings strings;
    private final int maxLength;
    private final double maxSeconds;
    private final long begun = System.nanoTime();

    Stopping(Set<Integer> eos, @Nullable StopStrings strings, int maxLength, double maxSeconds) {
        this.eos = eos;
        this.strings = strings;
        this.maxLength = maxLength;
        this.maxSeconds = maxSeconds;
    }

    int maxLength() {
        return maxLength;
    }

    boolean hasEndTokens() {
        return !eos.isEmpty();
    }

    /** Why the row ends with its last token, or null while it goes on. */
    @Nullable
    FinishReason check(long[] row, int length) {
        if (eos.contains((int) row[length - 1]) || strings != null && strings.endsWithOne(row, length)) {
            return FinishReason.STOP;
        }
        if (length >= maxLength) {
            return FinishReason.LENGTH;
        }
        return maxSeconds >= 0 && (System.nanoTime() - begun) / 1e9 > maxSeconds ? FinishReason.TIME : null;
    }
}
