package dev.headstart.cli;

import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Where a training's result goes: the options of every command that trains. */
final class OutputOptions {
    @Option(
            names = {"--output", "--output-dir"},
            required = true,
            paramLabel = "DIR",
            description = "Folder to make.")
    Path folder = Path.of("");

    @Option(
            names = {"--overwrite", "--overwrite-output-dir"},
            description = "Begin anew in a folder that is not empty.")
    boolean overwrite;

    @Option(
            names = "--resume",
            description =
                    "Go on where the last run into --output ended: complete checkpoints and finished trainings count.")
    boolean resume;
}
