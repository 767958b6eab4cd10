package dev.headstart.io;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/** Files that appear whole or not at all: written beside their place, synced, renamed. */
public final class StagedFile {
    private static final AtomicLong NUMBER = new AtomicLong();

    private StagedFile() {}

    /** Writes the content. */
    @FunctionalInterface
    public interface Writer {
        /** Writes everything to {@code file}, which is empty at first and is closed by the caller. */
        void write(FileChannel file) throws IOException;
    }

    /**
     * Writes {@code target} through a staging file in the same folder, which is synced and then renamed over it; the folder is made when it is
     * missing. Whoever has the old file mapped keeps the old content. After a failure the staging file is gone and {@code target} is as before.
     *
     * @throws HeadstartException when it cannot be written (no permission, disk full)
     */
    public static void write(Path target, Writer writer) {
        Path whole = target.toAbsolutePath();
        Path folder = whole.getParent();
        if (folder == null) {
            throw new HeadstartException(target + ": expected the name of a file to write, found the root folder");
        }
        String name = "." + whole.getFileName() + "." + ProcessHandle.current().pid() + "-" + NUMBER.incrementAndGet()
                + ".tmp";
        Path staging = folder.resolve(name);
        boolean done = false;
        try {
            Files.createDirectories(folder);
            try (var file = FileChannel.open(staging, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                writer.write(file);
                file.force(true);
            }
            move(staging, whole);
            done = true;
            syncFolder(folder);
        } catch (IOException e) {
            throw new HeadstartException(
                    target + ": cannot be written (" + reason(e) + "); free space or choose another place", e);
        } finally {
            if (!done) {
                delete(staging);
            }
        }
    }

    private static void move(Path from, Path to) throws IOException {
        try {
            Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
        } catch (AtomicMoveNotSupportedException e) {
            Files.move(from, to, StandardCopyOption.REPLACE_EXISTING);
        }
    }

    /** Makes the rename itself durable; file systems that cannot open a folder do without. */
    private static void syncFolder(Path folder) {
        try (var channel = FileChannel.open(folder, StandardOpenOption.READ)) {
            channel.force(true);
        } catch (IOException e) {
            // Windows cannot open folders; the file's own data is synced already.
            return;
        }
    }

    private static void delete(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            // The failure that brought us here is the one to report.
            return;
        }
    }

    /** What an I/O error says to a person. */
    static String reason(IOException e) {
        if (e instanceof NoSuchFileException) {
            return "no such file";
        }
        if (e instanceof java.nio.file.AccessDeniedException) {
            return "no permission";
        }
        @Nullable String message = e.getMessage();
        return message == null || message.isBlank() ? e.getClass().getSimpleName() : message;
    }
}
