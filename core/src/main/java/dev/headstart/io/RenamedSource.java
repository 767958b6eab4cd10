package dev.headstart.io;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;

/** The tensors of another source under other names, matrices transposed where said. */
final class RenamedSource implements TensorSource {
    private final Path path;
    private final TensorSource source;
    private final Map<String, Stored> stored;

    /**
     * How a tensor is stored.
     *
     * @param name its name in the source
     * @param transposed whether the source holds it transposed
     */
    record Stored(String name, boolean transposed) {}

    /**
     * @param path for errors
     * @param stored by the names under which they are given
     */
    RenamedSource(Path path, TensorSource source, Map<String, Stored> stored) {
        this.path = path;
        this.source = source;
        this.stored = Collections.unmodifiableMap(stored);
    }

    @Override
    public Set<String> names() {
        return stored.keySet();
    }

    @Override
    public TensorInfo info(String name) {
        var entry = find(name);
        TensorInfo info = source.info(entry.name());
        if (!entry.transposed()) {
            return info;
        }
        List<Long> shape = new ArrayList<>(info.shape());
        Collections.swap(shape, 0, 1);
        return new TensorInfo(info.dtype(), List.copyOf(shape));
    }

    @Override
    public Tensor tensor(String name) {
        var entry = find(name);
        Tensor tensor = source.tensor(entry.name());
        if (!entry.transposed()) {
            return tensor;
        }
        try (tensor) {
            return TensorMemory.made(() -> tensor.t().contiguous());
        }
    }

    @Override
    public String fileOf(String name) {
        return source.fileOf(find(name).name());
    }

    private Stored find(String name) {
        var entry = stored.get(name);
        if (entry == null) {
            throw NamedSource.noSuchTensor(path, name, stored.keySet());
        }
        return entry;
    }

    @Override
    public void close() {
        source.close();
    }
}
