package dev.headstart.data;

import dev.headstart.HeadstartException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Bad rows of one input: the first ends the run, or all are told of and counted. Not thread-safe. */
public final class Problems {
    private static final Logger LOG = LoggerFactory.getLogger(Problems.class);
    private static final int SHOWN = 10;

    private final @Nullable OnError onError;
    private final Map<String, Long> byKind = new LinkedHashMap<>();
    private long skipped;

    /** @param onError whether a bad row ends the run; null: it does, and the message offers nothing else */
    public Problems(@Nullable OnError onError) {
        this.onError = onError;
    }

    /**
     * A row cannot be used and is left out.
     *
     * @param kind few words that are the same for all such rows, for the count at the end: {@code ragged line}
     * @param message where, expected, found
     * @throws HeadstartException under {@link OnError#FAIL}
     */
    public void report(String kind, String message) {
        if (onError != OnError.SKIP) {
            throw new HeadstartException(message + "; correct it"
                    + (onError == null ? "" : ", or leave such rows out with --on-error skip"));
        }
        skipped++;
        byKind.merge(kind, 1L, Long::sum);
        if (skipped <= SHOWN) {
            LOG.warn("skipped: {}", message);
        } else if (skipped == SHOWN + 1) {
            LOG.warn("further skipped rows are only counted");
        }
    }

    /** Counts rows that an earlier, resumed run left out. */
    public void carryOver(Map<String, Long> earlier) {
        earlier.forEach((kind, n) -> {
            byKind.merge(kind, n, Long::sum);
            skipped += n;
        });
    }

    /** How many rows were left out. */
    public long skipped() {
        return skipped;
    }

    /** How many rows were left out, by kind of problem. */
    public Map<String, Long> byKind() {
        return Map.copyOf(byKind);
    }

    /** For the end of a run: {@code 3 rows skipped (2 ragged line, 1 empty row)}. */
    public String summary() {
        if (skipped == 0) {
            return "no rows skipped";
        }
        StringBuilder b =
                new StringBuilder().append(skipped).append(skipped == 1 ? " row skipped (" : " rows skipped (");
        String sep = "";
        for (Map.Entry<String, Long> e : byKind.entrySet()) {
            b.append(sep).append(e.getValue()).append(' ').append(e.getKey());
            sep = ", ";
        }
        return b.append(')').toString();
    }
}
