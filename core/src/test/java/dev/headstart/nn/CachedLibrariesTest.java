package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The list of unpacked libraries holds only while nothing has changed. */
class CachedLibrariesTest {
    @TempDir
    Path folder;

    private Path file(String name, String content) throws IOException {
        return Files.writeString(folder.resolve(name), content);
    }

    @Test
    void theListHoldsUntilAFileOrAJarChanges() throws IOException {
        Path jar = file("a.jar", "jar");
        List<Path> libraries = List.of(file("with space.so", "one"), file("two.so", "two"));
        Path list = folder.resolve("list.txt");
        CachedLibraries.record(list, List.of(jar), libraries);
        assertThat(CachedLibraries.recorded(list, List.of(jar))).isEqualTo(libraries);
        assertThat(CachedLibraries.recorded(list, List.of(file("other.jar", "jar"))))
                .isEmpty();
        assertThat(CachedLibraries.recorded(list, List.of())).isEmpty();
        file("two.so", "longer");
        assertThat(CachedLibraries.recorded(list, List.of(jar))).isEmpty();
        CachedLibraries.record(list, List.of(jar), libraries);
        assertThat(CachedLibraries.recorded(list, List.of(jar))).isEqualTo(libraries);
        Files.delete(libraries.get(0));
        assertThat(CachedLibraries.recorded(list, List.of(jar))).isEmpty();
    }

    @Test
    void aDamagedListIsNone() throws IOException {
        Path jar = file("a.jar", "jar");
        for (String text : List.of("", "nonsense", "1 2", "3 x " + jar, "\n\n")) {
            Path list = file("list.txt", text);
            assertThat(CachedLibraries.recorded(list, List.of(jar))).as(text).isEmpty();
        }
        assertThat(CachedLibraries.recorded(folder.resolve("none.txt"), List.of(jar)))
                .isEmpty();
    }
}
