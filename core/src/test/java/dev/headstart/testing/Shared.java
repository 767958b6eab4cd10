package dev.headstart.testing;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;

/** Finds the shared test data (golden cases, real data sets): the variable HEADSTART_SHARED, else {@code ../shared} beside the repository root. */
public final class Shared {
    private Shared() {}

    /** The folder, whether it exists or not. */
    public static Path root() {
        String env = System.getenv("HEADSTART_SHARED");
        return env != null ? Path.of(env) : repositoryRoot().resolveSibling("shared");
    }

    /** A file or folder under the shared data; skips the calling test, saying what is missing, when it is not there. */
    public static Path require(String relative) {
        Path path = root().resolve(relative);
        Assumptions.assumeTrue(
                Files.exists(path),
                () -> "skipped: " + relative + " not found under " + root() + " (set HEADSTART_SHARED)");
        return path;
    }

    /** The folder that holds {@code mvnw}, whichever module the test runs in. */
    public static Path repositoryRoot() {
        for (Path p = Path.of("").toAbsolutePath(); p != null; p = p.getParent()) {
            if (Files.exists(p.resolve("mvnw"))) {
                return p;
            }
        }
        throw new IllegalStateException("run the tests from inside the repository");
    }
}
