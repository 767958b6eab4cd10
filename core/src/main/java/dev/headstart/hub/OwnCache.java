package dev.headstart.hub;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Our own cache: models converted from Maven artifacts and unpacked from the zoo, as ordinary Hugging Face folders
 * {@code models/org--name/VERSION}. A folder is made aside and renamed into place whole; {@code headstart_origin.json}, written last, says
 * where it came from and marks it complete.
 */
final class OwnCache {
    static final String ORIGIN = "headstart_origin.json";

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
                list.filter(OwnCache::complete).sorted().forEach(versions::add);
            } catch (IOException e) {
                throw new HeadstartException(
                        model + ": cannot be read (" + e.getMessage() + "); check its permissions", e);
            }
        }
        return versions;
    }
}
