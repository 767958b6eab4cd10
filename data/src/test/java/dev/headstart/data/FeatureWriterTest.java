package dev.headstart.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class FeatureWriterTest {
    private static final int DIM = 3;

    @TempDir
    Path dir;

    private static Features pooled(int i) {
        return new Features(i, "id,\"" + i, new float[] {i, i + 0.5f, -i}, 1);
    }

    private static Features tokens(int i) {
        int n = i % 3 + 1;
        float[] v = new float[n * DIM];
        for (int k = 0; k < v.length; k++) {
            v[k] = i * 100 + k;
        }
        return new Features(i, null, v, n);
    }

    private Path target(FeatureFormat f) {
        return dir.resolve("out." + f.name().toLowerCase(java.util.Locale.ROOT));
    }

    /** Rows as (number, id, values), read back by means that do not share code with the writer. */
    private static List<String> readBack(Path p, FeatureFormat format, boolean perToken) throws IOException {
        List<String> out = new ArrayList<>();
        ObjectMapper mapper = new ObjectMapper();
        switch (format) {
            case CSV, JSONL, PARQUET -> {
                try (RowReader r = RowReader.open(p, ReadOptions.defaults())) {
                    for (Row row = r.next(); row != null; row = r.next()) {
                        Object v = format == FeatureFormat.CSV
                                ? List.of(row.number("f0"), row.number("f1"), row.number("f2"))
                                : Objects.requireNonNull(row.values().get("features"));
                        out.add((long) row.number("row") + " " + (row.has("id") ? row.text("id") : "-") + " " + v);
                    }
                }
            }
            case NPY, SAFETENSORS -> {
                ByteBuffer b = ByteBuffer.wrap(Files.readAllBytes(p)).order(ByteOrder.LITTLE_ENDIAN);
                List<JsonNode> notes = new ArrayList<>();
                Path side = p.resolveSibling(p.getFileName() + ".rows.jsonl");
                if (Files.exists(side)) {
                    for (String line : Files.readAllLines(side)) {
                        notes.add(mapper.readTree(line));
                    }
                }
                int data;
                long[] counts = notes.stream()
                        .mapToLong(n -> n.path("tokens").asLong(1))
                        .toArray();
                long[] numbers =
                        notes.stream().mapToLong(n -> n.path("row").asLong()).toArray();
                if (format == FeatureFormat.NPY) {
                    data = 10 + b.getShort(8);
                    assertThat(data % 64).isZero();
                    long total = java.util.Arrays.stream(counts).sum();
                    assertThat(new String(b.array(), 10, data - 10, StandardCharsets.US_ASCII))
                            .contains("'descr': '<f4'")
                            .contains("(" + total + ", 3)")
                            .endsWith("\n");
                    assertThat(b.capacity()).isEqualTo(data + (int) total * 12);
                } else {
                    int head = (int) b.getLong(0);
                    data = 8 + head;
                    JsonNode json = mapper.readTree(new String(b.array(), 8, head, StandardCharsets.UTF_8));
                    numbers = longs(b, data, json.path("row"));
                    if (perToken) {
                        long[] offsets = longs(b, data, json.path("offsets"));
                        counts = new long[offsets.length - 1];
                        for (int i = 0; i < counts.length; i++) {
                            counts[i] = offsets[i + 1] - offsets[i];
                        }
                    } else {
                        counts = new long[numbers.length];
                        java.util.Arrays.fill(counts, 1);
                    }
                    assertThat(json.path("features").path("shape").get(0).asLong())
                            .isEqualTo(java.util.Arrays.stream(counts).sum());
                }
                b.position(data);
                for (int i = 0; i < numbers.length; i++) {
                    List<Object> all = new ArrayList<>();
                    for (int t = 0; t < counts[i]; t++) {
                        all.add(List.of((double) b.getFloat(), (double) b.getFloat(), (double) b.getFloat()));
                    }
                    String id = i < notes.size() && notes.get(i).has("id")
                            ? notes.get(i).path("id").asText()
                            : "-";
                    out.add(numbers[i] + " " + id + " " + (perToken ? all : all.get(0)));
                }
            }
        }
        return out;
    }

    private static long[] longs(ByteBuffer b, int data, JsonNode tensor) {
        int from = data + tensor.path("data_offsets").get(0).asInt();
        long[] v = new long[tensor.path("shape").get(0).asInt()];
        for (int i = 0; i < v.length; i++) {
            v[i] = b.getLong(from + 8 * i);
        }
        return v;
    }

    private static String expected(Features f, boolean perToken) {
        List<Object> all = new ArrayList<>();
        for (int t = 0; t < f.tokens(); t++) {
            all.add(List.of(
                    (double) f.values()[t * DIM], (double) f.values()[t * DIM + 1], (double) f.values()[t * DIM + 2]));
        }
        return f.row() + " " + (f.id() == null ? "-" : f.id()) + " " + (perToken ? all : all.get(0));
    }

    @ParameterizedTest
    @EnumSource(FeatureFormat.class)
    void writesAndReadsBack(FeatureFormat format) throws IOException {
        Path out = target(format);
        try (FeatureWriter w = FeatureWriter.open(out, format, false, "s", false)) {
            for (int i = 1; i <= 50; i++) {
                w.write(pooled(i));
            }
            assertThat(out).doesNotExist();
            w.commit(50, Map.of());
            w.finish();
        }
        List<String> want = new ArrayList<>();
        for (int i = 1; i <= 50; i++) {
            want.add(expected(pooled(i), false));
        }
        assertThat(readBack(out, format, false)).isEqualTo(want);
        try (Stream<Path> left = Files.list(dir)) {
            assertThat(left.map(p -> p.getFileName().toString())).noneMatch(n -> n.contains("partial"));
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"NPY", "SAFETENSORS", "JSONL", "PARQUET"})
    void perToken(FeatureFormat format) throws IOException {
        Path out = target(format);
        List<String> want = new ArrayList<>();
        try (FeatureWriter w = FeatureWriter.open(out, format, true, "s", false)) {
            for (int i = 1; i <= 20; i++) {
                w.write(tokens(i));
                want.add(expected(tokens(i), true));
            }
            w.commit(20, Map.of());
            w.finish();
        }
        assertThat(readBack(out, format, true)).isEqualTo(want);
    }

    @ParameterizedTest
    @EnumSource(FeatureFormat.class)
    void whatWasNotCommittedIsWrittenOnce(FeatureFormat format) throws IOException {
        Path out = target(format);
        try (FeatureWriter w = FeatureWriter.open(out, format, false, "s", false)) {
            for (int i = 1; i <= 7; i++) {
                w.write(pooled(i));
            }
            w.commit(8, Map.of("empty row", 1L));
            for (int i = 9; i <= 20_000; i++) {
                w.write(pooled(i)); // more than the buffers hold: on disk, but not committed
            }
        }
        assertThatThrownBy(() -> FeatureWriter.open(out, format, false, "s", false))
                .hasMessageContaining("7 rows of an interrupted run");
        assertThatThrownBy(() -> FeatureWriter.open(out, format, false, "other", true))
                .hasMessageContaining("other settings");
        try (FeatureWriter w = FeatureWriter.open(out, format, false, "s", true)) {
            assertThat(w.consumed()).isEqualTo(8);
            assertThat(w.skips()).containsEntry("empty row", 1L);
            assertThatThrownBy(() -> FeatureWriter.open(out, format, false, "s", true))
                    .hasMessageContaining("another process is writing it");
            for (int i = 9; i <= 12; i++) {
                w.write(pooled(i));
            }
            w.commit(12, w.skips());
            w.finish();
        }
        List<String> want = new ArrayList<>();
        for (int i : new int[] {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12}) {
            want.add(expected(pooled(i), false));
        }
        assertThat(readBack(out, format, false)).isEqualTo(want);
    }

    @Test
    void nothingCommittedLeavesNothing() throws IOException {
        try (FeatureWriter w = FeatureWriter.open(dir.resolve("x.npy"), FeatureFormat.NPY, false, "s", false)) {
            w.write(pooled(1));
        }
        try (Stream<Path> left = Files.list(dir)) {
            assertThat(left).isEmpty();
        }
    }

    @Test
    void aFullDiskIsToldInOneLine() {
        Path full = Path.of("/dev/full");
        org.junit.jupiter.api.Assumptions.assumeTrue(Files.exists(full));
        IOException e = org.junit.jupiter.api.Assertions.assertThrows(IOException.class, () -> {
            try (var c = java.nio.channels.FileChannel.open(full, java.nio.file.StandardOpenOption.WRITE)) {
                c.write(ByteBuffer.wrap(new byte[10]));
            }
        });
        assertThat(FeatureWriter.writeFailure(Path.of("out.npy"), e).getMessage())
                .startsWith("out.npy: cannot be written: the disk is full")
                .contains("--resume")
                .doesNotContain("\n");
    }
}
