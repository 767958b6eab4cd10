package dev.headstart.train.pretrain;

import dev.headstart.HeadstartException;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * The tokens of one split, tokenized once, in a file that is read by position: 2 bytes a token for vocabularies up to 65,536, else 4, little-endian.
 * Memory does not grow with its length. Thread-safe.
 */
final class TokenShard implements AutoCloseable {
    private final Path file;
    private final FileChannel channel;
    private final int width;
    private final long length;

    private TokenShard(Path file, int width) throws IOException {
        this.file = file;
        this.width = width;
        this.channel = FileChannel.open(file, StandardOpenOption.READ);
        this.length = channel.size() / width;
    }

    static int width(int vocabSize) {
        return vocabSize <= 1 << 16 ? 2 : 4;
    }

    static TokenShard open(Path file, int vocabSize) {
        try {
            return new TokenShard(file, width(vocabSize));
        } catch (IOException e) {
            throw new HeadstartException(file + ": the tokens cannot be read: " + e.getMessage(), e);
        }
    }

    /** Number of tokens. */
    long length() {
        return length;
    }

    /** Copies tokens out. @param from first token @param n how many @param to gets them from index {@code at} on */
    void read(long from, int n, long[] to, int at) {
        ByteBuffer buffer = ByteBuffer.allocate(n * width).order(ByteOrder.LITTLE_ENDIAN);
        try {
            while (buffer.hasRemaining()) {
                if (channel.read(buffer, from * width + buffer.position()) < 0) {
                    throw new HeadstartException(file + ": expected " + length + " tokens, the file has become shorter;"
                            + " start anew without --resume");
                }
            }
        } catch (IOException e) {
            throw new HeadstartException(file + ": the tokens cannot be read: " + e.getMessage(), e);
        }
        buffer.flip();
        for (int i = 0; i < n; i++) {
            to[at + i] = width == 2 ? buffer.getShort() & 0xFFFF : buffer.getInt();
        }
    }

    long[] read(long from, int n) {
        long[] out = new long[n];
        read(from, n, out, 0);
        return out;
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be closed: " + e.getMessage(), e);
        }
    }

    /** Writes a shard, front to back. */
    static final class Writer implements AutoCloseable {
        private final OutputStream out;
        private final int width;
        private long length;

        Writer(Path file, int vocabSize) throws IOException {
            out = new BufferedOutputStream(Files.newOutputStream(file), 1 << 16);
            width = width(vocabSize);
        }

        void add(long token) throws IOException {
            out.write((int) token);
            out.write((int) (token >> 8));
            if (width == 4) {
                out.write((int) (token >> 16));
                out.write((int) (token >> 24));
            }
            length++;
        }

        long length() {
            return length;
        }

        @Override
        public void close() throws IOException {
            out.close();
        }
    }
}
