package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.models.Family;
import dev.headstart.models.Models;
import dev.headstart.pipeline.Tasks;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

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

    /** The examples of README.md, whole classes, compile as they stand. */
    @Test
    void examplesCompile(@TempDir Path dir) throws IOException {
        Map<String, String> sources = new LinkedHashMap<>();
        for (Matcher block = Pattern.compile("(?s)```java\n(.*?)```").matcher(readme); block.find(); ) {
            Matcher name = Pattern.compile("class (\\w+)").matcher(block.group(1));
            assertThat(name.find()).as(block.group(1)).isTrue();
            sources.put(name.group(1), block.group(1));
        }
        assertThat(sources).containsKeys("Example", "Search");
        compile(sources, dir);
    }

    /** So do those of the API's documentation that are whole statements. */
    @Test
    void examplesOfTheDocumentationCompile(@TempDir Path dir) throws IOException {
        Map<String, String> sources = new LinkedHashMap<>();
        for (String file : List.of("models/package-info", "pipeline/package-info", "text/Tokenizer")) {
            String text = Files.readString(
                    ArchitectureTest.ROOT.resolve("core/src/main/java/dev/headstart/" + file + ".java"));
            Matcher block = Pattern.compile("(?s)<pre>\\{@code\n(.*?)\\}</pre>").matcher(text);
            assertThat(block.find()).as(file).isTrue();
            String name = "Snippet" + sources.size();
            sources.put(name, """
                    import dev.headstart.models.*;
                    import dev.headstart.models.Bert.*;
                    import dev.headstart.pipeline.*;
                    import dev.headstart.text.*;
                    import java.nio.file.*;
                    import java.util.*;

                    class %s {
                        void run() {
                    %s    }
                    }
                    """.formatted(name, block.group(1).replaceAll("(?m)^ \\* ?", "")));
        }
        compile(sources, dir);
    }

    private static void compile(Map<String, String> sources, Path dir) throws IOException {
        List<String> arguments = new ArrayList<>(
                List.of("-proc:none", "-cp", System.getProperty("java.class.path"), "-d", dir.toString()));
        for (Map.Entry<String, String> source : sources.entrySet()) {
            arguments.add(Files.writeString(dir.resolve(source.getKey() + ".java"), source.getValue())
                    .toString());
        }
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        int code = ToolProvider.getSystemJavaCompiler().run(null, said, said, arguments.toArray(String[]::new));
        assertThat(code).as(said.toString(StandardCharsets.UTF_8)).isZero();
    }

    @Test
    void everyCommandIsNamed() {
        for (Commands.Entry command : Commands.all()) {
            if (!command.name().equals("run")) assertThat(readme).contains("`" + command.name() + "`");
        }
    }
}
