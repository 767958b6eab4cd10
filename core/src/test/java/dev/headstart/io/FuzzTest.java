package dev.headstart.io;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.headstart.HeadstartException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Every reader on 10,000 damaged files: it reads them or says what is wrong in one line, without other exceptions, without much memory,
 * without hanging. The seed is fixed; a failure names the round.
 */
@Timeout(value = 20, unit = TimeUnit.MINUTES) // a reader that hangs; all of it takes seconds where nothing else runs
class FuzzTest {
    private static final int ROUNDS = 10_000;
    /** A damaged file of some kB must not make a reader allocate more than this, on or off the heap. */
    private static final long MOST_BYTES = 24 << 20;

    private static final long[] EXTREMES = {
        0, 1, -1, 127, 128, 255, 65535, Integer.MAX_VALUE, 1L << 31, 1L << 32, Long.MAX_VALUE, Long.MIN_VALUE
    };
    private static final String[] SNIPPETS = {
        "9223372036854775807",
        "-1",
        "1e9",
        "null",
        "{}",
        "[]",
        "\"\"",
        "\"F64\"",
        ",",
        "}",
        "]",
        "\\u0000",
        "99999999999999999999"
    };

    @TempDir
    Path folder;

    /** Loading the engine allocates, too. */
    @BeforeAll
    static void warmUp() {
        Safetensors.readMap(Tensors.FIXTURES.resolve("pickle.safetensors"))
                .values()
                .forEach(Tensor::close);
    }

    /** Opens what was damaged. */
    private interface Opener {
        TensorSource open(Path file, boolean map);
    }

    /** Makes the damaged file. */
    private interface Damager {
        byte[] damage(Random random) throws IOException;
    }

    private void fuzz(String name, Damager damager, Opener opener) throws IOException {
        var random = new Random(20260101);
        Path file = folder.resolve(name);
        var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        int read = 0;
        for (int round = 0; round < ROUNDS; round++) {
            byte[] bytes = damager.damage(random);
            Files.write(file, bytes);
            long before = threads.getCurrentThreadAllocatedBytes();
            try (var source = opener.open(file, round % 2 == 0)) {
                for (String tensor : source.names().stream().limit(5).toList()) {
                    try (var values = source.tensor(tensor)) {
                        assertThat(values.nbytes())
                                .as("round " + round + " " + tensor)
                                .isLessThan(MOST_BYTES);
                        read++;
                    }
                }
            } catch (HeadstartException e) {
                assertThat(e.getMessage()).as("round " + round).contains("x.").doesNotContain("\n");
            } catch (RuntimeException | Error e) {
                throw new AssertionError("round " + round + " of " + name, e);
            }
            assertThat(threads.getCurrentThreadAllocatedBytes() - before)
                    .as("round " + round)
                    .isLessThan(MOST_BYTES);
        }
        assertThat(read).as("some damage must leave tensors that can be read").isGreaterThan(ROUNDS / 100);
    }

    /** One to four changes: bits, bytes, numbers, text, cuts, repeats. */
    private static byte[] damaged(byte[] original, Random random) {
        byte[] bytes = original.clone();
        for (int change = random.nextInt(4); change >= 0 && bytes.length > 0; change--) {
            int at = random.nextInt(bytes.length);
            int length = Math.min(1 + random.nextInt(16), bytes.length - at);
            switch (random.nextInt(8)) {
                case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
                case 1 -> bytes[at] = (byte) random.nextInt(256);
                case 2 -> bytes[at] += (byte) (random.nextBoolean() ? 1 : -1);
                case 3 -> {
                    byte[] number = ByteBuffer.allocate(8)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .putLong(EXTREMES[random.nextInt(EXTREMES.length)])
                            .array();
                    System.arraycopy(number, 0, bytes, at, Math.min(random.nextBoolean() ? 8 : 4, bytes.length - at));
                }
                case 4 -> bytes = joined(bytes, at, new byte[0], at + length);
                case 5 -> bytes = joined(bytes, at, Arrays.copyOfRange(bytes, at, at + length), at);
                case 6 ->
                    bytes = joined(
                            bytes,
                            at,
                            SNIPPETS[random.nextInt(SNIPPETS.length)].getBytes(StandardCharsets.UTF_8),
                            at + length);
                default -> bytes = random.nextInt(4) == 0 ? Arrays.copyOf(bytes, at) : bytes;
            }
        }
        return bytes;
    }

    private static byte[] joined(byte[] bytes, int upTo, byte[] middle, int from) {
        var out = new ByteArrayOutputStream();
        out.write(bytes, 0, upTo);
        out.writeBytes(middle);
        out.write(bytes, from, bytes.length - from);
        return out.toByteArray();
    }

    @Test
    void safetensors() throws IOException {
        byte[] original = Files.readAllBytes(Tensors.FIXTURES.resolve("pickle.safetensors"));
        fuzz("x.safetensors", random -> damaged(original, random), Safetensors::open);
    }

    @Test
    void safetensorsHeader() throws IOException {
        byte[] original = Files.readAllBytes(Tensors.FIXTURES.resolve("pickle.safetensors"));
        int length =
                (int) ByteBuffer.wrap(original).order(ByteOrder.LITTLE_ENDIAN).getLong();
        fuzz(
                "x.safetensors",
                random -> {
                    // The length stays true, so that the damage reaches the parser.
                    byte[] header = damaged(Arrays.copyOfRange(original, 8, 8 + length), random);
                    var out = new ByteArrayOutputStream();
                    out.writeBytes(ByteBuffer.allocate(8)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .putLong(header.length)
                            .array());
                    out.writeBytes(header);
                    out.write(original, 8 + length, original.length - 8 - length);
                    return out.toByteArray();
                },
                Safetensors::open);
    }

    @ParameterizedTest
    @ValueSource(strings = {"nested-zip.pt", "nested-legacy.pth"})
    void pickle(String name) throws IOException {
        byte[] original = Files.readAllBytes(Tensors.FIXTURES.resolve(name));
        fuzz("x.pt", random -> damaged(original, random), (file, map) -> {
            PickleReader.values(file);
            return PickleReader.open(file, map);
        });
    }

    @Test
    void pickleInAWholeArchive() throws IOException {
        var entries = new LinkedHashMap<String, byte[]>();
        try (var zip = new ZipFile(Tensors.FIXTURES.resolve("flat-zip.pt").toFile())) {
            for (ZipEntry entry : Collections.list(zip.entries())) {
                entries.put(entry.getName(), zip.getInputStream(entry).readAllBytes());
            }
        }
        fuzz(
                "x.pt",
                random -> {
                    // Packed again, so that the damage reaches the pickle behind the checks of the archive.
                    var out = new ByteArrayOutputStream();
                    try (var zip = new ZipOutputStream(out)) {
                        for (var entry : entries.entrySet()) {
                            zip.putNextEntry(new ZipEntry(entry.getKey()));
                            zip.write(
                                    entry.getKey().endsWith("data.pkl")
                                            ? damaged(entry.getValue(), random)
                                            : entry.getValue());
                        }
                    }
                    return out.toByteArray();
                },
                PickleReader::open);
    }

    @Test
    void onnx() throws IOException {
        byte[] original = Files.readAllBytes(Tensors.FIXTURES.resolve("tiny-bert.onnx"));
        fuzz("x.onnx", random -> damaged(original, random), OnnxReader::open);
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void tensorBundle(boolean checksumsRepaired) throws IOException {
        var bundle = new BundleBytes();
        for (int i = 0; i < 20; i++) {
            bundle.floats("bert/encoder/layer_" + i + "/output/dense/kernel", new long[] {2, 3}, 1, 2, 3, 4, 5, i);
        }
        bundle.write(folder.resolve("x"));
        byte[] original = bundle.index();
        fuzz(
                "x.index",
                random -> checksumsRepaired
                        ? bundle.index(block -> random.nextInt(3) == 0 ? damaged(block, random) : block)
                        : damaged(original, random),
                Checkpoint::open);
    }

    @Test
    void shardIndex() throws IOException {
        Files.copy(Tensors.FIXTURES.resolve("flat-zip.pt"), folder.resolve("a.pt"));
        byte[] original =
                "{\"metadata\":{\"total_size\":1},\"weight_map\":{\"weight\":\"a.pt\",\"row\":\"a.pt\",\"long\":\"a.pt\"}}"
                        .getBytes(StandardCharsets.UTF_8);
        fuzz("x.index.json", random -> damaged(original, random), Checkpoint::open);
    }

    @Test
    void numpy() throws IOException {
        Path array = folder.resolve("whole.npy");
        try (var values = Tensor.create(new float[] {1, 2, 3, 4, 5, 6}, 2, 3)) {
            Npy.write(array, values);
        }
        byte[] original = Files.readAllBytes(array);
        fuzz("x.npy", random -> damaged(original, random), (file, map) -> new OneArray(Npy.read(file)));
    }

    /** An array among the readers of many. */
    private record OneArray(Tensor array) implements TensorSource {
        @Override
        public Set<String> names() {
            return Set.of("array");
        }

        @Override
        public TensorInfo info(String name) {
            return new TensorInfo("F32", List.of());
        }

        @Override
        public Tensor tensor(String name) {
            return array;
        }

        @Override
        public String fileOf(String name) {
            return "x.npy";
        }

        @Override
        public void close() {
            array.close();
        }
    }
}
