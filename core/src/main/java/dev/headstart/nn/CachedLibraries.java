package dev.headstart.nn;

import java.io.IOException;
import java.net.JarURLConnection;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.Loader;
import org.jspecify.annotations.Nullable;

/**
 * Starts from the libraries that JavaCPP unpacked before, without asking it again where they are, which takes as long as loading them (0.55 of 1.3 s of
 * processor time). A list beside JavaCPP's cache names jars and libraries with size and time; where anything differs, JavaCPP loads as ever and the list is
 * written anew. Only where the launcher asks for it ({@link #PROPERTY}), because JavaCPP loads nothing by itself afterwards, other presets neither.
 */
final class CachedLibraries {
    /** Set to true by the launcher. */
    static final String PROPERTY = "dev.headstart.cachedLibraries";

    /** What libtorch consists of on Linux, each after what it needs. */
    private static final List<String> ORDER = List.of(
            "jnijavacpp",
            "gcc_s",
            "quadmath",
            "gfortran",
            "openblas_nolapack",
            "jniopenblas_nolapack",
            "openblas",
            "jniopenblas",
            "gomp",
            "c10",
            "torch_cpu",
            "torch",
            "jnitorch");

    private CachedLibraries() {}

    private static boolean wanted() {
        return Boolean.getBoolean(PROPERTY)
                && Natives.platform().equals("linux-x86_64")
                && !Natives.forGpu(
                        CachedLibraries.class.getClassLoader()); // JavaCPP prefers those, whatever the list holds
    }

    private static Path list() {
        return Path.of(Natives.cacheFolder(), "headstart-libraries.txt");
    }

    /** Loads them. @return the last one; null when JavaCPP has to */
    static @Nullable String load() {
        if (!wanted()) {
            return null;
        }
        List<Path> libraries = recorded(list(), jars());
        if (libraries.isEmpty()) {
            return null;
        }
        try {
            libraries.forEach(l -> System.load(l.toString()));
        } catch (UnsatisfiedLinkError e) { // damaged in a way that size and time do not show
            return null;
        }
        System.setProperty("org.bytedeco.javacpp.loadlibraries", "false");
        return libraries.get(libraries.size() - 1).toString();
    }

    /** Writes down what JavaCPP loaded, for the next start. */
    static void remember() {
        if (!wanted()) {
            return;
        }
        Map<String, String> loaded = new LinkedHashMap<>();
        Loader.getLoadedLibraries().forEach((name, path) -> loaded.put(name.replaceFirst("@.*", ""), path));
        if (loaded.keySet().equals(Set.copyOf(ORDER))) { // nothing unknown, whose place would be unknown too
            record(
                    list(),
                    jars(),
                    ORDER.stream().map(n -> Path.of(loaded.getOrDefault(n, ""))).toList());
        }
    }

    /** The jars with the natives; empty where they are no files. */
    private static List<Path> jars() {
        List<Path> jars = new ArrayList<>();
        for (String library : List.of(
                "javacpp/linux-x86_64/libjnijavacpp.so",
                "openblas/linux-x86_64/libjniopenblas.so",
                "pytorch/linux-x86_64/libjnitorch.so")) {
            URL url = CachedLibraries.class.getClassLoader().getResource("org/bytedeco/" + library);
            try {
                if (url == null || !(url.openConnection() instanceof JarURLConnection jar)) {
                    return List.of();
                }
                jars.add(Path.of(jar.getJarFileURL().toURI()));
            } catch (IOException | URISyntaxException | IllegalArgumentException e) {
                return List.of();
            }
        }
        return jars;
    }

    /** One line a file: size, time, path; the jars first. */
    static void record(Path list, List<Path> jars, List<Path> libraries) {
        try {
            List<String> lines = new ArrayList<>();
            for (Path file : concat(jars, libraries)) {
                lines.add(stamp(file));
            }
            Path staged = Files.createTempFile(list.getParent(), "headstart-libraries", ".tmp");
            Files.write(staged, lines);
            Files.move(staged, list, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            // the next start takes a little longer
        }
    }

    /** The libraries of the list, where it is of these jars and nothing has changed since; else nothing. */
    static List<Path> recorded(Path list, List<Path> jars) {
        try {
            List<String> lines = Files.exists(list) && !jars.isEmpty() ? Files.readAllLines(list) : List.of();
            List<Path> files = new ArrayList<>();
            for (String line : lines) {
                Path file = Path.of(line.split(" ", 3)[2]);
                if (!stamp(file).equals(line)) {
                    return List.of();
                }
                files.add(file);
            }
            return files.size() > jars.size() && files.subList(0, jars.size()).equals(jars)
                    ? files.subList(jars.size(), files.size())
                    : List.of();
        } catch (IOException | RuntimeException e) {
            return List.of();
        }
    }

    private static List<Path> concat(List<Path> a, List<Path> b) {
        List<Path> all = new ArrayList<>(a);
        all.addAll(b);
        return all;
    }

    private static String stamp(Path file) throws IOException {
        return Files.size(file) + " " + Files.getLastModifiedTime(file).toMillis() + " " + file;
    }
}
