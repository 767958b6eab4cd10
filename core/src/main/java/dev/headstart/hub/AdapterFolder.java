package dev.headstart.hub;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** A folder in PEFT's layout: an adapter without the model that it belongs to, which it names. */
public final class AdapterFolder {
    private static final String CONFIG = "adapter_config.json";
    private static final List<String> WHOLE = List.of(
            "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json");
    private static final ObjectMapper JSON = new ObjectMapper();

    private AdapterFolder() {}

    /** Whether a folder holds an adapter alone: {@code adapter_config.json}, and no weights of a whole model. */
    public static boolean is(Path folder) {
        return Files.isRegularFile(folder.resolve(CONFIG))
                && WHOLE.stream().noneMatch(f -> Files.isRegularFile(folder.resolve(f)));
    }

    /**
     * Id or folder of the model that the adapter belongs to, with its revision if one is pinned.
     *
     * @throws HeadstartException when adapter_config.json cannot be read or names none
     */
    public static String base(Path folder) {
        Path file = folder.resolve(CONFIG);
        JsonNode config;
        try {
            config = JSON.readTree(file.toFile());
        } catch (IOException e) {
            throw new HeadstartException(
                    file + ": expected a JSON object (PEFT's configuration): " + e.getMessage(), e);
        }
        String base = config.path("base_model_name_or_path").asText("");
        if (base.isBlank() || base.equals("null")) {
            throw new HeadstartException(file
                    + ": base_model_name_or_path names no model; write the id or folder of the model there that the"
                    + " adapter was trained on");
        }
        String revision = config.path("revision").asText("");
        boolean pinned = !revision.isBlank() && !revision.equals("null") && !Files.isDirectory(Path.of(base));
        return pinned ? base + "@" + revision : base;
    }
}
