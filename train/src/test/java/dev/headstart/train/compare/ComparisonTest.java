package dev.headstart.train.compare;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.train.finetune.RunResults;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is trained again, and what is not, when a comparison goes on. */
class ComparisonTest {
    private static final List<Cell> CELLS =
            List.of(new Cell("some/model", Cell.Mode.HEAD, 10, 1), new Cell("some/model", Cell.Mode.FULL, 10, 1));

    @TempDir
    Path dir;

    private int trainings;

    private final Comparison.Runner runner = new Comparison.Runner() {
        @Override
        public String identity(Cell cell) {
            return cell.title();
        }

        @Override
        public void run(Cell cell, Path folder) {
            trainings++;
            try {
                Files.writeString(
                        folder.resolve(RunResults.FILE),
                        "{\"metric_for_best_model\": \"accuracy\", \"eval_accuracy\": 0.5, \"total_runtime\": 60,"
                                + " \"train_samples\": 10, \"peak_memory_mb\": 1, \"energy_wh\": 1}");
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    };

    private Comparison comparison(Path train) {
        return new Comparison("image-classification", dir.resolve("out"), Map.of("train", train), CELLS, runner);
    }

    private Path images() throws IOException {
        for (String name : List.of("cat/1.png", "dog/1.png")) {
            Path file = dir.resolve("images").resolve(name);
            Files.createDirectories(file.resolveSibling(""));
            Files.writeString(file, name);
        }
        return dir.resolve("images");
    }

    private String hash() throws IOException {
        JsonNode root =
                new ObjectMapper().readTree(dir.resolve("out/compare.json").toFile());
        return root.path("data").path("train").path("sha256").asText();
    }

    @Test
    void anImageThatChangedIsOtherData() throws IOException {
        Path folder = images();
        comparison(folder).run(false, false);
        assertThat(trainings).isEqualTo(2);
        String before = hash();
        assertThat(before).matches("[0-9a-f]{64}");
        comparison(folder).run(true, false);
        assertThat(trainings).isEqualTo(2);
        Files.writeString(folder.resolve("dog/1.png"), "cat/1.png"); // of the same size
        comparison(folder).run(true, false);
        assertThat(trainings).isEqualTo(4);
        assertThat(hash()).isNotEqualTo(before);
    }

    @Test
    void aPartOfAnArchiveIsToldByTheArchive() throws IOException {
        Path archive = Files.writeString(dir.resolve("images.npz"), "one");
        Path part = Path.of(archive + "#train");
        comparison(part).run(false, false);
        comparison(part).run(true, false);
        assertThat(trainings).isEqualTo(2);
        Files.writeString(archive, "two");
        comparison(part).run(true, false);
        assertThat(trainings).isEqualTo(4);
    }

    @Test
    void whatStandsInTheWayIsNamed() throws IOException {
        Path folder = images();
        comparison(folder).run(false, false);
        assertThatThrownBy(() -> comparison(folder).run(false, false))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll("the folder is not empty", "--resume");
        Path file = Files.writeString(dir.resolve("file"), "");
        Comparison onto = new Comparison("t", file, Map.of(), CELLS, runner);
        assertThatThrownBy(() -> onto.run(true, true))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("expected a folder to write to, found a file");
        assertThat(trainings).isEqualTo(2);
    }
}
