package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.LoadOptions;
import dev.headstart.cli.HeadstartCommandTest.Result;
import dev.headstart.data.ReadOptions;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import dev.headstart.models.ConfigJson;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.pipeline.FeatureExtractionPipeline;
import dev.headstart.pipeline.Pipeline;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ExtractCommandTest {
    private static final int HIDDEN = 8;
    private static final List<String> WORDS = List.of("a", "cat", "dog", "sat", "on", "the", "mat", "ran");

    @TempDir
    static Path shared;

    @TempDir
    Path dir;

    private static Path model;

    @BeforeAll
    static void tinyBert() throws IOException {
        model = Files.createDirectories(shared.resolve("tiny"));
        List<String> vocab = new ArrayList<>(List.of("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"));
        vocab.addAll(WORDS);
        Path config = Files.writeString(model.resolve("config.json"), """
                {"model_type":"bert","architectures":["BertModel"],"vocab_size":13,"hidden_size":8,"num_hidden_layers":2,
                "num_attention_heads":2,"intermediate_size":16,"max_position_embeddings":32,"initializer_range":0.5}""");
        try (PreTrainedModel<?> m = Models.fromConfig(ConfigJson.read(config), "BertModel", LoadOptions.defaults())) {
            m.savePretrained(model);
        }
        Files.write(model.resolve("vocab.txt"), vocab);
        Files.writeString(
                model.resolve("tokenizer_config.json"),
                "{\"tokenizer_class\":\"BertTokenizer\",\"model_max_length\":32,\"do_lower_case\":true}");
    }

    private static String sentence(Random r) {
        StringBuilder b = new StringBuilder();
        for (int n = 1 + r.nextInt(12); n > 0; n--) {
            b.append(WORDS.get(r.nextInt(WORDS.size()))).append(n > 1 ? " " : "");
        }
        return b.toString();
    }

    private static Result extract(String... args) {
        List<String> all = new ArrayList<>(List.of("extract", "--model", model.toString()));
        all.addAll(List.of(args));
        return HeadstartCommandTest.run(all.toArray(String[]::new));
    }

    private List<Row> rows(Path file) {
        try (RowReader r = RowReader.open(file, ReadOptions.defaults())) {
            return r.readAll();
        }
    }

    @SuppressWarnings("unchecked")
    private static List<Double> features(Row row) {
        return (List<Double>) java.util.Objects.requireNonNull(row.values().get("features"));
    }

    @Test
    void equalsThePipelineInEveryPooling() throws IOException {
        List<String> texts = List.of("a cat sat on the mat", "dog", "the dog ran", "cat cat cat");
        Path in = Files.write(dir.resolve("in.txt"), texts);
        try (FeatureExtractionPipeline pipeline = Pipeline.featureExtraction(model.toString())) {
            for (String pooling : List.of("mean", "cls", "max", "model", "none")) {
                Path out = dir.resolve(pooling + ".jsonl");
                Result r = extract(
                        "--input",
                        in.toString(),
                        "--output",
                        out.toString(),
                        "--pooling",
                        pooling,
                        "--batch-tokens",
                        "16");
                assertThat(r.code()).as(r.err()).isZero();
                assertThat(r.out()).isEmpty();
                List<Row> rows = rows(out);
                assertThat(rows).hasSize(4);
                for (int i = 0; i < 4; i++) {
                    float[][] tokens = pipeline.apply(texts.get(i));
                    Object found = rows.get(i).values().get("features");
                    for (int h = 0; h < HIDDEN; h++) {
                        double mean = 0;
                        double max = Double.NEGATIVE_INFINITY;
                        for (float[] t : tokens) {
                            mean += t[h] / (double) tokens.length;
                            max = Math.max(max, t[h]);
                        }
                        double want = switch (pooling) {
                            case "cls" -> tokens[0][h];
                            case "max" -> max;
                            case "none" -> tokens[1][h];
                            default -> mean;
                        };
                        List<?> all = Objects.requireNonNull((List<?>) found);
                        List<?> vector = Objects.requireNonNull(pooling.equals("none") ? (List<?>) all.get(1) : all);
                        assertThat((Double) vector.get(h)).as(pooling).isEqualTo(want, within(1e-5));
                    }
                    if (pooling.equals("none")) {
                        assertThat((List<?>) found).hasSize(tokens.length);
                    }
                }
            }
        }
    }

    @Test
    void layersAreHiddenStates() throws IOException {
        Path in = Files.writeString(dir.resolve("in.txt"), "a cat\n");
        for (String layer : List.of("-1", "2", "0")) {
            assertThat(extract(
                                    "--input",
                                    in.toString(),
                                    "--output",
                                    dir.resolve(layer + ".jsonl").toString(),
                                    "--layer",
                                    layer)
                            .code())
                    .isZero();
        }
        assertThat(extract(
                                "--input",
                                in.toString(),
                                "--output",
                                dir.resolve("out.jsonl").toString())
                        .code())
                .isZero();
        List<Double> last = features(rows(dir.resolve("out.jsonl")).get(0));
        assertThat(features(rows(dir.resolve("-1.jsonl")).get(0))).isEqualTo(last);
        assertThat(features(rows(dir.resolve("2.jsonl")).get(0))).isEqualTo(last);
        assertThat(features(rows(dir.resolve("0.jsonl")).get(0))).isNotEqualTo(last);
        Result r = extract(
                "--input", in.toString(), "--output", dir.resolve("x.jsonl").toString(), "--layer", "9");
        assertThat(r.code()).isEqualTo(1);
        assertThat(r.lastLine()).contains("layer 9 is not there").contains("to 2");
        assertThat(dir.resolve("x.jsonl")).doesNotExist();
        assertThat(dir.resolve("x.jsonl.partial")).doesNotExist();
    }

    @Test
    void badRowsAreNamedOrSkippedAndCounted() throws IOException {
        Path in = dir.resolve("in.csv");
        Files.writeString(
                in, "id,text\na,the cat\nb,\nragged\na,the dog\nc,%s\nd,a mat\n".formatted("cat ".repeat(60)));
        Path out = dir.resolve("out.jsonl");
        Path empty = Files.writeString(dir.resolve("empty.csv"), "id,text\na,the cat\nb,\n");
        Result r = extract("--input", empty.toString(), "--output", out.toString());
        assertThat(r.code()).isEqualTo(1);
        assertThat(r.lastLine())
                .contains("empty.csv line 3 (row 2), column 'text': no text")
                .contains("--on-error skip");
        assertThat(out).doesNotExist();
        r = extract("--input", in.toString(), "--output", out.toString(), "--on-error", "skip", "--json");
        assertThat(r.code()).as(r.err()).isZero();
        assertThat(rows(out)).extracting(x -> x.text("id")).containsExactly("a", "c", "d");
        assertThat(rows(out)).extracting(x -> (long) x.number("row")).containsExactly(1L, 5L, 6L);
        assertThat(new ObjectMapper().readTree(r.out()).get("skipped").asInt()).isEqualTo(3);
        assertThat(r.lastLine())
                .contains("3 rows skipped", "1 empty text", "1 ragged line", "1 duplicate id", "1 texts were cut");
        r = extract(
                "--input",
                in.toString(),
                "--output",
                dir.resolve("o2.jsonl").toString(),
                "--on-error",
                "skip",
                "--no-truncation");
        assertThat(r.lastLine()).contains("4 rows skipped").contains("1 text too long");
        r = extract(
                "--input", in.toString(), "--output", dir.resolve("o3.jsonl").toString(), "--column", "body");
        assertThat(r.lastLine()).contains("no column 'body'").contains("[id, text]");
    }

    @Test
    void anOutputThatCannotBeWrittenIsOneLine() throws IOException {
        Path in = Files.writeString(dir.resolve("in.txt"), "a cat\n");
        Result r = extract(
                "--input",
                in.toString(),
                "--output",
                dir.resolve("no/such/out.npy").toString());
        assertThat(r.code()).isEqualTo(1);
        assertThat(r.lastLine()).contains("out.npy: its folder does not exist");
    }

    /** A child JVM is killed (SIGKILL) again and again; in the end the file holds what the unbroken run wrote. */
    @Test
    void killedRunsGoOnWithoutALostOrDoubledRow() throws Exception {
        Random random = new Random(5);
        StringBuilder text = new StringBuilder("id,text\n");
        int n = 6_000;
        for (int i = 0; i < n; i++) {
            text.append("row")
                    .append(i)
                    .append(',')
                    .append(i % 97 == 13 ? "" : sentence(random))
                    .append('\n');
        }
        Path in = Files.writeString(dir.resolve("in.csv"), text);
        Path whole = dir.resolve("whole.npy");
        Result unbroken =
                extract("--input", in.toString(), "--output", whole.toString(), "--window", "64", "--on-error", "skip");
        assertThat(unbroken.code()).as(unbroken.err()).isZero();

        Path out = dir.resolve("out.npy");
        Path note = dir.resolve("out.npy.partial").resolve("progress.json");
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx256m",
                "-cp",
                System.getProperty("java.class.path"),
                HeadstartCommand.class.getName(),
                "extract",
                "--model",
                model.toString(),
                "--input",
                in.toString(),
                "--output",
                out.toString(),
                "--window",
                "64",
                "--on-error",
                "skip",
                "--resume"));
        int kills = 0;
        long reached = 0;
        while (kills < 3) {
            Process child = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(dir.resolve("log" + kills).toFile())
                    .start();
            try {
                long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(120);
                while (rowsDone(note) <= reached && child.isAlive() && System.nanoTime() < deadline) {
                    Thread.sleep(2);
                }
                Thread.sleep(random.nextInt(60));
                assertThat(child.isAlive())
                        .as(Files.readString(dir.resolve("log" + kills)))
                        .isTrue();
            } finally {
                child.destroyForcibly().waitFor();
            }
            kills++;
            assertThat(out).doesNotExist();
            assertThat(rowsDone(note)).isGreaterThan(reached).isLessThan(n);
            reached = rowsDone(note);
        }
        Process last = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(dir.resolve("log").toFile())
                .start();
        assertThat(last.waitFor(120, TimeUnit.SECONDS)).isTrue();
        assertThat(last.exitValue()).as(Files.readString(dir.resolve("log"))).isZero();
        assertThat(Files.readString(dir.resolve("log")))
                .contains("resuming")
                .contains("62 rows skipped (62 empty text)");
        assertThat(Files.readAllLines(dir.resolve("out.npy.rows.jsonl")))
                .isEqualTo(Files.readAllLines(dir.resolve("whole.npy.rows.jsonl")));
        assertThat(vectors(out)).usingComparatorWithPrecision(1e-5f).containsExactly(vectors(whole));
        assertThat(dir.resolve("out.npy.partial")).doesNotExist();
    }

    private static long rowsDone(Path note) throws IOException {
        if (!Files.exists(note)) {
            return 0;
        }
        return new ObjectMapper()
                .readTree(Files.readAllBytes(note))
                .path("consumed")
                .asLong();
    }

    private static float[] vectors(Path npy) throws IOException {
        ByteBuffer b = ByteBuffer.wrap(Files.readAllBytes(npy))
                .order(ByteOrder.LITTLE_ENDIAN)
                .position(128);
        float[] v = new float[b.remaining() / 4];
        b.asFloatBuffer().get(v);
        return v;
    }
}
