package dev.headstart.cli;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * How much memory this process may use: the machine's, or its cgroup's where that is less. JavaCPP's own default ends work at four
 * times the Java heap, and no limit at all lets unclosed tensors grow without bound, so the program sets one.
 */
final class MachineMemory {
    /** The property by which JavaCPP is told; what the user sets stays. */
    static final String LIMIT = "org.bytedeco.javacpp.maxPhysicalBytes";

    private static final String TRACKED_LIMIT = "org.bytedeco.javacpp.maxBytes";
    private static final double SHARE = 0.8;

    /** Sets the limit of native memory to about 80 % of {@link #available}; must run before JavaCPP's first class is loaded. */
    static void limitNative() {
        if (System.getProperty(LIMIT) == null) System.setProperty(LIMIT, Long.toString((long) (available() * SHARE)));
        if (System.getProperty(TRACKED_LIMIT) == null) System.setProperty(TRACKED_LIMIT, System.getProperty(LIMIT));
    }

    static String describeLimit() {
        String limit = System.getProperty(LIMIT, "JavaCPP's default");
        return limit.matches("\\d+") ? gigabytes(Long.parseLong(limit)) : limit;
    }

    static String gigabytes(long bytes) {
        return String.format(Locale.ROOT, "%.1f GB", bytes / 1e9);
    }

    /** Bytes that this process may use. */
    static long available() {
        Long cgroup = cgroup(Path.of("/"));
        return cgroup == null ? machine() : Math.min(cgroup, machine());
    }

    /** Bytes of the machine. */
    static long machine() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/meminfo"))) {
                if (line.startsWith("MemTotal:")) return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
            }
        } catch (IOException | NumberFormatException e) {
            // not Linux: the JVM knows
        }
        return ManagementFactory.getOperatingSystemMXBean() instanceof com.sun.management.OperatingSystemMXBean os
                ? os.getTotalMemorySize()
                : 4 * Runtime.getRuntime().maxMemory();
    }

    /**
     * The smallest limit among this process's control group and its parents, or null where there is none.
     *
     * @param root the root of the file system ({@code /}; a folder of a test)
     */
    static @Nullable Long cgroup(Path root) {
        Long least = null;
        try {
            for (String line : Files.readAllLines(root.resolve("proc/self/cgroup"))) {
                String[] field = line.split(":", 3); // id:controllers:path
                if (field.length < 3) continue;
                boolean unified = field[0].equals("0") && field[1].isEmpty();
                if (!unified && !java.util.List.of(field[1].split(",")).contains("memory")) continue;
                Path base = root.resolve(unified ? "sys/fs/cgroup" : "sys/fs/cgroup/memory");
                String file = unified ? "memory.max" : "memory.limit_in_bytes";
                // inside a container the path may be the host's, of which only the root is visible
                for (Path group = base.resolve("." + field[2]).normalize();
                        group != null && group.startsWith(base);
                        group = group.getParent()) {
                    Long limit = read(group.resolve(file));
                    if (limit != null && (least == null || limit < least)) least = limit;
                }
            }
        } catch (IOException e) {
            return null; // no control groups here
        }
        return least;
    }

    private static @Nullable Long read(Path file) {
        try {
            String text = Files.readString(file).strip();
            if (!text.matches("\\d{1,18}")) return null; // "max", or version 1's 9223372036854771712
            return Long.parseLong(text);
        } catch (IOException e) {
            return null;
        }
    }

    private MachineMemory() {}
}
