package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.models.Family;
import dev.headstart.models.Models;
import dev.headstart.pipeline.Tasks;
import java.io.IOException;
import java.nio.file.Files;
import org.junit.jupiter.api.Test;

/** The tables of README.md say what there is: a failure names the line to add. */
class ReadmeTest {
    private final String readme;

    ReadmeTest() throws IOException {
        readme = Files.readString(ArchitectureTest.ROOT.resolve("README.md"));
    }

    @Test
    void everyTaskHasItsLine() {
        for (Tasks.Task task : Tasks.all()) {
            String model = task.defaultModel() == null ? "" : "`" + task.defaultModel() + "`";
            assertThat(readme).contains("| `" + task.name() + "` | " + model + " | `" + task.example() + "` |");
        }
    }

    @Test
    void everyFamilyHasItsLine() {
        for (Family family : Models.families()) {
            assertThat(readme)
                    .contains(
                            "| `" + family.modelType() + "` | `" + String.join("`, `", family.architectures()) + "` |");
        }
    }

    @Test
    void everyCommandIsNamed() {
        for (Commands.Entry command : Commands.all()) {
            if (!command.name().equals("run")) assertThat(readme).contains("`" + command.name() + "`");
        }
    }
}
