package dev.headstart.cli;

import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/**
 * Loads the classes that most commands load, by running a few of them and throwing away what they print. The launcher runs it once, in the
 * background, to make its class-data-sharing archive.
 */
@Command(name = "start-up", hidden = true)
final class StartUpCommand implements Callable<Integer> {
    @Override
    public Integer call() {
        PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream(), false, StandardCharsets.UTF_8);
        for (List<String> arguments : List.of(List.of("--help"), List.of("doctor"), List.of("doctor", "--json"))) {
            HeadstartCommand.execute(nowhere, nowhere, arguments.toArray(String[]::new));
        }
        return 0;
    }
}
