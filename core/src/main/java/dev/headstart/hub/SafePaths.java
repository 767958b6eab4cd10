package dev.headstart.hub;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Pattern;

/** Names of files that other people chose (the hub, an archive, an index) become paths only here. */
final class SafePaths {
    private static final Pattern BAD = Pattern.compile(
            "(^|/)\\.{0,2}(/|$)|[\\\\:\\x00-\\x1f]|(^|/)(?i:con|prn|aux|nul|com\\d|lpt\\d)(\\.[^/]*)?(/|$)");

    private SafePaths() {}

    /**
     * The name, when it is a relative path of plain parts, with {@code /} between them.
     *
     * @param where what names the file, for the error
     * @throws HeadstartException when it is absolute, climbs with {@code ..}, or holds characters that some system treats specially
     */
    static String check(String name, String where) {
        if (name.isEmpty() || name.length() > 1000 || BAD.matcher(name).find()) {
            throw new HeadstartException(where + ": refuses the file name '" + name.replaceAll("\\p{Cntrl}", "?")
                    + "'; names must be relative and stay inside the model's folder");
        }
        return name;
    }

    /**
     * {@code folder/name}, when nothing on the way (a symbolic link) leads out of the folder.
     *
     * @throws HeadstartException when the name or a link escapes
     */
    static Path resolve(Path folder, String name, String where) throws IOException {
        Path root = Files.exists(folder)
                ? folder.toRealPath()
                : folder.toAbsolutePath().normalize();
        Path target = root;
        String[] parts = check(name, where).split("/");
        for (int i = 0; i < parts.length - 1; i++) {
            target = target.resolve(parts[i]);
            if (Files.isSymbolicLink(target) && !target.toRealPath().startsWith(root)) {
                throw new HeadstartException(where + ": refuses to write '" + name + "': " + target
                        + " is a link that leads out of the model's folder; remove it");
            }
        }
        return folder.resolve(name);
    }
}
