package dev.headstart.nn;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;

/**
 * What the operating system says of the processor.
 *
 * @param model the maker's name for it, or the architecture where nothing better is known
 * @param cores processors that this JVM may use
 * @param features those instruction sets of {@link #KNOWN} that it has, by Linux's names; empty where the system does not say
 */
public record Processor(String model, int cores, Set<String> features) {
    /** The instruction sets that decide which kernels are fast, by Linux's names. */
    public static final List<String> KNOWN = List.of(
            "avx2",
            "fma",
            "avx512f",
            "avx512_vnni",
            "avx_vnni",
            "avx512_bf16",
            "avx512_fp16",
            "amx_tile",
            "amx_bf16",
            "amx_int8",
            "asimd",
            "asimddp",
            "bf16",
            "i8mm");

    /** Read once: every weight that is packed asks for it. */
    private static final class Machine {
        static final Processor PROCESSOR =
                read(Path.of("/proc/cpuinfo"), Runtime.getRuntime().availableProcessors());
    }

    /** This machine's. */
    public static Processor current() {
        return Machine.PROCESSOR;
    }

    /** Whether bfloat16 products run in hardware. */
    public boolean fastBf16() {
        return features.contains("amx_bf16") || features.contains("avx512_bf16") || features.contains("bf16");
    }

    /** Whether 8-bit integer products run in hardware. */
    public boolean fastInt8() {
        return features.contains("amx_int8")
                || features.contains("avx512_vnni")
                || features.contains("avx_vnni")
                || features.contains("i8mm");
    }

    /** What {@code --precision auto} means here: bf16 where the processor multiplies it in hardware, else fp32. */
    public Precision precision() {
        return fastBf16() ? Precision.BF16 : Precision.FP32;
    }

    static Processor read(Path cpuinfo, int cores) {
        String model = System.getProperty("os.arch", "unknown");
        Set<String> features = new TreeSet<>();
        if (Files.isReadable(cpuinfo)) {
            try (BufferedReader lines = Files.newBufferedReader(cpuinfo, StandardCharsets.UTF_8)) {
                for (String line = lines.readLine();
                        line != null && !line.isBlank();
                        line = lines.readLine()) { // the first processor's block
                    int colon = line.indexOf(':');
                    if (colon < 0) continue;
                    String value = line.substring(colon + 1).strip();
                    switch (line.substring(0, colon).strip().toLowerCase(Locale.ROOT)) {
                        case "model name" -> model = value;
                        case "flags", "features" -> {
                            for (String flag : value.split("\\s+")) if (KNOWN.contains(flag)) features.add(flag);
                        }
                        default -> {}
                    }
                }
            } catch (IOException e) {
                // not told: the architecture alone
            }
        }
        return new Processor(model, cores, Set.copyOf(features));
    }
}
