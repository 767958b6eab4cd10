package dev.headstart.io;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collections;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/** One safetensors file, mapped or read. */
final class SafetensorsSource implements TensorSource {
    private final Path path;
    private final FileChannel file;
    private final SafetensorsHeader header;
    /** The whole file as bytes, copy-on-write, or null when it is read. */
    private @Nullable Tensor mapping;

    private SafetensorsSource(Path path, FileChannel file, SafetensorsHeader header, @Nullable Tensor mapping) {
        this.path = path;
        this.file = file;
        this.header = header;
        this.mapping = mapping;
    }

    static SafetensorsSource open(Path path, boolean map) {
        @Nullable FileChannel file = null;
        boolean done = false;
        try {
            file = FileChannel.open(path, StandardOpenOption.READ);
            var header = SafetensorsHeader.read(path, file);
            var source = new SafetensorsSource(path, file, header, map ? map(path, file.size()) : null);
            done = true;
            return source;
        } catch (IOException e) {
            throw new WeightFormatException(
                    path, "expected a readable safetensors file, found an error: " + StagedFile.reason(e), e);
        } finally {
            if (!done && file != null) {
                close(file);
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

    Map<String, String> metadata() {
        return Collections.unmodifiableMap(header.metadata());
    }

    @Override
    public Set<String> names() {
        return Collections.unmodifiableSet(header.entries().keySet());
    }

    @Override
    public TensorInfo info(String name) {
        return entry(name).info();
    }

    @Override
    public Tensor tensor(String name) {
        var entry = entry(name);
        long position = header.dataStart() + entry.begin();
        try {
            return TensorMemory.owned(() -> {
                long bytes = entry.end() - entry.begin();
                long[] sizes =
                        entry.info().shape().stream().mapToLong(Long::longValue).toArray();
                synchronized (this) {
                    if (mapping != null && bytes > 0 && position % entry.type().bytes() == 0) {
                        return mapping.narrow(0, position, bytes)
                                .view(entry.type().scalarType())
                                .view(sizes);
                    }
                }
                Tensor tensor = TensorMemory.empty(entry.type(), entry.info().shape());
                TensorMemory.read(file, position, tensor);
                return tensor;
            });
        } catch (ClosedChannelException e) {
            throw new IllegalStateException(path + " was closed, or its reading was interrupted", e);
        } catch (IOException e) {
            throw new WeightFormatException(
                    path,
                    "tensor " + WeightFormatException.quote(name) + " cannot be read: " + StagedFile.reason(e),
                    e);
        }
    }

    private SafetensorsHeader.Entry entry(String name) {
        var entry = header.entries().get(name);
        if (entry == null) {
            throw Checkpoint.noSuchTensor(path, name, header.entries().keySet());
        }
        return entry;
    }

    @Override
    public String fileOf(String name) {
        entry(name);
        return Checkpoint.fileName(path);
    }

    @Override
    public synchronized void close() {
        if (mapping != null) {
            mapping.close();
            mapping = null;
        }
        close(file);
    }

    private static void close(FileChannel file) {
        try {
            file.close();
        } catch (IOException e) {
            throw new HeadstartException("a weight file cannot be closed: " + StagedFile.reason(e), e);
        }
    }
}
