package dev.headstart.hub;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;

/** Whether what is to be written fits. */
final class DiskSpace {
    private DiskSpace() {}

    /** Bytes that this user can still write below {@code folder}, which need not exist yet; {@link Long#MAX_VALUE} when nobody knows. */
    static long usable(Path folder) {
        @Nullable Path at = folder.toAbsolutePath();
        while (at != null && !Files.exists(at)) {
            at = at.getParent();
        }
        if (at == null) {
            return Long.MAX_VALUE;
        }
        try {
            long usable = Files.getFileStore(at).getUsableSpace();
            return usable == 0 && Files.getFileStore(at).getTotalSpace() == 0 ? Long.MAX_VALUE : usable;
        } catch (IOException e) {
            return Long.MAX_VALUE;
        }
    }

    /**
     * @throws HeadstartException when {@code bytes} do not fit below {@code folder}
     */
    static void require(ToLongFunction<Path> usableSpace, Path folder, long bytes, String what) {
        long usable = usableSpace.applyAsLong(folder);
        if (bytes > usable) {
            throw new HeadstartException(what + " needs " + text(bytes) + " in " + folder + ", which has "
                    + text(usable) + " left; make room, or move the cache (HF_HOME, XDG_CACHE_HOME)");
        }
    }

    /** A size as people write it, in decimal units: {@code 440 MB}. */
    static String text(long bytes) {
        if (bytes < 0) {
            return "unknown size";
        }
        if (bytes < 1000) {
            return bytes + " B";
        }
        String[] units = {"kB", "MB", "GB", "TB", "PB"};
        double value = bytes;
        int unit = -1;
        do {
            value /= 1000;
            unit++;
        } while (value >= 999.5 && unit < units.length - 1);
        return String.format(Locale.ROOT, value < 9.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    }
}
