package dev.headstart.io;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import java.util.zip.CRC32C;

/** Writes TensorFlow tensor bundles for tests, as tensorflow/core/util/tensor_bundle and lib/io/table_builder do. */
final class BundleBytes {
    private static final int RESTART_INTERVAL = 16;

    private final ByteArrayOutputStream data = new ByteArrayOutputStream();
    private final TreeMap<String, byte[]> records = new TreeMap<>();

    BundleBytes() {
        records.put("", proto().number(1, 1).message(3, proto().number(1, 1)).bytes());
    }

    BundleBytes floats(String name, long[] shape, float... values) {
        var bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        for (float value : values) {
            bytes.putFloat(value);
        }
        return raw(name, 1, shape, bytes.array());
    }

    BundleBytes raw(String name, int dtype, long[] shape, byte[] bytes) {
        Proto shapes = proto();
        for (long size : shape) {
            shapes.message(2, proto().number(1, size));
        }
        return record(
                name,
                proto().number(1, dtype)
                        .message(2, shapes)
                        .number(4, data.size())
                        .number(5, bytes.length)
                        .fixed32(6, masked(bytes)),
                bytes);
    }

    BundleBytes record(String name, Proto entry, byte[] bytes) {
        records.put(name, entry.bytes());
        data.writeBytes(bytes);
        return this;
    }

    Path write(Path prefix) throws IOException {
        Files.createDirectories(prefix.toAbsolutePath().getParent());
        Files.write(prefix.resolveSibling(prefix.getFileName() + ".data-00000-of-00001"), data.toByteArray());
        return Files.write(prefix.resolveSibling(prefix.getFileName() + ".index"), index());
    }

    byte[] index() {
        return index(block -> block);
    }

    /** @param change what is done to the content of each block before its checksum is made */
    byte[] index(UnaryOperator<byte[]> change) {
        var file = new ByteArrayOutputStream();
        // Two data blocks, so that the index block has something to say.
        var keys = records.navigableKeySet().stream().toList();
        String middle = keys.get(keys.size() / 2);
        var handles = new TreeMap<String, byte[]>();
        handles.put(middle, block(file, records.headMap(middle), change));
        handles.put(keys.get(keys.size() - 1) + "~", block(file, records.tailMap(middle), change));
        byte[] meta = block(file, Map.of(), change);
        byte[] index = block(file, handles, change);
        byte[] footer = Arrays.copyOf(
                ByteBuffer.allocate(meta.length + index.length)
                        .put(meta)
                        .put(index)
                        .array(),
                40);
        file.writeBytes(footer);
        file.writeBytes(ByteBuffer.allocate(8)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(0xdb4775248b80fb57L)
                .array());
        return file.toByteArray();
    }

    /** Appends a block; returns its handle. */
    private static byte[] block(ByteArrayOutputStream file, Map<String, byte[]> entries, UnaryOperator<byte[]> change) {
        var block = new ByteArrayOutputStream();
        var restarts = new ByteArrayOutputStream();
        byte[] last = {};
        int count = 0;
        for (var entry : new TreeMap<>(entries).entrySet()) {
            byte[] key = entry.getKey().getBytes(StandardCharsets.UTF_8);
            int shared = Math.max(0, Arrays.mismatch(last, key));
            if (count % RESTART_INTERVAL == 0) {
                restarts.writeBytes(fixed(block.size()));
                shared = 0;
            }
            varint(block, shared);
            varint(block, key.length - shared);
            varint(block, entry.getValue().length);
            block.write(key, shared, key.length - shared);
            block.writeBytes(entry.getValue());
            last = key;
            count++;
        }
        if (count == 0) {
            restarts.writeBytes(fixed(0));
        }
        block.writeBytes(restarts.toByteArray());
        block.writeBytes(fixed(restarts.size() / 4));
        byte[] content = change.apply(block.toByteArray());
        byte[] typed = Arrays.copyOf(content, content.length + 1);
        var handle = new ByteArrayOutputStream();
        varint(handle, file.size());
        varint(handle, content.length);
        file.writeBytes(typed);
        file.writeBytes(fixed(masked(typed)));
        return handle.toByteArray();
    }

    static int masked(byte[] bytes) {
        var crc = new CRC32C();
        crc.update(bytes);
        int value = (int) crc.getValue();
        return ((value >>> 15) | (value << 17)) + 0xa282ead8;
    }

    private static byte[] fixed(int value) {
        return ByteBuffer.allocate(4)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(value)
                .array();
    }

    private static void varint(ByteArrayOutputStream out, long value) {
        long rest = value;
        while ((rest & ~0x7fL) != 0) {
            out.write((int) (rest & 0x7f | 0x80));
            rest >>>= 7;
        }
        out.write((int) rest);
    }

    static Proto proto() {
        return new Proto();
    }

    /** A protobuf message in the making. */
    static final class Proto {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();

        Proto number(int field, long value) {
            varint(out, (long) field << 3);
            varint(out, value);
            return this;
        }

        Proto fixed32(int field, int value) {
            varint(out, (long) field << 3 | 5);
            out.writeBytes(fixed(value));
            return this;
        }

        Proto data(int field, byte[] bytes) {
            varint(out, (long) field << 3 | 2);
            varint(out, bytes.length);
            out.writeBytes(bytes);
            return this;
        }

        Proto text(int field, String text) {
            return data(field, text.getBytes(StandardCharsets.UTF_8));
        }

        Proto message(int field, Proto message) {
            return data(field, message.bytes());
        }

        byte[] bytes() {
            return out.toByteArray();
        }
    }
}
