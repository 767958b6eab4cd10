package dev.headstart.hub;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Keeps threads and processes from doing the same work twice. Only that: on some network file systems locks lie, so whatever is done under
 * one must be right without it (files of their own, renamed into place).
 */
final class FileLocks {
    private static final Map<Path, ReentrantLock> OF_THIS_PROCESS = new ConcurrentHashMap<>();

    private FileLocks() {}

    /** A lock that is held; closing gives it back. */
    static final class Held implements AutoCloseable {
        private final ReentrantLock local;
        private final @Nullable FileChannel channel;

        private Held(ReentrantLock local, @Nullable FileChannel channel) {
            this.local = local;
            this.channel = channel;
        }

        @Override
        public void close() {
            try {
                if (channel != null) {
                    channel.close();
                }
            } catch (IOException e) {
                // the lock goes with the process then
            } finally {
                local.unlock();
            }
        }
    }

    /**
     * Waits for the lock that {@code file} stands for.
     *
     * @param waiting run once when somebody else holds it
     */
    static Held acquire(Path file, Runnable waiting) throws IOException {
        Path key = file.toAbsolutePath().normalize();
        ReentrantLock local = OF_THIS_PROCESS.computeIfAbsent(key, k -> new ReentrantLock());
        boolean told = false;
        if (!local.tryLock()) {
            waiting.run();
            told = true;
            local.lock();
        }
        FileChannel channel = null;
        try {
            Files.createDirectories(key.resolveSibling("."));
            channel = FileChannel.open(key, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            while (!tryLock(channel)) {
                if (!told) {
                    waiting.run();
                    told = true;
                }
                Thread.sleep(100);
            }
            return new Held(local, channel);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            closeQuietly(channel);
            local.unlock();
            throw new IOException("interrupted while waiting for another process", e);
        } catch (IOException e) {
            closeQuietly(channel);
            return new Held(local, null); // a read-only or lockless file system: work without
        } catch (RuntimeException | Error e) {
            closeQuietly(channel);
            local.unlock();
            throw e;
        }
    }

    private static boolean tryLock(FileChannel channel) throws IOException {
        try {
            FileLock lock = channel.tryLock();
            return lock != null;
        } catch (OverlappingFileLockException e) {
            return false; // another class loader's copy of this class
        }
    }

    private static void closeQuietly(@Nullable FileChannel channel) {
        try {
            if (channel != null) {
                channel.close();
            }
        } catch (IOException e) {
            // nothing was written through it
        }
    }
}
