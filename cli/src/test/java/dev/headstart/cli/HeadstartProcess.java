package dev.headstart.cli;

import dev.headstart.cli.HeadstartCommandTest.Result;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** The command line in a JVM of its own, with a home folder and a hub of its own: nothing of this machine's caches is seen or touched. */
record HeadstartProcess(Path home, String hub) {
    Result run(String... args) throws IOException, InterruptedException {
        return run("", List.of(args));
    }

    /** @param typed what stdin gives */
    Result run(String typed, List<String> args) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx256m",
                "-XX:TieredStopAtLevel=1",
                "-Duser.home=" + home,
                "-cp",
                System.getProperty("java.class.path"),
                HeadstartCommand.class.getName()));
        if (Runtime.version().feature() >= 22) { // as the launcher does
            command.add(1, "--enable-native-access=ALL-UNNAMED");
        }
        command.addAll(args);
        ProcessBuilder builder = new ProcessBuilder(command);
        Map<String, String> env = builder.environment();
        env.keySet().removeIf(n -> n.matches("(?i)(HF_|HUGGING|TRANSFORMERS|XDG_|SSL_|REQUESTS_|CURL_).*|.*_proxy"));
        env.put("HF_ENDPOINT", hub);
        Path err = Files.createTempFile(home, "err", "");
        Process process = builder.redirectError(err.toFile()).start();
        try (OutputStream in = process.getOutputStream()) {
            in.write(typed.getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            // it does not read, and has gone
        }
        String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (!process.waitFor(60, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new IOException(args + " takes too long: " + Files.readString(err));
        }
        return new Result(process.exitValue(), out, Files.readString(err));
    }
}
