package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;

/** Several weight files with an index that says which tensor is where. */
final class ShardedSource implements TensorSource {
    private final Path index;
    private final Map<String, TensorSource> sourceOf = new LinkedHashMap<>();
    private final Map<String, TensorSource> shards;

    /**
     * @param fileOf shard by tensor
     * @param shards by file name; closed with this
     */
    ShardedSource(Path index, Map<String, String> fileOf, Map<String, TensorSource> shards) {
        this.index = index;
        this.shards = shards;
        fileOf.forEach((name, file) -> {
            TensorSource shard = shards.get(file);
            if (shard == null || !shard.names().contains(name)) {
                throw new WeightFormatException(
                        index,
                        "expected tensor " + quote(name) + " in " + file
                                + ", found none there; index and files do not belong together");
            }
            sourceOf.put(name, shard);
        });
    }

    @Override
    public Set<String> names() {
        return Collections.unmodifiableSet(sourceOf.keySet());
    }

    @Override
    public TensorInfo info(String name) {
        return source(name).info(name);
    }

    @Override
    public Tensor tensor(String name) {
        return source(name).tensor(name);
    }

    @Override
    public String fileOf(String name) {
        return source(name).fileOf(name);
    }

    private TensorSource source(String name) {
        TensorSource source = sourceOf.get(name);
        if (source == null) {
            throw NamedSource.noSuchTensor(index, name, sourceOf.keySet());
        }
        return source;
    }

    @Override
    public void close() {
        shards.values().forEach(TensorSource::close);
    }
}
