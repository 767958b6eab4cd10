package dev.headstart.train.finetune;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** Time, processor and energy since it was made. */
public final class Usage {
    private static final Path RAPL = Path.of("/sys/class/powercap/intel-rapl:0/energy_uj");
    private static final double WATTS_A_THREAD = 8;
    private final long begin = System.nanoTime();
    private final double joules = measured();

    /** Since it was made. */
    public double seconds() {
        return (System.nanoTime() - begin) / 1e9;
    }

    /** The processor and its threads. */
    public static String hardware() {
        String name = "unknown processor";
        try {
            name = Files.readAllLines(Path.of("/proc/cpuinfo")).stream()
                    .filter(l -> l.startsWith("model name"))
                    .map(l -> l.substring(l.indexOf(':') + 1).strip())
                    .findFirst()
                    .orElse(name);
        } catch (IOException e) {
            name = System.getProperty("os.arch", name);
        }
        return name + ", " + Runtime.getRuntime().availableProcessors() + " threads";
    }

    /** Energy in words, and how it was found. */
    public String energy() {
        double now = measured();
        if (now > joules && joules > 0) {
            return String.format(Locale.ROOT, "%.2f Wh (processor package, RAPL counter)", (now - joules) / 3600);
        }
        int threads = Runtime.getRuntime().availableProcessors();
        return String.format(
                Locale.ROOT,
                "about %.2f Wh (estimate: %.0f W for each of %d threads; this machine has no counter)",
                seconds() * threads * WATTS_A_THREAD / 3600,
                WATTS_A_THREAD,
                threads);
    }

    private static double measured() {
        try {
            return Files.isReadable(RAPL)
                    ? Double.parseDouble(Files.readString(RAPL).strip()) / 1e6
                    : 0;
        } catch (IOException | NumberFormatException e) {
            return 0;
        }
    }
}
