package dev.headstart.cli;

import dev.headstart.hub.Progress;
import java.io.Console;
import java.io.PrintWriter;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/** Says on stderr what is fetched, from where, how large, into which folder, how fast, and how long it will take. */
final class TransferProgress implements Progress {
    /** Files below this size are not worth more than a line. */
    private static final long SMALL = 5_000_000;

    private static final long TERMINAL_NANOS = 200_000_000L;
    private static final long PLAIN_NANOS = 5_000_000_000L;

    private final PrintWriter err;
    private final boolean terminal;
    private final Map<Transfer, State> states = new HashMap<>();

    private static final class State {
        private final long start = System.nanoTime();
        private final long had;
        private long told = start;
        private boolean open;

        State(long had) {
            this.had = had;
        }
    }

    /** @param terminal whether a line may be written over */
    TransferProgress(PrintWriter err, boolean terminal) {
        this.err = err;
        this.terminal = terminal;
    }

    /** Whether a person watches: from JDK 22 on there is a console even when nobody does. */
    static boolean onTerminal() {
        Console console = System.console();
        if (console == null) {
            return false;
        }
        try {
            return (Boolean) Console.class.getMethod("isTerminal").invoke(console);
        } catch (ReflectiveOperationException e) {
            return true; // before JDK 22
        }
    }

    @Override
    public synchronized void note(String line) {
        err.println(line);
        err.flush();
    }

    @Override
    public synchronized void begin(Transfer transfer, long done) {
        states.put(transfer, new State(done));
        String had = done > 0 ? ", " + Sizes.text(done) + " are here already" : "";
        err.println("fetching " + transfer.what() + " (" + Sizes.text(transfer.bytes()) + had + ") from "
                + transfer.from() + " into " + transfer.folder());
        err.flush();
    }

    @Override
    public synchronized void advance(Transfer transfer, long done) {
        State state = states.get(transfer);
        long now = System.nanoTime();
        if (state == null || transfer.bytes() < SMALL || now - state.told < (terminal ? TERMINAL_NANOS : PLAIN_NANOS)) {
            return;
        }
        state.told = now;
        double seconds = (now - state.start) / 1e9;
        double rate = (done - state.had) / seconds;
        String line = String.format(
                Locale.ROOT,
                "  %3d %%  %s of %s, %s/s, %s left",
                100 * done / transfer.bytes(),
                Sizes.text(done),
                Sizes.text(transfer.bytes()),
                Sizes.text((long) rate),
                rate > 0 ? Sizes.duration((long) ((transfer.bytes() - done) / rate)) : "?");
        if (terminal) {
            err.print("\r" + line + "\033[K");
            state.open = true;
        } else {
            err.println(line);
        }
        err.flush();
    }

    @Override
    public synchronized void end(Transfer transfer) {
        State state = states.remove(transfer);
        if (state != null) {
            clear(state);
            if (transfer.bytes() >= SMALL) {
                double seconds = Math.max(1e-3, (System.nanoTime() - state.start) / 1e9);
                err.println(String.format(
                        Locale.ROOT, "fetched %s in %.1f s (%s/s)", transfer.what(), seconds, Sizes.text((long)
                                ((transfer.bytes() - state.had) / seconds))));
            }
            err.flush();
        }
    }

    @Override
    public synchronized void failed(Transfer transfer, String why) {
        State state = states.remove(transfer);
        if (state != null) {
            clear(state);
            err.println(transfer.what() + " broke off: " + why);
            err.flush();
        }
    }

    private void clear(State state) {
        if (state.open) {
            err.print("\r\033[K");
        }
    }
}
