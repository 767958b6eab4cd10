package dev.headstart.train.pretrain;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.io.Safetensors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Weights of a finished folder in another floating-point type. */
final class SavedType {
    private static final ObjectMapper JSON = new ObjectMapper();

    private SavedType() {}

    static void check(String type) {
        if (!type.matches("fp32|bf16|fp16")) {
            throw new HeadstartException("--save-dtype must be fp32, bf16 or fp16, found " + type);
        }
    }

    /** Rewrites model.safetensors, and names the type in config.json as transformers does. */
    static void convert(Path folder, String type) {
        if (!type.equals("fp32")) {
            ScalarType to = type.equals("bf16") ? ScalarType.BFloat16 : ScalarType.Half;
            Path file = folder.resolve("model.safetensors");
            Map<String, Tensor> stored = Safetensors.readMap(file);
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> cast = new LinkedHashMap<>();
                stored.forEach((name, t) -> cast.put(name, t.is_floating_point() ? t.to(to) : t));
                Safetensors.write(file, cast, Map.of("format", "pt"));
            } finally {
                stored.values().forEach(Tensor::close);
            }
        }
        Path config = folder.resolve("config.json");
        try {
            if (JSON.readTree(config.toFile()) instanceof ObjectNode node) {
                node.put("dtype", type.equals("fp32") ? "float32" : type.equals("bf16") ? "bfloat16" : "float16");
                Files.writeString(config, node.toPrettyString() + "\n");
            }
        } catch (IOException e) {
            throw new HeadstartException(config + ": cannot be written: " + e.getMessage(), e);
        }
    }
}
