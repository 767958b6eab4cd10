package dev.headstart.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import dev.headstart.data.Columns.Role;
import dev.headstart.testing.Shared;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RowReaderTest {
    @TempDir
    Path dir;

    private static final ReadOptions SKIP = ReadOptions.defaults().withOnError(OnError.SKIP);

    private Path file(String name, String content) throws IOException {
        return Files.writeString(dir.resolve(name), content);
    }

    private static List<Row> read(Path p, ReadOptions o) {
        try (RowReader r = RowReader.open(p, o)) {
            return r.readAll();
        }
    }

    @Test
    void csvWithQuotesAndNewlines() throws IOException {
        Path p = file("a.csv", "\uFEFFid,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n2,plain\r\n\r\n");
        try (RowReader r = RowReader.open(p, ReadOptions.defaults())) {
            assertThat(r.columns()).containsExactly("id", "text");
            List<Row> rows = r.readAll();
            assertThat(rows).hasSize(2);
            assertThat(rows.get(0).text("text")).isEqualTo("a, \"b\"\nc");
            assertThat(rows.get(1).line()).isEqualTo(4);
            assertThat(rows.get(1).number()).isEqualTo(2);
            assertThat(r.problems().skipped()).isZero(); // the blank line at the end is harmless
        }
    }

    @Test
    void raggedLineNamesFileRowAndFields() throws IOException {
        Path p = file("a.csv", "text,label\ngood,1\nbad\nfine,1\na,b,c\n");
        assertThatThrownBy(() -> read(p, ReadOptions.defaults().withOnError(OnError.FAIL)))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("a.csv line 3 (row 2)")
                .hasMessageContaining("expected 2 fields [text, label], found 1")
                .hasMessageContaining("--on-error skip");
        assertThatThrownBy(() -> read(p, ReadOptions.defaults())) // whoever has no such option does not offer it
                .hasMessageContaining("found 1")
                .hasMessageEndingWith("; correct it");
        try (RowReader r = RowReader.open(p, SKIP)) {
            assertThat(r.readAll()).extracting(x -> x.text("text")).containsExactly("good", "fine");
            assertThat(r.problems().summary()).isEqualTo("2 rows skipped (2 ragged line)");
        }
    }

    @Test
    void bytesThatAreNotUtf8() throws IOException {
        byte[] latin = "text,label\nok,1\ncaf\u00e9,0\nfine \u00e9,1\n".getBytes(StandardCharsets.ISO_8859_1);
        Path p = Files.write(dir.resolve("l.csv"), latin);
        assertThatThrownBy(() -> read(p, ReadOptions.defaults()))
                .hasMessageContaining("l.csv line 3 (row 2), column 'text': not UTF-8: 'caf\uFFFD'");
        try (RowReader r = RowReader.open(p, SKIP)) {
            assertThat(r.readAll()).hasSize(1);
            assertThat(r.problems().byKind()).containsEntry("not UTF-8", 2L);
        }
        for (String name : List.of("l.txt", "l.jsonl")) {
            Path q = Files.write(
                    dir.resolve(name),
                    "{\"text\":\"\u00e9\"}\n{\"text\":\"x\"}\n".getBytes(StandardCharsets.ISO_8859_1));
            assertThat(read(q, SKIP)).hasSize(1);
            assertThatThrownBy(() -> read(q, ReadOptions.defaults())).hasMessageContaining("line 1 (row 1): not UTF-8");
        }
    }

    @Test
    void emptyRowsInTheMiddle() throws IOException {
        Path p = file("a.txt", "one\n\ntwo\n\n\n");
        assertThatThrownBy(() -> read(p, ReadOptions.defaults()))
                .hasMessageContaining("a.txt line 2 (row 2): the row is empty");
        assertThat(read(p, SKIP)).extracting(Row::number).containsExactly(1L, 3L);
        assertThat(read(p, ReadOptions.defaults().withEmptyRows(ReadOptions.EmptyRows.DROP)))
                .hasSize(2);
        assertThat(read(p, ReadOptions.defaults().withEmptyRows(ReadOptions.EmptyRows.KEEP)))
                .hasSize(5);
        Path c = file("e.csv", "text,label\na,1\n\nb,0\n,\nc,1\n\n\n");
        try (RowReader r = RowReader.open(c, SKIP)) {
            assertThat(r.readAll()).hasSize(3);
            assertThat(r.problems().skipped()).isEqualTo(2);
        }
    }

    @Test
    void jsonLinesAndArrays() throws IOException {
        Path p = file("a.jsonl", "{\"text\":\"a\",\"n\":1,\"l\":[\"x\",2]}\n{broken\n\"just text\"\n[1]\n");
        try (RowReader r = RowReader.open(p, SKIP)) {
            List<Row> rows = r.readAll();
            assertThat(rows).hasSize(2);
            assertThat(rows.get(0).values()).containsEntry("n", 1L).containsEntry("l", List.of("x", 2L));
            assertThat(rows.get(1).text("text")).isEqualTo("just text");
            assertThat(rows.get(1).number()).isEqualTo(3);
            assertThat(r.problems().byKind()).containsEntry("broken JSON", 1L).containsEntry("no object", 1L);
        }
        assertThatThrownBy(() -> read(p, ReadOptions.defaults()))
                .hasMessageContaining("a.jsonl line 2 (row 2): not valid JSON");
        Path q = file("b.json", "{\"version\":{\"x\":[1]},\"data\":[{\"text\":\"a\"},{\"text\":\"b\"}]}");
        assertThat(read(q, ReadOptions.defaults())).hasSize(2);
        Path cut = file("c.json", "[{\"text\":\"a\"},{\"te");
        assertThatThrownBy(() -> read(cut, ReadOptions.defaults()))
                .hasMessageContaining("c.json line 1")
                .hasMessageContaining("not valid JSON");
    }

    @Test
    void squadIsFlattened() {
        Path p = Shared.require("data/xquad/xquad.en.json");
        List<Row> rows = read(p, ReadOptions.defaults());
        assertThat(rows).hasSize(1190);
        Row first = rows.get(0);
        assertThat(first.text("question")).isEqualTo("How many points did the Panthers defense surrender?");
        assertThat(first.values().get("answers"))
                .isEqualTo(Map.of("text", List.of("308"), "answer_start", List.of(34L)));
        assertThat(first.text("context")).startsWith("The Panthers defense gave up just 308 points");
    }

    @Test
    void tokenLines() {
        Path p = Shared.require("data/ner-wikiann-en/dev");
        try (RowReader r = RowReader.open(p, ReadOptions.defaults())) {
            Row first = java.util.Objects.requireNonNull(r.next());
            assertThat(first.texts("tokens")).startsWith("Sioux", "Falls", "Arena");
            assertThat(first.texts("ner_tags")).startsWith("B-ORG", "I-ORG", "I-ORG");
            assertThat(r.readAll()).hasSize(9_999);
            assertThat(r.problems().skipped()).isZero();
        }
    }

    @Test
    void realFilesWithoutHeader() {
        try (RowReader r = RowReader.open(Shared.require("data/sst2/train.tsv"), ReadOptions.defaults())) {
            Columns c = Columns.infer(r, Map.of(), List.of(Role.TEXT, Role.LABEL), List.of());
            assertThat(c.get(Role.LABEL)).isEqualTo("column1");
            assertThat(c.get(Role.TEXT)).isEqualTo("column2");
            assertThat(r.readAll()).hasSize(6_920);
        }
        try (RowReader r = RowReader.open(Shared.require("data/stsb/stsb-en-dev.csv"), ReadOptions.defaults())) {
            Columns c = Columns.infer(r, Map.of(), List.of(Role.TEXT, Role.TEXT_PAIR, Role.SCORE), List.of());
            assertThat(List.of(c.get(Role.TEXT), c.get(Role.TEXT_PAIR), c.get(Role.SCORE)))
                    .containsExactly("column1", "column2", "column3");
            assertThat(r.readAll()).hasSize(1_500);
        }
        try (RowReader r = RowReader.open(Shared.require("data/ag-news-test/test.csv"), ReadOptions.defaults())) {
            Columns c = Columns.infer(r, Map.of(), List.of(Role.TEXT, Role.LABEL), List.of());
            assertThat(c.get(Role.LABEL)).isEqualTo("column1");
            assertThat(c.get(Role.TEXT)).isEqualTo("column3");
            assertThat(r.readAll()).hasSize(7_600);
        }
        try (RowReader r =
                RowReader.open(Shared.require("data/mts-dialog/MTS-Dialog-TrainingSet.csv"), ReadOptions.defaults())) {
            assertThat(r.columns()).containsExactly("ID", "section_header", "section_text", "dialogue");
            Columns c = Columns.infer(r, Map.of(), List.of(Role.SOURCE, Role.TARGET), List.of(Role.ID));
            assertThat(c.get(Role.SOURCE)).isEqualTo("dialogue");
            assertThat(c.get(Role.TARGET)).isEqualTo("section_text");
            assertThat(c.get(Role.ID)).isEqualTo("ID");
            assertThat(r.readAll()).hasSize(1_201);
        }
        try (RowReader r = RowReader.open(
                Shared.require("data/multi30k-en-de/raw/test_2016_flickr.en.gz"), ReadOptions.defaults())) {
            assertThat(r.readAll()).hasSize(1_000);
        }
    }

    @Test
    void foldersGiveClassesInOrder() {
        try (RowReader r = RowReader.open(Shared.require("data/cifar10-jpeg/test"), ReadOptions.defaults())) {
            assertThat(r.columns()).containsExactly("image", "label");
            List<Row> rows = r.readAll();
            assertThat(rows).hasSize(10_000);
            assertThat(rows.get(0).text("label")).isEqualTo("airplane");
            assertThat(rows.get(9_999).text("label")).isEqualTo("truck");
        }
        try (RowReader r = RowReader.open(Shared.require("data/fsdd/recordings"), ReadOptions.defaults())) {
            assertThat(r.columns()).containsExactly("audio");
        }
    }

    @Test
    void folderWithMetadata() throws IOException {
        Files.createDirectories(dir.resolve("m"));
        Files.write(dir.resolve("m/a.png"), new byte[] {1});
        Files.writeString(dir.resolve("m/metadata.csv"), "file_name,text\na.png,a cat\n../secret,no\n");
        try (RowReader r = RowReader.open(dir.resolve("m"), SKIP)) {
            List<Row> rows = r.readAll();
            assertThat(rows).hasSize(1);
            assertThat(rows.get(0).text("image")).endsWith("a.png");
            assertThat(r.problems().byKind()).containsEntry("missing file", 1L);
        }
    }

    @ParameterizedTest
    @CsvSource({"x.xlsx,PK\u0003\u0004abc,zip archive", "x.csv,ab\u0000c,binary data"})
    void foreignContentIsNamed(String name, String content, String found) throws IOException {
        Path p = file(name, content);
        assertThatThrownBy(() -> read(p, ReadOptions.defaults()))
                .hasMessageContaining("expected UTF-8 text, found")
                .hasMessageContaining(found);
    }

    @Test
    void missingThings() throws IOException {
        assertThatThrownBy(() -> read(dir.resolve("no.csv"), ReadOptions.defaults()))
                .hasMessageContaining("no.csv: no such file");
        Path p = file("a.csv", "headline,stars\nsome words here,1\nmore words here,2\n");
        try (RowReader r = RowReader.open(p, ReadOptions.defaults())) {
            assertThatThrownBy(() -> Columns.infer(r, Map.of(Role.TEXT, "text"), List.of(Role.TEXT), List.of()))
                    .hasMessageContaining("no column 'text'")
                    .hasMessageContaining("[headline, stars]");
            Columns c = Columns.infer(r, Map.of(), List.of(Role.TEXT), List.of(Role.ID));
            assertThat(c.get(Role.TEXT)).isEqualTo("headline");
            assertThat(c.find(Role.ID)).isNull();
        }
    }

    @Test
    void unclosedQuoteIsToldNotSwallowed() throws IOException {
        Path p = file("a.csv", "text,label\nfine,1\n\"open,1\nnext,0\n");
        assertThatThrownBy(() -> read(p, ReadOptions.defaults())).hasMessageContaining("not valid csv");
        try (RowReader r = RowReader.open(p, SKIP)) {
            assertThat(r.readAll()).hasSize(1);
            assertThat(r.problems().byKind()).containsEntry("broken csv", 1L);
        }
    }

    @Test
    void quotesInTabSeparatedFilesAreText() throws IOException {
        Path p = file("a.tsv", "text\tlabel\n\" he said\t1\n\"a \"\"b\"\"\"\t0\n");
        assertThat(read(p, ReadOptions.defaults()))
                .extracting(r -> r.text("text"))
                .containsExactly("\" he said", "a \"b\"");
    }

    @Test
    void contentDecidesWhereTheNameDoesNot() throws IOException {
        assertThat(read(file("a1", "{\"text\":\"x\"}\n{\"text\":\"y\"}\n"), ReadOptions.defaults()))
                .hasSize(2);
        assertThat(read(file("a2", " [ {\"text\":\"x\"} ]"), ReadOptions.defaults()))
                .hasSize(1);
        assertThat(read(file("a3", "text,label\nx,1\n"), ReadOptions.defaults()))
                .hasSize(1);
        assertThat(read(file("a4", "Well, this is text.\nx\n"), ReadOptions.defaults()))
                .hasSize(2);
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (OutputStream out = new GZIPOutputStream(packed)) {
            out.write("a\tb\nc\td\n".getBytes(StandardCharsets.UTF_8));
        }
        Path gz = Files.write(dir.resolve("a5"), packed.toByteArray());
        assertThat(read(gz, ReadOptions.defaults().withHeader(false))).hasSize(2);
    }

    @Test
    void cutGzipIsAnError() throws IOException {
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (OutputStream out = new GZIPOutputStream(packed)) {
            out.write("line\n".repeat(100_000).getBytes(StandardCharsets.UTF_8));
        }
        Path gz =
                Files.write(dir.resolve("a.txt.gz"), java.util.Arrays.copyOf(packed.toByteArray(), packed.size() / 2));
        assertThatThrownBy(() -> read(gz, ReadOptions.defaults()))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("cannot be read");
    }
}
