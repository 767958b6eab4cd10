package dev.headstart.cli;

import java.io.PrintWriter;
import java.util.Locale;

/** How far a long piece of work is, how fast, and how long it will take: one line written over on a terminal, else a line now and then. */
final class ProgressBar implements AutoCloseable {
    private static final int WIDTH = 20;
    private static final long TERMINAL_NANOS = 200_000_000L;
    private static final long PLAIN_NANOS = 10_000_000_000L;

    private final PrintWriter err;
    private final boolean terminal;
    private final String what;
    private final String unit;
    private final long had;
    private final double hadFraction;
    private final long start = System.nanoTime();
    private long told = start;
    private boolean open;

    /**
     * @param terminal whether a line may be written over
     * @param unit what is counted, plural: rows
     * @param had how many were done before (a resumed run), left out of the rate
     * @param hadFraction how much of the whole they were
     */
    ProgressBar(PrintWriter err, boolean terminal, String what, String unit, long had, double hadFraction) {
        this.err = err;
        this.terminal = terminal;
        this.what = what;
        this.unit = unit;
        this.had = had;
        this.hadFraction = hadFraction;
    }

    /** Tells, unless it did a moment ago. @param fraction of the whole, NaN when nobody knows */
    void update(long done, double fraction) {
        long now = System.nanoTime();
        if (now - told < (terminal ? TERMINAL_NANOS : PLAIN_NANOS)) {
            return;
        }
        told = now;
        String line = line(done, fraction, (now - start) / 1e9);
        if (terminal) {
            err.print("\r" + line + "\033[K");
            open = true;
        } else {
            err.println(line);
        }
        err.flush();
    }

    String line(long done, double fraction, double seconds) {
        StringBuilder b = new StringBuilder(what).append(": ");
        boolean known = !Double.isNaN(fraction);
        if (known && terminal) {
            int full = (int) Math.round(fraction * WIDTH);
            b.append('[')
                    .append("#".repeat(full))
                    .append(".".repeat(WIDTH - full))
                    .append("] ");
        }
        if (known) {
            b.append(String.format(Locale.ROOT, "%3.0f %%, ", 100 * fraction));
        }
        double rate = (done - had) / Math.max(1e-9, seconds);
        b.append(String.format(
                Locale.ROOT, rate >= 10 ? "%,d %s, %,.0f %s/s" : "%,d %s, %.2f %s/s", done, unit, rate, unit));
        double share = fraction - hadFraction;
        if (known && share > 0) {
            b.append(", ")
                    .append(Sizes.duration((long) (seconds * (1 - fraction) / share)))
                    .append(" left");
        }
        return b.toString();
    }

    @Override
    public void close() {
        if (open) {
            err.print("\r\033[K");
            err.flush();
        }
    }
}
