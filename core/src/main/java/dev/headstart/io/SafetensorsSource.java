package dev.headstart.io;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** One safetensors file, mapped or read. */
final class SafetensorsSource extends NamedSource<SafetensorsHeader.Entry> {
    private final WeightFile file;
    private final SafetensorsHeader header;

    private SafetensorsSource(WeightFile file, SafetensorsHeader header) {
        super(file.path(), header.entries());
        this.file = file;
        this.header = header;
    }

    static SafetensorsSource open(Path path, boolean map) {
        @Nullable WeightFile file = null;
        @Nullable SafetensorsSource source = null;
        try {
            file = WeightFile.open(path, map);
            source = new SafetensorsSource(file, SafetensorsHeader.read(file));
            return source;
        } catch (IOException e) {
            throw new WeightFormatException(
                    path, "expected a readable safetensors file, found an error: " + StagedFile.reason(e), e);
        } finally {
            if (source == null && file != null) {
                file.close();
            }
        }
    }

    Map<String, String> metadata() {
        return header.metadata();
    }

    @Override
    Tensor read(String name, SafetensorsHeader.Entry entry) throws IOException {
        long count = (entry.end() - entry.begin()) / entry.type().bytes();
        return TensorMemory.shaped(
                file.elements(entry.type(), header.dataStart() + entry.begin(), count),
                entry.info().shape());
    }

    @Override
    public void close() {
        file.close();
    }
}
