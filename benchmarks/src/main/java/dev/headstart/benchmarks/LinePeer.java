package dev.headstart.benchmarks;

import dev.headstart.HeadstartException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/** A peer in Python: one process that answers lines. */
final class LinePeer implements AutoCloseable {
    /** What a peer made, one row a text. */
    record Answer(double seconds, long[][] ids) {}

    private final Process process;
    private final PrintStream ask;
    private final BufferedReader answer;

    /** Starts {@code python script arguments...} and waits until it says that it is ready. */
    LinePeer(String python, String script, String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(python, script));
        command.addAll(List.of(arguments));
        ProcessBuilder b = new ProcessBuilder(command);
        b.redirectError(ProcessBuilder.Redirect.DISCARD);
        process = b.start();
        ask = new PrintStream(process.getOutputStream(), true, StandardCharsets.UTF_8);
        answer = process.inputReader(StandardCharsets.UTF_8);
        line();
    }

    /** Generates {@code tokens} tokens for each prompt. */
    Answer generate(int tokens, int beams, long[][] prompts) throws IOException {
        String rows = Arrays.stream(prompts)
                .map(p -> Arrays.stream(p).mapToObj(Long::toString).collect(Collectors.joining(" ")))
                .collect(Collectors.joining(";"));
        ask.println("generate " + tokens + " " + beams + ";" + rows);
        String[] parts = line().split(";");
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
        Path status = Path.of("/proc/" + pid + "/status");
        return Files.exists(status)
                ? Files.readAllLines(status).stream()
                        .filter(l -> l.startsWith("VmHWM"))
                        .mapToLong(l -> Long.parseLong(l.replaceAll("\\D", "")) / 1024)
                        .findFirst()
                        .orElse(0)
                : 0;
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
