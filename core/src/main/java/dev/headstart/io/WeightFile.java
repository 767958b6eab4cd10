package dev.headstart.io;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/** An open weight file: its bytes as tensors, mapped (copy-on-write) or read. Any number of threads may use it. */
final class WeightFile implements AutoCloseable {
    private final Path path;
    private final FileChannel channel;
    private final long size;
    /** The whole file as bytes, or null when it is read. */
    private @Nullable Tensor mapping;

    private WeightFile(Path path, FileChannel channel, long size, @Nullable Tensor mapping) {
        this.path = path;
        this.channel = channel;
        this.size = size;
        this.mapping = mapping;
    }

    /** Opens {@code path}; a mapped file that is truncated ends the JVM. */
    static WeightFile open(Path path, boolean map) throws IOException {
        var channel = FileChannel.open(path, StandardOpenOption.READ);
        boolean done = false;
        try {
            long size = channel.size();
            var file = new WeightFile(path, channel, size, map && size > 0 ? map(path, size) : null);
            done = true;
            return file;
        } finally {
            if (!done) {
                channel.close();
            }
        }
    }

    private static Tensor map(Path path, long size) throws IOException {
        return TensorMemory.owned(() -> torch.from_file(
                new BytePointer(path.toAbsolutePath().toString(), StandardCharsets.UTF_8),
                new BoolOptional(false),
                new LongOptional(size),
                new TensorOptions(torch.ScalarType.Byte)));
    }

    Path path() {
        return path;
    }

    /** Length when it was opened. */
    long size() {
        return size;
    }

    /** {@code length} bytes from {@code position} on, which must lie in the file. */
    byte[] bytes(long position, int length) throws IOException {
        byte[] bytes = new byte[length];
        TensorMemory.readFully(channel, position, ByteBuffer.wrap(bytes));
        return bytes;
    }

    /** Reads up to the buffer's room; fewer only at the end of the file. */
    void read(long position, ByteBuffer buffer) throws IOException {
        buffer.limit((int) Math.min(buffer.limit(), Math.max(0, size - position) + buffer.position()));
        TensorMemory.readFully(channel, position, buffer);
    }

    /**
     * {@code count} little-endian elements from {@code position} on, which the caller has checked to lie in the file. To be called inside
     * {@link TensorMemory#owned}.
     *
     * @return contiguous, [count]; a view of the mapping where the file is mapped and the elements lie aligned
     */
    Tensor elements(ElementType type, long position, long count) throws IOException {
        long bytes = count * type.bytes();
        synchronized (this) {
            if (mapping != null && bytes > 0 && position % type.bytes() == 0) {
                return mapping.narrow(0, position, bytes).view(type.scalarType());
            }
        }
        Tensor tensor = TensorMemory.empty(type, count);
        TensorMemory.read(channel, position, tensor);
        return tensor;
    }

    /** The file's bytes one at a time, through a buffer. For one thread. */
    ProtoReader.Bytes window() {
        return new ProtoReader.Bytes() {
            private final ByteBuffer buffer = ByteBuffer.allocate(1 << 16).limit(0);
            private long start;

            @Override
            public int at(long position) throws IOException {
                if (position < start || position >= start + buffer.limit()) {
                    start = position;
                    buffer.clear();
                    read(position, buffer);
                    buffer.flip();
                }
                return buffer.get((int) (position - start)) & 0xff;
            }
        };
    }

    @Override
    public synchronized void close() {
        if (mapping != null) {
            mapping.close();
            mapping = null;
        }
        try {
            channel.close();
        } catch (IOException e) {
            throw new HeadstartException(path + ": cannot be closed: " + StagedFile.reason(e), e);
        }
    }
}
