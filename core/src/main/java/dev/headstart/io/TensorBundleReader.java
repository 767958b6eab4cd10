package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * TensorFlow checkpoints in the tensor bundle format (tensorflow/core/util/tensor_bundle): {@code NAME.index}, a sorted table of names in the
 * layout of LevelDB's (github.com/google/leveldb/blob/main/doc/table_format.md), and the data in {@code NAME.data-00000-of-0000N}. Checksums of
 * the table and of every tensor that is read are verified.
 */
public final class TensorBundleReader {
    private static final long TABLE_MAGIC = 0xdb4775248b80fb57L;
    private static final int FOOTER = 48;
    private static final int TRAILER = 5;
    private static final int LARGEST_INDEX = 64 << 20;
    private static final int LONGEST_KEY = 4096;
    private static final int MOST_SHARDS = 10_000;

    private TensorBundleReader() {}

    /**
     * Opens a bundle under its stored names; {@link BertNames#fromTensorFlow} gives Hugging Face's. Entries that are no numbers (strings, such
     * as the object graph) are left out.
     *
     * @param bundle the {@code .index} file, or its path without {@code .index}, or a SavedModel folder
     * @param map whether data files may be mapped; see {@link Safetensors#open}
     * @throws WeightFormatException when a file is missing, damaged, compressed, or holds a type that is not read
     */
    public static TensorSource open(Path bundle, boolean map) {
        Path index = indexOf(bundle);
        String name = NamedSource.fileName(index);
        String prefix = name.substring(0, name.length() - ".index".length());
        List<WeightFile> shards = new ArrayList<>();
        boolean done = false;
        try {
            var table = new Table(index);
            Header header = table.header();
            for (int i = 0; i < header.shards(); i++) {
                Path shard = index.resolveSibling(String.format("%s.data-%05d-of-%05d", prefix, i, header.shards()));
                if (!Files.isRegularFile(shard)) {
                    throw new WeightFormatException(
                            index,
                            "expected its data in " + NamedSource.fileName(shard)
                                    + " beside it, found no such file; fetch it too");
                }
                shards.add(WeightFile.open(shard, map));
            }
            var source = new Source(index, table.entries(shards), shards);
            done = true;
            return source;
        } catch (IOException e) {
            throw new WeightFormatException(
                    index, "expected a readable TensorFlow checkpoint, found an error: " + StagedFile.reason(e), e);
        } finally {
            if (!done) {
                shards.forEach(WeightFile::close);
            }
        }
    }

    private static Path indexOf(Path bundle) {
        if (NamedSource.fileName(bundle).endsWith(".index")) {
            return bundle;
        }
        Path saved = bundle.resolve("variables").resolve("variables.index");
        if (Files.isRegularFile(saved)) {
            return saved;
        }
        Path index = bundle.resolveSibling(NamedSource.fileName(bundle) + ".index");
        if (Files.isRegularFile(index)) {
            return index;
        }
        throw new HeadstartException(
                bundle + ": no TensorFlow checkpoint found; looked for variables/variables.index in it and for "
                        + NamedSource.fileName(index) + " beside it");
    }

    private record Header(int shards) {}

    private record Entry(TensorInfo info, ElementType type, long elements, int shard, long offset, int checksum)
            implements NamedSource.Described {}

    private static final class Source extends NamedSource<Entry> {
        private final List<WeightFile> shards;

        Source(Path index, Map<String, Entry> entries, List<WeightFile> shards) {
            super(index, entries);
            this.shards = shards;
        }

        @Override
        Tensor read(String name, Entry entry) throws IOException {
            WeightFile shard = shards.get(entry.shard());
            Tensor tensor = shard.elements(entry.type(), entry.offset(), entry.elements());
            var crc = new CRC32C();
            TensorMemory.forEachChunk(tensor, (chunk, offset) -> crc.update(chunk));
            if (masked(crc) != entry.checksum()) {
                throw new WeightFormatException(
                        shard.path(),
                        "the checksum of tensor " + quote(name) + " is " + Integer.toHexString(masked(crc))
                                + ", the index says " + Integer.toHexString(entry.checksum())
                                + "; the file is damaged, fetch it again");
            }
            return TensorMemory.shaped(tensor, entry.info().shape());
        }

        @Override
        public void close() {
            shards.forEach(WeightFile::close);
        }
    }

    /** The checksum as TensorFlow and LevelDB store it. */
    private static int masked(CRC32C crc) {
        return Integer.rotateRight((int) crc.getValue(), 15) + 0xa282ead8;
    }

    /** The index file, whole in memory. */
    private static final class Table {
        private final Path path;
        private final byte[] bytes;
        private final Map<String, byte[]> records = new LinkedHashMap<>();
        private long keyBytes;

        Table(Path path) throws IOException {
            this.path = path;
            long size = Files.size(path);
            if (size < FOOTER || size > LARGEST_INDEX) {
                throw broken("expected an index of " + FOOTER + " to " + LARGEST_INDEX + " bytes, found " + size);
            }
            bytes = Files.readAllBytes(path);
            readBlocks();
        }

        private void readBlocks() {
            var footer = ByteBuffer.wrap(bytes, bytes.length - FOOTER, FOOTER).order(ByteOrder.LITTLE_ENDIAN);
            if (footer.getLong(bytes.length - 8) != TABLE_MAGIC) {
                throw broken("expected the index of a TensorFlow checkpoint (format 2), found another ending");
            }
            varint(footer);
            varint(footer);
            var handles = new ArrayList<byte[]>();
            readBlock(varint(footer), varint(footer), (key, value) -> handles.add(value));
            for (byte[] handle : handles) {
                var buffer = ByteBuffer.wrap(handle);
                readBlock(varint(buffer), varint(buffer), this::record);
            }
        }

        private void record(byte[] key, byte[] value) {
            String name = new String(key, StandardCharsets.UTF_8);
            if (records.put(name, value) != null) {
                throw broken("expected different names, found " + quote(name) + " twice");
            }
        }

        /** Takes what a block holds. */
        private interface Taker {
            void take(byte[] key, byte[] value);
        }

        /** A block: entries whose keys share a prefix with the key before, restart points, their number, a type byte, a checksum. */
        private void readBlock(long offset, long size, Taker taker) {
            if (offset < 0 || size < 4 || size > bytes.length || offset > bytes.length - size - TRAILER) {
                throw broken("expected a block inside the file, found one at " + offset + " of " + size + " bytes");
            }
            var block = ByteBuffer.wrap(bytes, (int) offset, (int) size).order(ByteOrder.LITTLE_ENDIAN);
            int end = (int) (offset + size);
            int compression = bytes[end];
            if (compression != 0) {
                throw broken("expected an index without compression, found one with "
                        + (compression == 1 ? "snappy" : "type " + compression) + ", which is not read");
            }
            var crc = new CRC32C();
            crc.update(bytes, (int) offset, (int) size + 1);
            int stored = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getInt(end + 1);
            if (masked(crc) != stored) {
                throw broken("expected block checksum " + Integer.toHexString(stored) + ", found "
                        + Integer.toHexString(masked(crc)));
            }
            int restarts = block.getInt(end - 4);
            if (restarts < 0 || restarts > (size - 4) / 4) {
                throw broken("expected at most " + (size - 4) / 4 + " restart points in a block, found " + restarts);
            }
            block.limit(end - 4 - 4 * restarts);
            byte[] key = {};
            while (block.hasRemaining()) {
                long shared = varint(block);
                long rest = varint(block);
                long length = varint(block);
                if (shared < 0
                        || shared > key.length
                        || rest < 0
                        || rest > LONGEST_KEY - shared
                        || length < 0
                        || length > block.remaining() - rest) {
                    throw broken("expected keys of at most " + LONGEST_KEY + " bytes in a block, found an entry of "
                            + shared + " + " + rest + " bytes with " + length + " of value");
                }
                byte[] next = Arrays.copyOf(key, (int) (shared + rest));
                block.get(next, (int) shared, (int) rest);
                byte[] value = new byte[(int) length];
                block.get(value);
                key = next;
                keyBytes += key.length;
                if (keyBytes > LARGEST_INDEX) {
                    throw broken("expected at most " + LARGEST_INDEX + " bytes of names, found more");
                }
                taker.take(key, value);
            }
        }

        /** A number in the files of LevelDB is a protobuf varint. */
        private long varint(ByteBuffer buffer) {
            long number = 0;
            for (int shift = 0; shift < 64 && buffer.hasRemaining(); shift += 7) {
                byte b = buffer.get();
                number |= (long) (b & 0x7f) << shift;
                if (b >= 0) {
                    return number;
                }
            }
            throw broken("expected a number, found one that is cut off");
        }

        /** BundleHeaderProto, under the empty name. */
        Header header() throws IOException {
            byte[] value = records.get("");
            if (value == null) {
                throw broken("expected a header record, found none");
            }
            long shards = 0;
            var proto = new ProtoReader(path, value);
            while (proto.next()) {
                if (proto.field() == 1) {
                    shards = proto.number();
                } else if (proto.field() == 2 && proto.number() != 0) {
                    throw broken("expected little-endian data, found big-endian, which is not read");
                }
            }
            if (shards < 1 || shards > MOST_SHARDS) {
                throw broken("expected 1 to " + MOST_SHARDS + " data files, found " + shards);
            }
            return new Header((int) shards);
        }

        Map<String, Entry> entries(List<WeightFile> shards) throws IOException {
            var entries = new LinkedHashMap<String, Entry>();
            for (var record : records.entrySet()) {
                if (!record.getKey().isEmpty()) {
                    Entry entry = entry(record.getKey(), record.getValue(), shards);
                    if (entry != null) {
                        entries.put(record.getKey(), entry);
                    }
                }
            }
            return entries;
        }

        /** BundleEntryProto; null for what is no tensor of numbers. */
        private @Nullable Entry entry(String name, byte[] value, List<WeightFile> shards) throws IOException {
            long dtype = 0;
            List<Long> shape = List.of();
            long shard = 0;
            long offset = 0;
            long size = 0;
            int checksum = 0;
            var proto = new ProtoReader(path, value);
            while (proto.next()) {
                switch (proto.field()) {
                    case 1 -> dtype = proto.number();
                    case 2 -> shape = shape(proto.message());
                    case 3 -> shard = proto.number();
                    case 4 -> offset = proto.number();
                    case 5 -> size = proto.number();
                    case 6 -> checksum = proto.fixed32();
                    case 7 ->
                        throw broken("tensor " + quote(name)
                                + " is saved in slices (a partitioned variable), which are not read; "
                                + "save the checkpoint from one unpartitioned graph");
                    default -> {}
                }
            }
            if (dtype == 7 || dtype == 20 || dtype == 21) { // DT_STRING, DT_RESOURCE, DT_VARIANT
                return null;
            }
            ElementType type = type(dtype);
            if (type == null) {
                throw broken("tensor " + quote(name) + " has TensorFlow type " + dtype
                        + ", which is not read; expected one of " + ElementType.allNames());
            }
            long elements = TensorMemory.elements(path, name, type, shape);
            if (size != elements * type.bytes()) {
                throw broken("tensor " + quote(name) + " of type " + type + " and shape " + shape + " needs "
                        + elements * type.bytes() + " bytes, found " + size);
            }
            if (shard < 0 || shard >= shards.size()) {
                throw broken("tensor " + quote(name) + " should lie in data file " + shard + " of " + shards.size());
            }
            WeightFile file = shards.get((int) shard);
            if (offset < 0 || offset > file.size() - size) {
                throw new WeightFormatException(
                        file.path(),
                        "tensor " + quote(name) + " should lie at byte " + offset + " with " + size
                                + " bytes, the file has " + file.size() + "; it is truncated, fetch it again");
            }
            return new Entry(new TensorInfo(type.name(), shape), type, elements, (int) shard, offset, checksum);
        }

        private List<Long> shape(ProtoReader proto) throws IOException {
            var shape = new ArrayList<Long>();
            while (proto.next()) {
                if (proto.field() == 3 && proto.number() != 0 || shape.size() >= 64) {
                    throw broken("expected a known shape of at most 64 dimensions");
                }
                if (proto.field() == 2) {
                    long size = 0;
                    var dim = proto.message();
                    while (dim.next()) {
                        if (dim.field() == 1) {
                            size = dim.number();
                        }
                    }
                    shape.add(size);
                }
            }
            return List.copyOf(shape);
        }

        /** tensorflow/core/framework/types.proto. */
        private static @Nullable ElementType type(long dtype) {
            return switch ((int) dtype) {
                case 1 -> ElementType.F32;
                case 2 -> ElementType.F64;
                case 3 -> ElementType.I32;
                case 4 -> ElementType.U8;
                case 5 -> ElementType.I16;
                case 6 -> ElementType.I8;
                case 8 -> ElementType.C64;
                case 9 -> ElementType.I64;
                case 10 -> ElementType.BOOL;
                case 14 -> ElementType.BF16;
                case 17 -> ElementType.U16;
                case 19 -> ElementType.F16;
                case 22 -> ElementType.U32;
                case 23 -> ElementType.U64;
                default -> null;
            };
        }

        private WeightFormatException broken(String problem) {
            return new WeightFormatException(
                    path, problem + "; if the file should be a TensorFlow checkpoint, fetch it again");
        }
    }
}
