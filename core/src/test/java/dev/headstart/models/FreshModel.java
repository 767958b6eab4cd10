package dev.headstart.models;

import dev.headstart.LoadOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Small models with random weights, as folders. */
public final class FreshModel {
    private FreshModel() {}

    /** Writes config.json and the weights that a new model begins with; returns the folder, made if it was not there. */
    public static Path write(Path folder, String architecture, String config) throws IOException {
        Path file = Files.createDirectories(folder).resolve("config.json");
        Files.writeString(file, config);
        try (PreTrainedModel<?> model = Models.fromConfig(
                ConfigJson.read(file), architecture, LoadOptions.defaults().withDevice("cpu"))) {
            model.savePretrained(folder);
        }
        return folder;
    }
}
