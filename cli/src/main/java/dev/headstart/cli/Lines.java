package dev.headstart.cli;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import org.jline.reader.EndOfFileException;
import org.jline.reader.LineReader;
import org.jline.reader.LineReaderBuilder;
import org.jline.reader.UserInterruptException;
import org.jline.terminal.Terminal;
import org.jline.terminal.Terminal.Signal;
import org.jline.terminal.TerminalBuilder;
import org.jspecify.annotations.Nullable;

/** Where a conversation's lines come from. */
interface Lines extends AutoCloseable {
    /** The next line; null at the end. */
    @Nullable
    String read(String prompt) throws IOException;

    /** Whether Ctrl-C was pressed since a line was last asked for: it throws away what is typed and ends what answers. */
    default boolean interrupted() {
        return false;
    }

    @Override
    default void close() throws IOException {}

    /** Those of stdin; no prompt is shown. */
    static Lines piped() {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        return prompt -> in.readLine();
    }

    /** Those typed on the terminal, which can be edited; arrows bring back earlier ones. */
    static Lines typed() throws IOException {
        return new Typed(TerminalBuilder.builder()
                .system(true)
                .provider("exec") // stty does what it needs; the others load native libraries
                .dumb(true)
                .nativeSignals(true)
                .build());
    }

    /** A line editor on a terminal. */
    final class Typed implements Lines {
        private final Terminal terminal;
        private final LineReader reader;
        private volatile boolean interrupted;

        Typed(Terminal terminal) {
            this.terminal = terminal;
            this.reader = LineReaderBuilder.builder()
                    .terminal(terminal)
                    .option(LineReader.Option.DISABLE_EVENT_EXPANSION, true) // an exclamation mark is one
                    .build();
            terminal.handle(Signal.INT, signal -> interrupted = true);
        }

        @Override
        public @Nullable String read(String prompt) {
            interrupted = false;
            try {
                return reader.readLine(prompt);
            } catch (UserInterruptException e) {
                interrupted = true;
                return "";
            } catch (EndOfFileException e) {
                return null;
            }
        }

        @Override
        public boolean interrupted() {
            return interrupted;
        }

        @Override
        public void close() throws IOException {
            terminal.close();
        }
    }
}
