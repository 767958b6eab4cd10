package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine.Command;

class HeadstartCommandTest {
    record Result(int code, String out, String err) {
        String lastLine() {
            return err.lines().reduce("", (first, second) -> second);
        }
    }

    static Result run(String... args) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        int code = HeadstartCommand.execute(
                new PrintStream(out, true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8),
                args);
        return new Result(code, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    /** The same for commands that print to System.out, which is stdout in a process of its own. */
    static Result runPrinting(List<String> command) {
        PrintStream stdout = System.out;
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        try {
            Result r = run(command.toArray(String[]::new));
            return new Result(r.code(), r.out() + out.toString(StandardCharsets.UTF_8), r.err());
        } finally {
            System.setOut(stdout);
        }
    }

    @Test
    void helpNamesEveryCommandOnStdout() {
        Result result = run("--help");
        assertThat(result.code()).isZero();
        assertThat(result.err()).isEmpty();
        assertThat(Commands.all()).allSatisfy(entry -> assertThat(result.out()).contains("  " + entry.name() + " "));
    }

    @Test
    void everyCommandIsAnnotatedWithItsNameAndHasHelp() {
        assertThat(Commands.all()).allSatisfy(entry -> {
            Command command = entry.load().getAnnotation(Command.class);
            assertThat(command).isNotNull();
            assertThat(command.name()).isEqualTo(entry.name());
            Result help = run(entry.name(), "--help");
            assertThat(help.code()).isZero();
            assertThat(help.out())
                    .startsWith("Usage: headstart " + entry.name())
                    .contains("--debug");
        });
    }

    @Test
    void usageErrorsAreOneLineAndExitCode2() {
        for (String[] args :
                new String[][] {{}, {"doktor"}, {"doctor", "--nonsense"}, {"doctor", "surplus"}, {"--nonsense"}}) {
            Result result = run(args);
            assertThat(result.code()).as(String.join(" ", args)).isEqualTo(2);
            assertThat(result.out()).isEmpty();
            assertThat(result.err().lines()).hasSize(1);
            assertThat(result.lastLine()).startsWith("headstart").endsWith("--help");
        }
        assertThat(run("doktor").lastLine()).contains("did you mean 'doctor'?");
        assertThat(run("doctor", "--jsno").lastLine()).contains("Unknown option: '--jsno' (did you mean --json?)");
        assertThat(run("evaluate", "--task=perplexity", "--batch_size=3").lastLine())
                .contains("(did you mean --batch-size?)");
        assertThat(run("doctor", "--nonsense").lastLine()).doesNotContain("an input");
        assertThat(run("tokenize", "--model", "x", "--nonsense").lastLine())
                .contains("an input that starts with - goes after --");
    }

    @Test
    void versionSaysWhichJvm() {
        assertThat(run("--version").out()).startsWith("headstart ").contains(System.getProperty("java.version"));
    }

    @Test
    void errorsAreOneLineAndTheTraceComesWithDebugAlone() {
        HeadstartException known = new HeadstartException(
                "config.json: field\n  hidden_size: expected a number", new IllegalStateException("x"));
        assertThat(report(known, false)).isEqualTo("headstart: config.json: field hidden_size: expected a number\n");
        assertThat(report(known, true))
                .contains("\tat ")
                .endsWith("headstart: config.json: field hidden_size: expected a number\n");
        assertThat(report(new IllegalArgumentException("first\nsecond"), false))
                .isEqualTo(
                        "headstart: unexpected java.lang.IllegalArgumentException: first (--debug prints the stack trace)\n");
    }

    @Test
    void lackOfMemoryNamesTheKnob() {
        assertThat(report(new OutOfMemoryError("Java heap space"), false)).contains("HEADSTART_JAVA_OPTS=-Xmx");
        assertThat(report(
                        new OutOfMemoryError(
                                "Physical memory usage is too high: physicalBytes (9G) > maxPhysicalBytes (8G)"),
                        false))
                .contains("HEADSTART_JAVA_OPTS=-Dorg.bytedeco.javacpp.maxPhysicalBytes=");
    }

    private static String report(Throwable e, boolean debug) {
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        PrintStream stream = new PrintStream(err, true, StandardCharsets.UTF_8);
        int code = HeadstartCommand.report(e, "headstart", debug, new java.io.PrintWriter(stream, true));
        assertThat(code).isEqualTo(1);
        return err.toString(StandardCharsets.UTF_8).replace(System.lineSeparator(), "\n");
    }

    @Test
    void doctorPrintsJsonThatSaysWhatWasLoaded() throws Exception {
        Result result = run("doctor", "--json");
        assertThat(result.code()).as(result.err()).isZero();
        JsonNode report = new ObjectMapper().readTree(result.out());
        assertThat(report.at("/engine/libtorch").asText()).startsWith("2.");
        assertThat(report.at("/engine/loaded_from").asText()).contains("jnitorch");
        assertThat(report.at("/engine/threads").asInt()).isPositive();
        assertThat(report.at("/machine/memory").asLong()).isGreaterThan(1L << 28);
        assertThat(report.at("/java/version").asText()).startsWith(System.getProperty("java.specification.version"));
    }

    @Test
    void cgroupLimitIsTheSmallestOnTheWayUp(@TempDir Path root) throws Exception {
        write(root.resolve("proc/self/cgroup"), "0::/a/b\n");
        write(root.resolve("sys/fs/cgroup/a/memory.max"), "4000000000\n");
        write(root.resolve("sys/fs/cgroup/a/b/memory.max"), "max\n");
        assertThat(MachineMemory.cgroup(root)).isEqualTo(4_000_000_000L);

        write(root.resolve("proc/self/cgroup"), "9:cpu:/x\n5:memory:/x\n");
        write(root.resolve("sys/fs/cgroup/memory/memory.limit_in_bytes"), "9223372036854771712\n");
        assertThat(MachineMemory.cgroup(root)).isNull();
        write(root.resolve("sys/fs/cgroup/memory/x/memory.limit_in_bytes"), "123456789\n");
        assertThat(MachineMemory.cgroup(root)).isEqualTo(123_456_789L);
        assertThat(MachineMemory.cgroup(root.resolve("nowhere"))).isNull();
    }

    private static void write(Path file, String text) throws Exception {
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
    }
}
