package dev.headstart.train.finetune;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;

/** What identifies the data that a model was trained on. */
public final class DataHash {
    private static final String ARCHIVE = ".npz#";

    private DataHash() {}

    /**
     * SHA-256 in hexadecimal, as {@code sha256sum} prints it: of a file's bytes; of the whole archive where a part of one is named ({@code FILE.npz#train});
     * of a folder, of the list of its files with theirs, {@code find -L . -type f -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum}.
     * So a folder is known by names and contents, wherever it stands; files and folders whose names begin with a dot do not count.
     *
     * @param data a table counts by its own bytes, not by those of the files that it names; what is not there has the empty string
     * @throws HeadstartException when something cannot be read
     */
    public static String of(Path data) {
        String name = data.toString();
        int part = name.lastIndexOf(ARCHIVE);
        Path place = part < 0 || Files.exists(data) ? data : Path.of(name.substring(0, part + ARCHIVE.length() - 1));
        if (!Files.exists(place)) {
            return "";
        }
        try {
            return Files.isDirectory(place) ? folder(place) : file(place);
        } catch (IOException | UncheckedIOException e) {
            throw new HeadstartException(place + ": cannot be read for its checksum: " + e.getMessage(), e);
        }
    }

    private static String file(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            DigestInputStream digest = new DigestInputStream(in, sha256());
            digest.transferTo(OutputStream.nullOutputStream());
            return HexFormat.of().formatHex(digest.getMessageDigest().digest());
        }
    }

    private static String folder(Path folder) throws IOException {
        List<String> names;
        try (Stream<Path> all = Files.walk(folder, FileVisitOption.FOLLOW_LINKS)) {
            names = all.filter(Files::isRegularFile)
                    .map(folder::relativize)
                    .filter(DataHash::isShown)
                    .map(p -> p.toString().replace('\\', '/'))
                    .sorted(Comparator.comparing(n -> n.getBytes(StandardCharsets.UTF_8), Arrays::compareUnsigned))
                    .toList();
        }
        MessageDigest list = sha256();
        List<String> lines = names.parallelStream()
                .map(n -> {
                    try {
                        return file(folder.resolve(n)) + "  " + n + "\n";
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                })
                .toList();
        lines.forEach(line -> list.update(line.getBytes(StandardCharsets.UTF_8)));
        return HexFormat.of().formatHex(list.digest());
    }

    private static boolean isShown(Path relative) {
        for (Path part : relative) {
            if (part.toString().startsWith(".")) {
                return false;
            }
        }
        return true;
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every JDK has it
        }
    }

    /** A row of a model card's table {@code | split | file | examples | sha256 |}. */
    public static String row(String split, Path data, int examples) {
        return "| " + split + " | " + data.getFileName() + " | " + examples + " | `" + of(data) + "` |\n";
    }
}
