package dev.headstart.train;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** The folder that a training makes. */
public final class OutputFolder {
    private OutputFolder() {}

    /**
     * Looks before anything is written.
     *
     * @param again whether it may hold something: what an earlier run left is gone on from, or replaced
     * @param remedy what to do where it may not
     * @throws HeadstartException when it is a file, or holds what it may not
     */
    public static void check(Path folder, boolean again, String remedy) {
        if (!Files.exists(folder)) {
            return;
        }
        if (!Files.isDirectory(folder)) {
            throw new HeadstartException(folder + ": expected a folder to write to, found a file");
        }
        try (Stream<Path> inside = Files.list(folder)) {
            if (!again && inside.findAny().isPresent()) {
                throw new HeadstartException(folder + ": the folder is not empty; " + remedy);
            }
        } catch (IOException e) {
            throw new HeadstartException(folder + ": cannot be listed: " + e.getMessage(), e);
        }
    }
}
