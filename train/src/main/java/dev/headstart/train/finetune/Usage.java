package dev.headstart.train.finetune;

import dev.headstart.models.PreTrainedModel;
import dev.headstart.nn.Natives;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.stream.Stream;

/** Time, processor and energy since it was made. */
public final class Usage {
    private static final Path RAPL = Path.of("/sys/class/powercap/intel-rapl:0/energy_uj");
    private static final double WATTS_A_THREAD = 8;
    private final long begin = System.nanoTime();
    private final double joules = measured();
    private boolean gpu;
    private static final int THREADS = Runtime.getRuntime().availableProcessors();

    /** Says what is trained: on a GPU, what is known of processor and memory is not what it took. */
    public void of(PreTrainedModel<?> model) {
        gpu = model.onGpu();
    }

    /** Since it was made. */
    public double seconds() {
        return (System.nanoTime() - begin) / 1e9;
    }

    /** Versions of what computed. */
    public static String software() {
        String version = Usage.class.getPackage().getImplementationVersion();
        return "Headstart " + (version == null ? "(development)" : version) + ", libtorch "
                + Natives.facts().torch() + ", Java " + System.getProperty("java.version");
    }

    /** The GPU that the model is on, if any; the processor and its threads. */
    public String hardware() {
        return (gpu ? gpuName() + "; " : "") + processor();
    }

    /** As its driver says, else as torch calls it. */
    private static String gpuName() {
        Path known = Path.of("/proc/driver/nvidia/gpus");
        if (Files.isDirectory(known)) {
            try (Stream<Path> files = Files.walk(known, 2)) {
                for (Path file :
                        files.filter(f -> f.endsWith("information")).sorted().toList()) {
                    for (String line : Files.readAllLines(file)) {
                        if (line.startsWith("Model:")) {
                            return line.substring(6).strip();
                        }
                    }
                }
            } catch (IOException | UncheckedIOException e) {
                return smi();
            }
        }
        return smi();
    }

    private static String smi() {
        try {
            Process p = new ProcessBuilder("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").start();
            try (BufferedReader said = p.inputReader()) {
                String name = said.readLine();
                return name == null || name.isBlank() ? GPU : name.strip();
            } finally {
                p.destroy();
            }
        } catch (IOException e) {
            return GPU; // no such program
        }
    }

    private static final String GPU = "cuda:0";

    private static String processor() {
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
        if (gpu) {
            return "not counted (on a GPU)";
        }
        return String.format(Locale.ROOT, "%s%.2f Wh (%s)", counted() > 0 ? "" : "about ", wattHours(), energySource());
    }

    /** Energy in watt-hours: counted where the machine counts, else estimated; NaN for a training on a GPU. */
    public double wattHours() {
        if (gpu) {
            return Double.NaN;
        }
        double counted = counted();
        return (counted > 0 ? counted : seconds() * THREADS * WATTS_A_THREAD) / 3600;
    }

    /** How the energy was found. */
    public String energySource() {
        if (gpu) {
            return "none: the energy of a GPU is not counted";
        }
        return counted() > 0
                ? "processor package, RAPL counter"
                : String.format(
                        Locale.ROOT,
                        "estimate: %.0f W for each of %d threads; this machine has no counter",
                        WATTS_A_THREAD,
                        THREADS);
    }

    /** Joules since it was made; 0 where nothing counts them. */
    private double counted() {
        double now = measured();
        return now > joules && joules > 0 ? now - joules : 0;
    }

    /** Most memory that this process ever held, in MB of 1024 x 1024 bytes (VmHWM); NaN where the system does not say, or the model is on a GPU. */
    public double peakMegabytes() {
        if (gpu) {
            return Double.NaN;
        }
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("VmHWM:")) {
                    return Double.parseDouble(line.replaceAll("\\D", "")) / 1024;
                }
            }
        } catch (IOException | NumberFormatException e) {
            return Double.NaN; // not Linux
        }
        return Double.NaN;
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
