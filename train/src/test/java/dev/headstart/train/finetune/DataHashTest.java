package dev.headstart.train.finetune;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The values are those of sha256sum, as the class says to call it. */
class DataHashTest {
    private static final String TWO = "27dd8ed44a83ff94d557f9fd0412ed5a8cbca69ea04922d88c01184a07300a5a";
    private static final String FOLDER = "340829e49526c616936573650bbe15920ff09358723161dc9fec95d4b5af43d3";

    @TempDir
    Path dir;

    private Path file(String name, String content) throws IOException {
        Path file = dir.resolve(name);
        Files.createDirectories(file.resolveSibling(""));
        return Files.writeString(file, content);
    }

    private Path folder(String name) throws IOException {
        file(name + "/sub/a.txt", "one\n");
        file(name + "/b.txt", "two\n");
        file(name + "/B/c d.txt", "three");
        return dir.resolve(name);
    }

    @Test
    void aFileIsItsBytes() throws IOException {
        assertThat(DataHash.of(file("b.txt", "two\n"))).isEqualTo(TWO);
        assertThat(DataHash.of(dir.resolve("none.csv"))).isEmpty();
        assertThat(DataHash.row("train", file("b.txt", "two\n"), 3))
                .isEqualTo("| train | b.txt | 3 | `" + TWO + "` |\n");
    }

    @Test
    void aFolderIsItsFilesNamesAndBytes() throws IOException {
        Path folder = folder("x");
        assertThat(DataHash.of(folder)).isEqualTo(FOLDER);
        assertThat(DataHash.of(folder("y"))).isEqualTo(FOLDER); // wherever it stands
        file("x/.DS_Store", "what a desktop leaves");
        file("x/sub/.cache/thumbnail", "too");
        assertThat(DataHash.of(folder)).isEqualTo(FOLDER);
        file("x/b.txt", "tow\n"); // of the same size
        assertThat(DataHash.of(folder)).isNotEqualTo(FOLDER);
        file("x/b.txt", "two\n");
        assertThat(DataHash.of(folder)).isEqualTo(FOLDER);
        Files.move(folder.resolve("sub/a.txt"), folder.resolve("a.txt")); // another class
        assertThat(DataHash.of(folder)).isNotEqualTo(FOLDER);
        assertThat(DataHash.of(Files.createDirectories(dir.resolve("empty")))).hasSize(64);
    }

    @Test
    void aPartOfAnArchiveIsTheArchive() throws IOException {
        Path archive = file("images.npz", "two\n");
        assertThat(DataHash.of(Path.of(archive + "#train"))).isEqualTo(TWO);
        assertThat(DataHash.of(file("odd.npz#name", "two\n"))).isEqualTo(TWO);
        assertThat(DataHash.of(dir.resolve("none.npz#train"))).isEmpty();
    }

    @Test
    void whatCannotBeReadIsNamed() throws IOException {
        Path folder = folder("locked");
        Files.setPosixFilePermissions(folder.resolve("b.txt"), Set.of());
        assumeThat(Files.isReadable(folder.resolve("b.txt"))).isFalse(); // root reads everything
        assertThatThrownBy(() -> DataHash.of(folder))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll(folder.toString(), "b.txt", "cannot be read for its checksum");
    }
}
