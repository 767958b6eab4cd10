package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import java.io.IOException;
import java.nio.channels.ClosedChannelException;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Collections;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.Tensor;

/** What sources over one file have in common: a table of entries by name. */
abstract class NamedSource<E extends NamedSource.Described> implements TensorSource {
    /** One tensor of the file. */
    interface Described {
        TensorInfo info();
    }

    private final Path path;
    private final Map<String, E> entries;

    /** @param entries by name, in file order */
    NamedSource(Path path, Map<String, E> entries) {
        this.path = path;
        this.entries = Collections.unmodifiableMap(entries);
    }

    /** Makes the tensor; called inside {@link TensorMemory#owned}. */
    abstract Tensor read(String name, E entry) throws IOException;

    final Path path() {
        return path;
    }

    @Override
    public final Set<String> names() {
        return entries.keySet();
    }

    @Override
    public final TensorInfo info(String name) {
        return entry(name).info();
    }

    @Override
    public final Tensor tensor(String name) {
        E entry = entry(name);
        try {
            return TensorMemory.owned(() -> read(name, entry));
        } catch (ClosedChannelException e) {
            throw new IllegalStateException(path + " was closed, or its reading was interrupted", e);
        } catch (IOException e) {
            throw new WeightFormatException(
                    path,
                    "tensor " + quote(name) + " cannot be read: " + StagedFile.reason(e) + "; fetch the file again",
                    e);
        }
    }

    @Override
    public String fileOf(String name) {
        entry(name);
        return fileName(path);
    }

    private E entry(String name) {
        E entry = entries.get(name);
        if (entry == null) {
            throw noSuchTensor(path, name, entries.keySet());
        }
        return entry;
    }

    static String fileName(Path path) {
        Path name = path.getFileName();
        return name == null ? path.toString() : name.toString();
    }

    /** @return the error; it names up to three tensors whose names end alike */
    static WeightFormatException noSuchTensor(Path file, String name, Collection<String> names) {
        String last = name.substring(name.lastIndexOf('.', Math.max(0, name.lastIndexOf('.') - 1)) + 1);
        String like = names.stream().filter(n -> n.endsWith(last)).limit(3).collect(Collectors.joining(", "));
        return new WeightFormatException(
                file,
                "expected a tensor named " + quote(name) + ", found none among " + names.size()
                        + (like.isEmpty() ? "" : "; names that end alike: " + like));
    }
}
