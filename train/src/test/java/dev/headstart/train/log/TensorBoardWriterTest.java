package dev.headstart.train.log;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Reads the files back with a reader of its own; conformance/tensorboard_check.py does the same with Python's tensorboard. */
class TensorBoardWriterTest {
    /** Bitwise CRC-32C (Castagnoli), so that the check does not lean on the class that the writer uses. */
    private static int crc(byte[] data) {
        int c = ~0;
        for (byte b : data) {
            c ^= b & 0xff;
            for (int k = 0; k < 8; k++) {
                c = (c >>> 1) ^ (0x82F63B78 & -(c & 1));
            }
        }
        c = ~c;
        return ((c >>> 15) | (c << 17)) + 0xa282ead8;
    }

    private record Field(int number, int wire, long value, byte[] bytes) {}

    private static List<Field> fields(byte[] message) {
        ByteBuffer b = ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN);
        List<Field> fields = new ArrayList<>();
        while (b.hasRemaining()) {
            long key = varint(b);
            int wire = (int) key & 7;
            byte[] bytes = new byte[0];
            long value = 0;
            switch (wire) {
                case 0 -> value = varint(b);
                case 1 -> value = b.getLong();
                case 2 -> {
                    bytes = new byte[(int) varint(b)];
                    b.get(bytes);
                }
                case 5 -> value = b.getInt();
                default -> throw new AssertionError("wire type " + wire);
            }
            fields.add(new Field((int) (key >>> 3), wire, value, bytes));
        }
        return fields;
    }

    private static long varint(ByteBuffer b) {
        long v = 0;
        for (int shift = 0; ; shift += 7) {
            byte x = b.get();
            v |= (long) (x & 0x7f) << shift;
            if (x >= 0) {
                return v;
            }
        }
    }

    private static List<byte[]> records(Path file) throws IOException {
        ByteBuffer b = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        List<byte[]> records = new ArrayList<>();
        while (b.hasRemaining()) {
            byte[] length = new byte[8];
            b.get(length);
            assertThat(b.getInt()).isEqualTo(crc(length));
            byte[] data = new byte
                    [(int) ByteBuffer.wrap(length)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .getLong()];
            b.get(data);
            assertThat(b.getInt()).isEqualTo(crc(data));
            records.add(data);
        }
        return records;
    }

    @Test
    void scalarsComeBack(@TempDir Path dir) throws IOException {
        Path file;
        try (TensorBoardWriter w = new TensorBoardWriter(dir.resolve("run"));
                TensorBoardWriter second = new TensorBoardWriter(dir.resolve("run"))) {
            assertThat(second.file()).isNotEqualTo(w.file());
            file = w.file();
            w.scalar("train/loss", 1, 2.5);
            w.scalars(300, Map.of("train/loss", 0.25, "lr", 3e-5));
            w.text("command", 0, "`finetune`");
            w.resumed(200);
            assertThat(records(file)).hasSize(5); // on disk before it is closed
        }
        List<byte[]> records = records(file);
        assertThat(fields(records.get(0)))
                .anySatisfy(f -> assertThat(new String(f.bytes(), StandardCharsets.UTF_8))
                        .isEqualTo("brain.Event:2"));
        Map<String, Float> points = new TreeMap<>();
        for (byte[] r : records) {
            long step = fields(r).stream()
                    .filter(f -> f.number() == 2)
                    .findFirst()
                    .orElseThrow()
                    .value();
            for (Field summary : fields(r).stream().filter(f -> f.number() == 5).toList()) {
                for (Field value : fields(summary.bytes())) {
                    List<Field> v = fields(value.bytes());
                    String tag = new String(v.get(0).bytes(), StandardCharsets.UTF_8);
                    v.stream()
                            .filter(f -> f.number() == 2)
                            .forEach(f -> points.put(tag + "@" + step, Float.intBitsToFloat((int) f.value())));
                }
            }
        }
        assertThat(points).isEqualTo(Map.of("train/loss@1", 2.5f, "train/loss@300", 0.25f, "lr@300", 3e-5f));
    }
}
