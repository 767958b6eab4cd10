package dev.headstart.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.hub.HubOptions;
import dev.headstart.nn.Natives;
import dev.headstart.nn.Processor;
import dev.headstart.text.NativeTokenizers;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Says what Headstart runs on: the first thing to read, and to send along, when something does not work or is slow. */
@Command(
        name = "doctor",
        description = {
            "Checks this machine and says what Headstart runs on: JVM, processor, memory, native libraries, caches.",
            "Exit code 1 when the native libraries are missing or do not load. Touches the network only with --network."
        })
final class DoctorCommand implements Callable<Integer> {
    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Option(names = "--network", description = "Ask the model hub for an answer too.")
    private boolean network;

    @Spec
    private @Nullable CommandSpec spec;

    /** A problem that the exit code and the last line of stderr tell. */
    private @Nullable HeadstartException problem;

    @Override
    public Integer call() throws IOException {
        Map<String, Map<String, @Nullable Object>> report = new LinkedHashMap<>();
        report.put("headstart", headstart());
        report.put("java", java());
        report.put("machine", machine());
        report.put("engine", engine());
        report.put("tokenizers", tokenizers());
        report.put("caches", caches());
        if (network) report.put("network", network());

        PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
        if (json) {
            out.println(new ObjectMapper().writerWithDefaultPrettyPrinter().writeValueAsString(report));
        } else {
            report.forEach((section, facts) -> {
                out.println(section);
                facts.forEach((name, value) -> out.printf("  %-18s %s%n", name, text(value)));
            });
        }
        if (problem != null) throw problem;
        return 0;
    }

    private static Map<String, @Nullable Object> headstart() {
        Map<String, @Nullable Object> facts = new LinkedHashMap<>();
        facts.put("version", HeadstartCommand.Version.headstart());
        return facts;
    }

    private static Map<String, @Nullable Object> java() {
        Map<String, @Nullable Object> facts = new LinkedHashMap<>();
        facts.put("version", System.getProperty("java.runtime.version"));
        facts.put("vendor", System.getProperty("java.vendor"));
        facts.put("home", System.getProperty("java.home"));
        facts.put("heap_limit", new Bytes(Runtime.getRuntime().maxMemory()));
        facts.put("charset", System.getProperty("sun.jnu.encoding"));
        return facts;
    }

    private static Map<String, @Nullable Object> machine() {
        Processor processor = Processor.current();
        Map<String, @Nullable Object> facts = new LinkedHashMap<>();
        facts.put("system", System.getProperty("os.name") + " " + System.getProperty("os.version"));
        facts.put("architecture", System.getProperty("os.arch"));
        facts.put("processor", processor.model());
        facts.put("cores", processor.cores());
        facts.put(
                "instructions",
                Processor.KNOWN.stream().filter(processor.features()::contains).toList());
        facts.put("fast_formats", formats(processor));
        facts.put("memory", new Bytes(MachineMemory.machine()));
        Long cgroup = MachineMemory.cgroup(Path.of("/"));
        facts.put("cgroup_limit", cgroup == null ? null : new Bytes(cgroup));
        facts.put("native_limit", MachineMemory.describeLimit());
        return facts;
    }

    private static List<String> formats(Processor processor) {
        return java.util.stream.Stream.of(
                        "fp32", processor.fastBf16() ? "bf16" : "", processor.fastInt8() ? "int8" : "")
                .filter(name -> !name.isEmpty())
                .toList();
    }

    private Map<String, @Nullable Object> engine() {
        Map<String, @Nullable Object> facts = new LinkedHashMap<>();
        facts.put("platform", Natives.platform());
        try {
            long start = System.nanoTime();
            Natives.Facts loaded = Natives.facts();
            facts.put("platform", loaded.platform());
            facts.put("loaded_from", loaded.library());
            facts.put("load_seconds", Math.round((System.nanoTime() - start) / 1e7) / 100.0);
            facts.put("libtorch", loaded.torch());
            facts.put("blas", loaded.blas());
            facts.put("onednn", loaded.oneDnn());
            facts.put("kernels", loaded.capability());
            facts.put("own_code", loaded.ownCode());
            facts.put("threads", loaded.threads());
            facts.put("interop_threads", loaded.interopThreads());
            facts.put("cuda_build", loaded.cudaBuild());
            facts.put("gpus", loaded.gpus());
        } catch (HeadstartException e) {
            problem = e;
            facts.put("error", e.getMessage());
        }
        return facts;
    }

    private Map<String, @Nullable Object> tokenizers() {
        Map<String, @Nullable Object> facts = new LinkedHashMap<>();
        try {
            facts.put("loaded_from", NativeTokenizers.location().toString());
        } catch (HeadstartException e) {
            if (problem == null) problem = e;
            facts.put("error", e.getMessage());
        }
        return facts;
    }

    private static Map<String, @Nullable Object> caches() {
        HubOptions hub = HubOptions.fromEnvironment();
        Map<String, @Nullable Object> facts = new LinkedHashMap<>();
        facts.put("native_libraries", new Folder(Path.of(Natives.cacheFolder())));
        facts.put("models", new Folder(hub.hubCache()));
        facts.put("headstart", new Folder(hub.ownCache()));
        facts.put("offline", hub.offline());
        return facts;
    }

    private static Map<String, @Nullable Object> network() {
        HubOptions hub = HubOptions.fromEnvironment();
        Map<String, @Nullable Object> facts = new LinkedHashMap<>();
        facts.put("hub", hub.offline() ? "not asked: offline" : hub.endpoint() + " " + answer(hub.endpoint()));
        return facts;
    }

    /** Whether a server answers, whatever it says; through the JVM's own proxy settings. */
    private static String answer(URI address) {
        try {
            HttpURLConnection connection = (HttpURLConnection) address.toURL().openConnection();
            connection.setRequestMethod("HEAD");
            connection.setConnectTimeout(3000);
            connection.setReadTimeout(3000);
            long start = System.nanoTime();
            int status = connection.getResponseCode();
            connection.disconnect();
            return "answers " + status + " in " + (System.nanoTime() - start) / 1_000_000 + " ms";
        } catch (IOException e) {
            return "cannot be reached (" + e.getClass().getSimpleName()
                    + (e.getMessage() == null ? "" : ": " + e.getMessage()) + ")";
        }
    }

    private static String text(@Nullable Object value) {
        if (value == null) return "none";
        if (value instanceof Boolean yes) return yes ? "yes" : "no";
        if (value instanceof List<?> list)
            return list.isEmpty()
                    ? "none"
                    : String.join(" ", list.stream().map(String::valueOf).toList());
        return value.toString();
    }

    /** A size: a number in JSON, with its unit in text. */
    record Bytes(@com.fasterxml.jackson.annotation.JsonValue long bytes) {
        @Override
        public String toString() {
            return MachineMemory.gigabytes(bytes);
        }
    }

    /** A folder and how much lies in it. */
    record Folder(String path, boolean exists, long bytes) {
        Folder(Path folder) {
            this(folder.toString(), Files.isDirectory(folder), size(folder));
        }

        private static long size(Path folder) {
            long[] sum = {0};
            if (!Files.isDirectory(folder)) return 0;
            try {
                Files.walkFileTree(folder, new SimpleFileVisitor<>() {
                    @Override
                    public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
                        if (attributes.isRegularFile())
                            sum[0] += attributes.size(); // a link's target is counted where it lies
                        return FileVisitResult.CONTINUE;
                    }

                    @Override
                    public FileVisitResult visitFileFailed(Path file, IOException e) {
                        return FileVisitResult.CONTINUE;
                    }
                });
            } catch (IOException e) {
                return sum[0];
            }
            return sum[0];
        }

        @Override
        public String toString() {
            return path + (exists ? " (" + MachineMemory.gigabytes(bytes) + ")" : " (not there yet)");
        }
    }
}
