package dev.headstart.train;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.io.StagedFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The checkpoints of one run: folders {@code checkpoint-N}, N the number of steps done. Each is written under another name, synced, marked complete by
 * a list of its files and their sizes, and renamed; a folder without a fitting list is never resumed from.
 */
final class Checkpoints {
    private static final Logger LOG = LoggerFactory.getLogger(Checkpoints.class);
    private static final Pattern NAME = Pattern.compile("checkpoint-(\\d{1,12})");
    private static final String MARK = "complete.json";
    private static final ObjectMapper JSON = new ObjectMapper();
    private final Path folder;

    Checkpoints(Path folder) {
        this.folder = folder;
    }

    Path path(long step) {
        return folder.resolve("checkpoint-" + step);
    }

    /** Writes a checkpoint whole or not at all. */
    Path write(long step, Consumer<Path> content) {
        Path staging = folder.resolve(".checkpoint-" + step + ".tmp");
        Path target = path(step);
        try {
            delete(staging);
            Files.createDirectories(staging);
            content.accept(staging);
            ObjectNode files = JSON.createObjectNode();
            for (Path file : regularFiles(staging)) {
                sync(file, StandardOpenOption.WRITE);
                files.put(staging.relativize(file).toString().replace('\\', '/'), Files.size(file));
            }
            byte[] mark = JSON.writeValueAsBytes(files);
            StagedFile.write(staging.resolve(MARK), out -> out.write(ByteBuffer.wrap(mark)));
            delete(target);
            Files.move(staging, target, StandardCopyOption.ATOMIC_MOVE);
            sync(folder, StandardOpenOption.READ);
            return target;
        } catch (IOException e) {
            throw new HeadstartException(
                    target + ": the checkpoint cannot be written (" + e.getMessage()
                            + "); free space or choose another --output; earlier checkpoints are intact",
                    e);
        }
    }

    /** The newest complete checkpoint. */
    Optional<Path> latest() {
        for (Path p : all()) {
            if (isComplete(p)) {
                return Optional.of(p);
            }
            LOG.warn("{}: incomplete, not used", p);
        }
        return Optional.empty();
    }

    /** Number of steps that a checkpoint has behind it. */
    static long step(Path checkpoint) {
        Matcher m = NAME.matcher(String.valueOf(checkpoint.getFileName()));
        return m.matches() ? Long.parseLong(m.group(1)) : -1;
    }

    static boolean isComplete(Path checkpoint) {
        try {
            JsonNode files = JSON.readTree(checkpoint.resolve(MARK).toFile());
            if (files == null || !files.isObject() || files.isEmpty()) {
                return false;
            }
            for (var e : files.properties()) {
                Path file = checkpoint.resolve(e.getKey());
                if (!Files.isRegularFile(file)
                        || Files.size(file) != e.getValue().asLong()) {
                    return false;
                }
            }
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** Deletes all but the newest {@code keep} and {@code best}, and what a killed run left half-written. */
    void prune(int keep, long best) {
        List<Path> all = all();
        try (Stream<Path> inside = Files.list(folder)) {
            List<Path> left = inside.filter(p -> String.valueOf(p.getFileName()).matches("\\.checkpoint-\\d+\\.tmp"))
                    .toList();
            for (Path p : left) {
                delete(p);
            }
            for (Path p : all.subList(Math.min(keep, all.size()), all.size())) {
                if (step(p) != best) {
                    delete(p);
                }
            }
        } catch (IOException e) {
            LOG.warn("{}: old checkpoints could not be removed: {}", folder, e.getMessage());
        }
    }

    /** Newest first. */
    private List<Path> all() {
        if (!Files.isDirectory(folder)) {
            return List.of();
        }
        try (Stream<Path> inside = Files.list(folder)) {
            return inside.filter(p -> step(p) >= 0)
                    .sorted(Comparator.comparingLong(Checkpoints::step).reversed())
                    .toList();
        } catch (IOException e) {
            throw new HeadstartException(folder + ": cannot be listed: " + e.getMessage(), e);
        }
    }

    private static List<Path> regularFiles(Path root) throws IOException {
        try (Stream<Path> files = Files.walk(root)) {
            return files.filter(Files::isRegularFile).sorted().toList();
        }
    }

    private static void sync(Path path, StandardOpenOption how) throws IOException {
        try (FileChannel channel = FileChannel.open(path, how)) {
            channel.force(true);
        } catch (IOException e) {
            if (how == StandardOpenOption.WRITE) {
                throw e;
            }
            LOG.debug("{}: folders cannot be synced here", path);
        }
    }

    static void delete(Path root) throws IOException {
        if (!Files.exists(root)) {
            return;
        }
        try (Stream<Path> files = Files.walk(root)) {
            for (Path p : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(p);
            }
        }
    }
}
