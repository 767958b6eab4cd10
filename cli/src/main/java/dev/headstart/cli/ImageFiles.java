package dev.headstart.cli;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/** The image files of a folder, by the ends of their names. */
final class ImageFiles {
    static final Set<String> ENDINGS = Set.of("jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "gif");

    private ImageFiles() {}

    /** Subfolders included, in order. @throws HeadstartException when there are none */
    static List<Path> under(Path folder) {
        if (!Files.isDirectory(folder)) {
            throw new HeadstartException(
                    folder + ": expected a folder of images, found " + (Files.exists(folder) ? "a file" : "nothing"));
        }
        try (Stream<Path> all = Files.walk(folder, FileVisitOption.FOLLOW_LINKS)) {
            List<Path> found = all.filter(p -> {
                        String name = String.valueOf(p.getFileName()).toLowerCase(Locale.ROOT);
                        return ENDINGS.contains(name.substring(name.lastIndexOf('.') + 1)) && Files.isRegularFile(p);
                    })
                    .sorted()
                    .toList();
            if (found.isEmpty()) {
                throw new HeadstartException(
                        folder + ": no images (" + String.join(", ", new TreeSet<>(ENDINGS)) + ") in this folder");
            }
            return found;
        } catch (IOException | UncheckedIOException e) {
            throw new HeadstartException(folder + ": cannot be listed: " + e.getMessage(), e);
        }
    }
}
