package dev.headstart.train.log;

import dev.headstart.HeadstartException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.zip.CRC32C;

/**
 * Writes curves that TensorBoard shows: an event file of TFRecords (length, masked CRC-32C, data, masked CRC-32C) that hold
 * {@code tensorflow.Event} messages. Each record is handed to the operating system at once, so a killed run loses none. Thread-safe.
 */
public final class TensorBoardWriter implements AutoCloseable {
    private final Path file;
    private final OutputStream out;

    /**
     * Starts a new event file; earlier ones of the same run may stay beside it.
     *
     * @param folder the run's folder, made when it is missing
     * @throws HeadstartException when it cannot be written
     */
    public TensorBoardWriter(Path folder) {
        try {
            Files.createDirectories(folder);
            Path free;
            int n = 0;
            do { // two runs within one second
                free = folder.resolve("events.out.tfevents." + System.currentTimeMillis() / 1000 + ".headstart."
                        + ProcessHandle.current().pid() + "." + n++);
            } while (Files.exists(free));
            file = free;
            out = Files.newOutputStream(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw new HeadstartException(folder + ": TensorBoard events cannot be written: " + e.getMessage(), e);
        }
        event(0, new Proto().bytes(3, "brain.Event:2"));
    }

    /** The event file. */
    public Path file() {
        return file;
    }

    /** One point of a curve. @param tag name; slashes group: {@code train/loss} */
    public void scalar(String tag, long step, double value) {
        scalars(step, Map.of(tag, value));
    }

    /** One point of several curves. */
    public void scalars(long step, Map<String, Double> values) {
        Proto summary = new Proto();
        values.forEach((tag, v) -> summary.message(1, new Proto().bytes(1, tag).fixed32(2, v.floatValue())));
        event(step, new Proto().message(5, summary));
    }

    /** A text (Markdown) in the tab Text. */
    public void text(String tag, long step, String markdown) {
        Proto plugin = new Proto().message(1, new Proto().bytes(1, "text"));
        Proto shape = new Proto().message(2, new Proto().varint(1, 1));
        Proto tensor = new Proto().varint(1, 7).message(2, shape).bytes(8, markdown); // DT_STRING, [1]
        Proto value = new Proto().bytes(1, tag).message(8, tensor).message(9, plugin);
        event(step, new Proto().message(5, new Proto().message(1, value)));
    }

    /** Says that the run goes on at this step after a break: TensorBoard forgets what earlier files have from there on. */
    public void resumed(long step) {
        event(step, new Proto().message(7, new Proto().varint(1, 1))); // SessionLog.START
    }

    private synchronized void event(long step, Proto content) {
        Proto event =
                new Proto().fixed64(1, System.currentTimeMillis() / 1000.0).varint(2, step);
        byte[] data = event.append(content).toByteArray();
        ByteBuffer length =
                ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(0, data.length);
        ByteBuffer record = ByteBuffer.allocate(16 + data.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(data.length)
                .putInt(maskedCrc(length.array()))
                .put(data)
                .putInt(maskedCrc(data));
        try {
            out.write(record.array());
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be written: " + e.getMessage(), e);
        }
    }

    static int maskedCrc(byte[] data) {
        CRC32C crc = new CRC32C();
        crc.update(data);
        return Integer.rotateRight((int) crc.getValue(), 15) + 0xa282ead8;
    }

    @Override
    public synchronized void close() {
        try {
            out.close();
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be written: " + e.getMessage(), e);
        }
    }

    /** The few parts of the protocol buffer wire format that events need. */
    private static final class Proto {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        private void raw(long v) {
            long rest = v;
            while ((rest & ~0x7FL) != 0) {
                bytes.write((int) (rest & 0x7F | 0x80));
                rest >>>= 7;
            }
            bytes.write((int) rest);
        }

        Proto varint(int field, long v) {
            raw((long) field << 3);
            raw(v);
            return this;
        }

        Proto fixed64(int field, double v) {
            raw((long) field << 3 | 1);
            bytes.writeBytes(ByteBuffer.allocate(8)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putDouble(v)
                    .array());
            return this;
        }

        Proto fixed32(int field, float v) {
            raw((long) field << 3 | 5);
            bytes.writeBytes(ByteBuffer.allocate(4)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putFloat(v)
                    .array());
            return this;
        }

        Proto bytes(int field, String s) {
            return bytes(field, s.getBytes(StandardCharsets.UTF_8));
        }

        Proto message(int field, Proto m) {
            return bytes(field, m.toByteArray());
        }

        private Proto bytes(int field, byte[] b) {
            raw((long) field << 3 | 2);
            raw(b.length);
            bytes.writeBytes(b);
            return this;
        }

        Proto append(Proto other) {
            bytes.writeBytes(other.toByteArray());
            return this;
        }

        byte[] toByteArray() {
            return bytes.toByteArray();
        }
    }
}
