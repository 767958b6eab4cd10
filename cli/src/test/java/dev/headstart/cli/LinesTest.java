package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PipedInputStream;
import java.io.PipedOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import org.jline.terminal.Size;
import org.jline.terminal.Terminal.Signal;
import org.jline.terminal.impl.ExternalTerminal;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The line editor of a conversation, on a terminal whose keys are pressed here. */
class LinesTest {
    private static final String UP = "\033OA";
    private static final String LEFT = "\033OD";
    private static final String ENTER = "\r";
    private static final String CONTROL_D = "\004";

    private final ByteArrayOutputStream screen = new ByteArrayOutputStream();
    private final PipedOutputStream keys = new PipedOutputStream();

    private ExternalTerminal terminal() throws IOException {
        ExternalTerminal terminal = new ExternalTerminal(
                "test", "xterm", new PipedInputStream(keys, 1 << 12), screen, StandardCharsets.UTF_8);
        terminal.setSize(new Size(80, 24));
        return terminal;
    }

    private void press(String... sequence) throws IOException {
        for (String s : sequence) {
            keys.write(s.getBytes(StandardCharsets.UTF_8));
        }
        keys.flush();
    }

    @Test
    @Timeout(value = 60, unit = TimeUnit.SECONDS)
    void linesAreEditedAndComeBack() throws IOException {
        try (Lines lines = new Lines.Typed(terminal())) {
            press("héllo wrld!", LEFT, LEFT, LEFT, LEFT, "o", ENTER);
            assertThat(lines.read("> ")).isEqualTo("héllo world!");
            press("second", ENTER);
            assertThat(lines.read("> ")).isEqualTo("second");
            press(UP, UP, ENTER);
            assertThat(lines.read("> ")).isEqualTo("héllo world!");
            press(CONTROL_D);
            assertThat(lines.read("> ")).isNull();
        }
        assertThat(screen.toString(StandardCharsets.UTF_8)).contains("> ");
    }

    @Test
    @Timeout(value = 60, unit = TimeUnit.SECONDS)
    void controlCWhileAnAnswerIsMadeIsSeenOnce() throws IOException {
        ExternalTerminal terminal = terminal();
        try (Lines lines = new Lines.Typed(terminal)) {
            assertThat(lines.interrupted()).isFalse();
            terminal.raise(Signal.INT);
            assertThat(lines.interrupted()).isTrue();
            press("next", ENTER);
            assertThat(lines.read("> ")).isEqualTo("next");
            assertThat(lines.interrupted()).isFalse();
        }
    }
}
