package dev.headstart.data;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A folder of media files: class folders (the folder's name is the label), flat, or flat with {@code metadata.csv} or
 * {@code metadata.jsonl} whose column {@code file_name} says which file (the layouts of Hugging Face's imagefolder and audiofolder).
 * Names are taken in their order; a split's folder ({@code train}, {@code test}) is given by its own path.
 */
final class FolderReader extends RowReader {
    private static final Set<String> IMAGES =
            Set.of("png", "jpg", "jpeg", "bmp", "gif", "webp", "tif", "tiff", "pgm", "ppm", "pbm", "dcm");
    private static final Set<String> SOUNDS = Set.of("wav", "flac", "mp3", "ogg", "aif", "aiff", "au", "m4a", "opus");

    private final String column;
    private final Path folder;
    private final Set<String> endings;
    private final @Nullable RowReader metadata;
    private final ArrayDeque<Path> classes = new ArrayDeque<>();
    private final ArrayDeque<Path> files = new ArrayDeque<>();
    private @Nullable String label;
    private final boolean labelled;

    private FolderReader(Path folder, ReadOptions options, boolean images, @Nullable RowReader metadata) {
        super(folder.toString(), options);
        this.folder = folder;
        this.column = images ? "image" : "audio";
        this.endings = images ? IMAGES : SOUNDS;
        this.metadata = metadata;
        if (metadata == null) {
            files.addAll(list(folder, p -> Files.isRegularFile(p) && media(p, endings)));
            if (files.isEmpty()) {
                classes.addAll(list(folder, Files::isDirectory));
            }
        }
        labelled = !classes.isEmpty();
    }

    static RowReader ofFolder(Path folder, ReadOptions options) {
        Boolean images = options.format() == Format.IMAGEFOLDER
                ? Boolean.TRUE
                : options.format() == Format.AUDIOFOLDER ? Boolean.FALSE : null;
        if (images == null) {
            if (options.format() != null) {
                throw new HeadstartException(folder + ": expected a " + options.format() + " file, found a folder");
            }
            images = kind(folder);
        }
        for (String name : List.of("metadata.csv", "metadata.jsonl")) {
            Path meta = folder.resolve(name);
            if (Files.exists(meta)) {
                return new FolderReader(folder, options, images, RowReader.open(meta, options.withFormat(null)));
            }
        }
        return new FolderReader(folder, options, images, null);
    }

    /** Whether there are images (true) or sounds (false) in the folder or one level below. */
    private static boolean kind(Path folder) {
        try (Stream<Path> s = Files.walk(folder, 2, FileVisitOption.FOLLOW_LINKS)) {
            for (Path p : (Iterable<Path>) s::iterator) {
                if (media(p, IMAGES)) {
                    return true;
                }
                if (media(p, SOUNDS)) {
                    return false;
                }
            }
        } catch (IOException e) {
            throw TextInput.failure(folder.toString(), e);
        }
        throw new HeadstartException(folder + ": expected image or audio files, or class folders of them, found none ("
                + String.join(", ", IMAGES.stream().sorted().toList()) + "; "
                + String.join(", ", SOUNDS.stream().sorted().toList()) + ")");
    }

    private static boolean media(Path p, Set<String> endings) {
        String name = String.valueOf(p.getFileName()).toLowerCase(Locale.ROOT);
        return !name.startsWith(".") && endings.contains(name.substring(name.lastIndexOf('.') + 1));
    }

    private static List<Path> list(Path folder, java.util.function.Predicate<Path> which) {
        try (Stream<Path> s = Files.list(folder)) {
            return s.filter(which)
                    .filter(p -> !String.valueOf(p.getFileName()).startsWith("."))
                    .sorted(Comparator.comparing(p -> String.valueOf(p.getFileName())))
                    .toList();
        } catch (IOException e) {
            throw TextInput.failure(folder.toString(), e);
        }
    }

    @Override
    @Nullable
    List<String> header() {
        if (metadata != null) {
            return null;
        }
        return labelled ? List.of(column, "label") : List.of(column);
    }

    @Override
    @Nullable
    Row read() {
        if (metadata != null) {
            return described(metadata);
        }
        while (files.isEmpty()) {
            Path next = classes.poll();
            if (next == null) {
                return null;
            }
            label = String.valueOf(next.getFileName());
            files.addAll(list(next, p -> Files.isRegularFile(p) && media(p, endings)));
        }
        Path file = files.remove();
        nextNumber();
        Map<String, @Nullable Object> values = new LinkedHashMap<>();
        values.put(column, file.toString());
        if (label != null) {
            values.put("label", label);
        }
        return row(0, values);
    }

    private @Nullable Row described(RowReader rows) {
        while (true) {
            Row r = rows.next();
            if (r == null) {
                return null;
            }
            nextNumber();
            if (!r.has("file_name")) {
                problems()
                        .report(
                                "missing column",
                                r.where() + ": no file_name; the row has "
                                        + r.values().keySet());
                continue;
            }
            Path file = folder.resolve(r.text("file_name")).normalize();
            if (!Files.exists(file) || !file.startsWith(folder.normalize())) {
                problems()
                        .report(
                                "missing file",
                                r.where() + ", column 'file_name': no file " + r.text("file_name") + " in " + folder);
                continue;
            }
            Map<String, @Nullable Object> values = new LinkedHashMap<>();
            values.put(column, file.toString());
            r.values().forEach((k, v) -> {
                if (!k.equals("file_name")) {
                    values.put(k, v);
                }
            });
            return row(r.line(), values);
        }
    }

    @Override
    public void close() {
        if (metadata != null) {
            metadata.close();
        }
    }
}
