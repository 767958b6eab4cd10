package dev.headstart.text;

import ai.djl.huggingface.tokenizers.jni.LibUtils;
import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import org.jspecify.annotations.Nullable;

/**
 * The one place where the native tokenizers library is loaded. Its own loader downloads a CUDA build where it sees a GPU, keeps it under the
 * name of the CPU build, and reports usage; so the CPU library of the jar is unpacked here, into our own cache, and named to that loader
 * before any of its classes is initialised. Nothing else in Headstart may touch {@code ai.djl} classes.
 */
public final class NativeTokenizers {
    private NativeTokenizers() {}

    /**
     * Loads the library, once, and says which file it is.
     *
     * @throws HeadstartException when this platform has no native library, or it cannot be unpacked or loaded
     */
    public static Path location() {
        library();
        return Path.of(System.getProperty("RUST_LIBRARY_PATH", ""));
    }

    private static final class Holder {
        static final TokenizersLibrary LIBRARY = load();
    }

    /**
     * The loaded library.
     *
     * @throws HeadstartException when this platform has no native library, or it cannot be unpacked or loaded
     */
    static TokenizersLibrary library() {
        try {
            return Holder.LIBRARY;
        } catch (ExceptionInInitializerError e) {
            if (e.getCause() instanceof HeadstartException known) throw known;
            throw e;
        }
    }

    private static TokenizersLibrary load() {
        String platform = platform();
        boolean windows = platform.startsWith("win");
        String main =
                windows ? "tokenizers.dll" : platform.startsWith("osx") ? "libtokenizers.dylib" : "libtokenizers.so";
        List<String> files =
                windows ? List.of("libwinpthread-1.dll", "libgcc_s_seh-1.dll", "libstdc++-6.dll", main) : List.of(main);
        Path folder;
        try {
            folder = unpack(platform, files, cacheFolder());
        } catch (IOException e) {
            try {
                Path temporary = Files.createTempDirectory("headstart-native");
                folder = unpack(platform, files, temporary);
                temporary.toFile().deleteOnExit(); // in the order of deletion, last registered first
                folder.toFile().deleteOnExit();
                for (String file : files) folder.resolve(file).toFile().deleteOnExit();
            } catch (IOException second) {
                throw new HeadstartException(
                        "tokenizers: the native library could not be unpacked into " + cacheFolder() + " ("
                                + e.getMessage() + "); make that folder writable or set XDG_CACHE_HOME to one that is",
                        e);
            }
        }
        System.setProperty("RUST_LIBRARY_PATH", folder.resolve(main).toString());
        System.setProperty("OPT_OUT_TRACKING", "true");
        try {
            if (NativeTokenizers.class.getClassLoader() == TokenizersLibrary.class.getClassLoader()) {
                for (String file : files)
                    System.load(folder.resolve(file).toString()); // the same as below, without its search for GPUs
            } else {
                LibUtils.checkStatus();
            }
        } catch (UnsatisfiedLinkError e) {
            throw new HeadstartException(
                    "tokenizers: " + folder.resolve(main) + " does not load on this machine (" + e.getMessage()
                            + "); delete that folder to unpack it again",
                    e);
        }
        return TokenizersLibrary.LIB;
    }

    private static String platform() {
        String os = System.getProperty("os.name", "").toLowerCase(Locale.ROOT);
        String arch = System.getProperty("os.arch", "").toLowerCase(Locale.ROOT);
        String cpu = arch.equals("amd64") || arch.equals("x86_64") ? "x86_64" : arch.equals("arm64") ? "aarch64" : arch;
        String name = (os.startsWith("linux")
                        ? "linux"
                        : os.startsWith("windows") ? "win" : os.startsWith("mac") ? "osx" : os)
                + "-" + cpu;
        if (resource(name, "libtokenizers.so") == null
                && resource(name, "libtokenizers.dylib") == null
                && resource(name, "tokenizers.dll") == null) {
            throw new HeadstartException("tokenizers: there is no native library for " + name
                    + "; supported are linux-x86_64, linux-aarch64, osx-aarch64 and win-x86_64");
        }
        return name;
    }

    private static @Nullable URL resource(String platform, String file) {
        return TokenizersLibrary.class.getClassLoader().getResource("native/lib/" + platform + "/cpu/" + file);
    }

    private static Path cacheFolder() {
        String xdg = System.getenv("XDG_CACHE_HOME");
        Path base =
                xdg != null && !xdg.isEmpty() ? Path.of(xdg) : Path.of(System.getProperty("user.home", "."), ".cache");
        return base.resolve("headstart").resolve("native").toAbsolutePath();
    }

    /** Unpacks each file under a name of its own and renames it into place, so that several processes may do it at once. */
    private static Path unpack(String platform, List<String> files, Path cache) throws IOException {
        Path folder = cache.resolve("tokenizers-" + version() + "-" + platform);
        Files.createDirectories(folder);
        for (String file : files) {
            URL url = resource(platform, file);
            if (url == null) throw new IOException("the tokenizers jar lacks " + file);
            URLConnection connection = url.openConnection();
            connection.setUseCaches(false);
            Path target = folder.resolve(file);
            try (InputStream in = connection.getInputStream()) {
                long size = connection.getContentLengthLong();
                if (size >= 0 && Files.isRegularFile(target) && Files.size(target) == size) continue;
                Path part = Files.createTempFile(folder, file, ".part");
                try {
                    Files.copy(in, part, StandardCopyOption.REPLACE_EXISTING);
                    try {
                        Files.move(part, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
                    } catch (IOException e) { // Windows refuses to replace a library that another process has open
                        if (!Files.isRegularFile(target) || Files.size(target) != size) throw e;
                    }
                } finally {
                    Files.deleteIfExists(part);
                }
            }
        }
        return folder;
    }

    private static String version() throws IOException {
        Properties p = new Properties();
        try (InputStream in =
                TokenizersLibrary.class.getClassLoader().getResourceAsStream("native/lib/tokenizers.properties")) {
            if (in != null) p.load(in);
        }
        return p.getProperty("version", "unknown");
    }
}
