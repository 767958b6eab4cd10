package dev.headstart.benchmarks;

import dev.headstart.HeadstartException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/** One side of a comparison: a process that answers lines. */
final class LinePeer implements AutoCloseable {
    /** What a peer made, one row a text. */
    record Answer(double seconds, long[][] ids) {}

    private final Process process;
    private final PrintStream ask;
    private final BufferedReader answer;
    private final String greeting;

    /** Starts {@code python script arguments...} and waits until it says that it is ready. */
    LinePeer(String python, String script, String... arguments) throws IOException {
        this(command(python, script, arguments), ProcessBuilder.Redirect.DISCARD);
    }

    /** Starts any program that answers lines and waits for its first line. @param errors where its stderr goes */
    LinePeer(List<String> command, ProcessBuilder.Redirect errors) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(errors);
        List.of("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "GLIBC_TUNABLES")
                .forEach(builder.environment()::remove); // which are set for Headstart's training alone
        process = builder.start();
        ask = new PrintStream(process.getOutputStream(), true, StandardCharsets.UTF_8);
        answer = process.inputReader(StandardCharsets.UTF_8);
        greeting = line();
    }

    private static List<String> command(String python, String script, String... arguments) {
        List<String> command = new ArrayList<>(List.of(python, script));
        command.addAll(List.of(arguments));
        return command;
    }

    /** Its first line: {@code ready}, or why it cannot do this. */
    String greeting() {
        return greeting;
    }

    /** One line there, one line back, and a rest. */
    String ask(String what) throws IOException {
        ask.println(what);
        String line = line();
        rest();
        return line;
    }

    /** Lets the threads of the side whose turn ends fall asleep: Intel's OpenMP has them wait actively for 200 ms, on the next side's cores. */
    static void rest() {
        try {
            Thread.sleep(400);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Generates {@code tokens} tokens for each prompt. */
    Answer generate(int tokens, int beams, long[][] prompts) throws IOException {
        String rows = Arrays.stream(prompts)
                .map(p -> Arrays.stream(p).mapToObj(Long::toString).collect(Collectors.joining(" ")))
                .collect(Collectors.joining(";"));
        String[] parts = ask("generate " + tokens + " " + beams + ";" + rows).split(";");
        long[][] ids = Arrays.stream(parts)
                .skip(1)
                .map(r -> Arrays.stream(r.trim().split(" "))
                        .mapToLong(Long::parseLong)
                        .toArray())
                .toArray(long[][]::new);
        return new Answer(Double.parseDouble(parts[0].trim()), ids);
    }

    /** Peak resident memory in MB, as Linux counts it. */
    long memory() throws IOException {
        return peak(process.pid());
    }

    static long peak(long pid) throws IOException {
        return VmHwm.of(pid) / 1024;
    }

    private String line() throws IOException {
        String line = answer.readLine();
        if (line == null) {
            throw new HeadstartException("the peer cannot do this (or ended): run it by hand to see why");
        }
        return line;
    }

    @Override
    public void close() {
        ask.close();
        process.destroy();
    }
}
