package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Supplier;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;

/** Moves bytes between files and tensors without a detour through the Java heap. */
final class TensorMemory {
    private static final int CHUNK = 64 << 20;

    private TensorMemory() {}

    /** Makes a tensor; what else it makes on the way is freed when it returns. */
    @FunctionalInterface
    interface Maker {
        Tensor make() throws IOException;
    }

    /**
     * Runs {@code maker} in a scope of its own and hands its tensor to the caller: no surrounding scope will close it, and it is no inference
     * tensor even when the caller is in inference mode.
     */
    static Tensor owned(Maker maker) throws IOException {
        try (var scope = new PointerScope();
                var normal = new InferenceMode(false)) {
            Tensor tensor = maker.make();
            tensor.retainReference();
            return tensor;
        }
    }

    /** As {@link #owned}, for what does no input or output. */
    static Tensor made(Supplier<Tensor> maker) {
        try {
            return owned(maker::get);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A new tensor on the CPU, [count], contents undefined. To be called inside {@link #owned}. */
    static Tensor empty(ElementType type, long count) {
        return torch.empty(new long[] {count}, new TensorOptions(type.scalarType()), new MemoryFormatOptional());
    }

    /** A view of a contiguous tensor in another shape of as many elements. */
    static Tensor shaped(Tensor tensor, List<Long> shape) {
        return tensor.view(shape.stream().mapToLong(Long::longValue).toArray());
    }

    /**
     * The number of elements of a shape that a file gives.
     *
     * @throws WeightFormatException when a size is negative or the tensor would not fit into 63 bits of address, not even with its sizes of 0
     *     taken as 1
     */
    static long elements(Path file, String name, ElementType type, List<Long> shape) {
        try {
            long elements = 1;
            long atLeast = type.bytes();
            for (long size : shape) {
                if (size < 0) {
                    throw new ArithmeticException("negative");
                }
                elements = Math.multiplyExact(elements, size);
                atLeast = Math.multiplyExact(atLeast, Math.max(1, size));
            }
            return elements;
        } catch (ArithmeticException e) {
            throw new WeightFormatException(
                    file, "tensor " + quote(name) + " has the impossible shape " + shape + "; the file is damaged", e);
        }
    }

    /** Calls {@code action} with one piece after the other of the memory of a contiguous tensor on the CPU. */
    static void forEachChunk(Tensor tensor, ChunkAction action) throws IOException {
        long bytes = tensor.nbytes();
        for (long at = 0; at < bytes; at += CHUNK) {
            try (var scope = new PointerScope()) {
                var memory = new BytePointer(tensor.data_ptr());
                memory.position(at).limit(at + Math.min(CHUNK, bytes - at));
                action.accept(memory.asByteBuffer(), at);
            }
        }
    }

    /** What is done with a piece of memory. */
    @FunctionalInterface
    interface ChunkAction {
        void accept(ByteBuffer chunk, long offset) throws IOException;
    }

    /** Fills a contiguous tensor from {@code position} of a file. */
    static void read(FileChannel file, long position, Tensor tensor) throws IOException {
        forEachChunk(tensor, (chunk, offset) -> readFully(file, position + offset, chunk));
    }

    /** Fills a buffer from {@code position} of a file. */
    static void readFully(FileChannel file, long position, ByteBuffer buffer) throws IOException {
        long at = position;
        while (buffer.hasRemaining()) {
            int n = file.read(buffer, at);
            if (n < 0) {
                throw new EOFException("the file ends at byte " + at + ", " + buffer.remaining() + " bytes early");
            }
            at += n;
        }
    }

    /** Fills a contiguous tensor from a stream, which must hold at least as many bytes. */
    static void read(InputStream stream, Tensor tensor) throws IOException {
        byte[] piece = new byte[(int) Math.min(1 << 20, Math.max(1, tensor.nbytes()))];
        forEachChunk(tensor, (chunk, offset) -> {
            while (chunk.hasRemaining()) {
                int n = stream.read(piece, 0, Math.min(piece.length, chunk.remaining()));
                if (n < 0) {
                    throw new EOFException("the data ends " + chunk.remaining() + " bytes early");
                }
                chunk.put(piece, 0, n);
            }
        });
    }

    /** Writes a contiguous tensor on the CPU to a file, from the file's current position on. */
    static void write(Tensor tensor, FileChannel file) throws IOException {
        forEachChunk(tensor, (chunk, offset) -> {
            while (chunk.hasRemaining()) {
                file.write(chunk);
            }
        });
    }
}
