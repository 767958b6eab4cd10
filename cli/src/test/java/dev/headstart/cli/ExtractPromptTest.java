package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.cli.HeadstartCommandTest.Result;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Prompts and dimensions in {@code extract}, against what sentence-transformers computed. */
class ExtractPromptTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Path CASES = ArchitectureTest.ROOT.resolve("core/src/test/resources/pipelines");

    @TempDir
    private Path dir;

    /** The rows that {@code extract} writes of a case's inputs. */
    private List<JsonNode> extract(Path folder, JsonNode run, String... more) throws IOException {
        List<String> lines = new ArrayList<>();
        run.get("inputs").forEach(i -> lines.add(i.asText()));
        Path in = Files.write(dir.resolve("in.txt"), lines);
        Path out = dir.resolve("out" + System.nanoTime() + ".jsonl");
        List<String> all = new ArrayList<>(List.of("extract", "--device", "cpu", "--model"));
        all.addAll(List.of(folder.resolve("model").toString(), "--input", in.toString(), "--output", out.toString()));
        all.addAll(List.of(more));
        Result r = HeadstartCommandTest.run(all.toArray(String[]::new));
        assertThat(r.code()).as(r.err()).isZero();
        List<JsonNode> rows = new ArrayList<>();
        for (String line : Files.readAllLines(out)) {
            rows.add(JSON.readTree(line).get("features"));
        }
        return rows;
    }

    private void equal(String name, int index, String... more) throws IOException {
        Path folder = CASES.resolve(name);
        JsonNode run =
                JSON.readTree(folder.resolve("case.json").toFile()).get("runs").get(index);
        List<JsonNode> got = extract(folder, run, more);
        assertThat(got).hasSize(run.get("expected").size());
        for (int i = 0; i < got.size(); i++) {
            JsonNode want = run.get("expected").get(i);
            assertThat(got.get(i)).hasSize(want.size());
            for (int d = 0; d < want.size(); d++) {
                assertThat(got.get(i).get(d).asDouble())
                        .as("%s run %d text %d", name, index, i)
                        .isCloseTo(want.get(d).asDouble(), within(2e-5));
            }
        }
    }

    @Test
    void promptsAndDimensions() throws IOException {
        equal("sentence-without-prompt", 0); // the folder's default prompt
        equal("sentence-without-prompt", 1, "--prompt-name", "query");
        equal("sentence-without-prompt", 3, "--prompt", "");
        equal("sentence-all-modes", 1, "--prompt", "query : ");
        equal("sentence-dense-norm", 1, "--truncate-dim", "2");
    }

    @Test
    void anUnknownPromptIsOneLine() throws IOException {
        Path in = Files.writeString(dir.resolve("in.txt"), "text\n");
        Result r = HeadstartCommandTest.run(
                "extract",
                "--model",
                CASES.resolve("sentence-without-prompt/model").toString(),
                "--input",
                in.toString(),
                "--output",
                dir.resolve("o.jsonl").toString(),
                "--prompt-name",
                "quarry");
        assertThat(r.code()).isEqualTo(1);
        assertThat(r.err()
                        .strip()
                        .lines()
                        .toList()
                        .get(r.err().strip().lines().toList().size() - 1))
                .contains("quarry")
                .contains("query, document, passage");
    }
}
