package dev.headstart.models;

import dev.headstart.io.TensorInfo;
import dev.headstart.io.TensorSource;
import dev.headstart.nn.Memory;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;

/** A checkpoint under other names: each tensor is one of the original's, or a range of its rows, perhaps in another shape. */
final class RenamedSource implements TensorSource {
    private record Part(String original, long from, List<Long> shape) {}

    private final TensorSource source;
    private final Map<String, Part> parts = new LinkedHashMap<>();

    RenamedSource(TensorSource source) {
        this.source = source;
    }

    /** The whole tensor under a new name. */
    RenamedSource put(String name, String original) {
        return put(name, original, source.info(original).shape());
    }

    /** The whole tensor under a new name and in a shape with as many elements. */
    RenamedSource put(String name, String original, List<Long> shape) {
        parts.put(name, new Part(original, -1, shape));
        return this;
    }

    /** Rows from..from + rows. */
    RenamedSource rows(String name, String original, long from, long rows) {
        List<Long> whole = source.info(original).shape();
        java.util.ArrayList<Long> shape = new java.util.ArrayList<>(whole);
        shape.set(0, rows);
        parts.put(name, new Part(original, from, List.copyOf(shape)));
        return this;
    }

    private Part part(String name) {
        Part p = parts.get(name);
        if (p == null) {
            throw new dev.headstart.HeadstartException("the checkpoint has no tensor " + name);
        }
        return p;
    }

    @Override
    public Set<String> names() {
        return java.util.Collections.unmodifiableSet(parts.keySet());
    }

    @Override
    public TensorInfo info(String name) {
        return new TensorInfo(source.info(part(name).original).dtype(), part(name).shape);
    }

    @Override
    public Tensor tensor(String name) {
        Part p = part(name);
        return Memory.scoped(() -> {
            Tensor t = source.tensor(p.original);
            long[] shape = p.shape.stream().mapToLong(Long::longValue).toArray();
            return p.from < 0 ? t.reshape(shape) : t.narrow(0, p.from, shape[0]);
        });
    }

    @Override
    public String fileOf(String name) {
        Part p = parts.get(name);
        return p == null ? source.fileOf(source.names().iterator().next()) : source.fileOf(p.original);
    }

    @Override
    public void close() {
        source.close();
    }
}
