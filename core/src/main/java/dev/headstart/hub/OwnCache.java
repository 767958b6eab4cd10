package dev.headstart.hub;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermission;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Our own cache: models converted from Maven artifacts and unpacked from the zoo, as ordinary Hugging Face folders
 * {@code models/org--name/VERSION}. A folder is made aside and renamed into place whole; {@code headstart_origin.json}, written last, says
 * where it came from and marks it complete.
 */
final class OwnCache {
    static final String ORIGIN = "headstart_origin.json";

    private static final String STAGING = ".staging-";
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path root;

    OwnCache(Path root) {
        this.root = root;
    }

    Path root() {
        return root;
    }

    Path models() {
        return root.resolve("models");
    }

    /** Where a version of a model is or will be. */
    Path folder(String name, String version) {
        return models().resolve(name.replace("/", "--")).resolve(version);
    }

    /** The folder that a path of a cache lies in. */
    static Path parent(Path path) {
        return path.resolveSibling(".").normalize();
    }

    /** Whether a folder holds a whole model. */
    static boolean complete(Path folder) {
        return Files.isRegularFile(folder.resolve(ORIGIN));
    }

    /** The newest complete version of a model, or the version asked for; null when there is none. */
    @Nullable
    Path find(ModelId id) {
        String revision = id.revision();
        if (revision != null && !revision.equals("main")) {
            Path folder = folder(id.name(), revision.replace("/", "--"));
            return complete(folder) ? folder : null;
        }
        return versions(models().resolve(id.name().replace("/", "--"))).stream()
                .max(Comparator.comparing(OwnCache::modified))
                .orElse(null);
    }

    private static java.nio.file.attribute.FileTime modified(Path folder) {
        try {
            return Files.getLastModifiedTime(folder.resolve(ORIGIN));
        } catch (IOException e) {
            return java.nio.file.attribute.FileTime.fromMillis(0);
        }
    }

    /** All complete folders of one model. */
    static List<Path> versions(Path model) {
        List<Path> versions = new ArrayList<>();
        if (Files.isDirectory(model)) {
            try (Stream<Path> list = Files.list(model)) {
                list.filter(p -> !p.getFileName().toString().startsWith(STAGING))
                        .filter(OwnCache::complete)
                        .sorted()
                        .forEach(versions::add);
            } catch (IOException e) {
                throw new HeadstartException(
                        model + ": cannot be read (" + e.getMessage() + "); check its permissions", e);
            }
        }
        return versions;
    }

    /** Where a folder came from; an empty object when it does not say. */
    static JsonNode origin(Path folder) {
        try {
            JsonNode origin = JSON.readTree(folder.resolve(ORIGIN).toFile());
            return origin == null ? JSON.createObjectNode() : origin;
        } catch (IOException e) {
            return JSON.createObjectNode();
        }
    }

    /** Fills an empty folder with a model and says where it came from. */
    interface Maker {
        ObjectNode make(Path staging) throws IOException;
    }

    /**
     * Makes a folder once, whoever else wants it too: under a lock, aside, and renamed when it is whole.
     *
     * @param name what is made, for the note to those who wait
     */
    Path install(Path target, String name, Progress progress, Maker maker) throws IOException {
        Path model = target.resolveSibling(".").normalize();
        Path lock = root.resolve("locks").resolve(model.getFileName() + "--" + target.getFileName() + ".lock");
        try (FileLocks.Held held =
                FileLocks.acquire(lock, () -> progress.note("another process makes " + name + "; waiting for it"))) {
            if (complete(target)) {
                return target;
            }
            Files.createDirectories(model);
            removeLeftovers(model, target.getFileName().toString());
            Path staging = Files.createTempDirectory(model, STAGING + target.getFileName() + "-");
            try {
                ObjectNode origin = maker.make(staging);
                origin.put("made", Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
                Files.writeString(staging.resolve(ORIGIN), origin.toPrettyString() + "\n");
                readable(staging);
                if (Files.exists(target) && !complete(target)) {
                    JarModel.delete(target); // somebody took files out of it
                }
                try {
                    Files.move(staging, target, StandardCopyOption.ATOMIC_MOVE);
                } catch (IOException e) {
                    if (!complete(target)) { // else a process that saw no lock was faster, with the same content
                        throw e;
                    }
                }
                return target;
            } finally {
                JarModel.delete(staging);
            }
        }
    }

    /** What a process that died left behind. The lock keeps living ones away; where locks lie, an hour's grace does. */
    private static void removeLeftovers(Path model, String version) throws IOException {
        try (Stream<Path> list = Files.list(model)) {
            for (Path left : list.filter(p -> p.getFileName().toString().startsWith(STAGING + version + "-"))
                    .toList()) {
                if (Files.getLastModifiedTime(left)
                        .toInstant()
                        .isBefore(Instant.now().minus(1, ChronoUnit.HOURS))) {
                    JarModel.delete(left);
                }
            }
        }
    }

    /** Temporary folders are their owner's alone; a model in a shared cache is everybody's to read. */
    private static void readable(Path folder) throws IOException {
        try {
            Set<PosixFilePermission> parent =
                    Files.getPosixFilePermissions(folder.resolveSibling(".").normalize());
            Files.setPosixFilePermissions(folder, parent);
        } catch (UnsupportedOperationException e) {
            // Windows: folders inherit
        }
    }
}
