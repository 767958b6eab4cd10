package dev.headstart.models;

import dev.headstart.LoadOptions;

/** Loads the family's class for this task by config.json's model_type (transformers' AutoModelForObjectDetection). */
public final class AutoModelForObjectDetection {
    private AutoModelForObjectDetection() {}

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id) {
        return fromPretrained(id, LoadOptions.defaults());
    }

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id, LoadOptions options) {
        return Models.withHead(id, "ForObjectDetection", options);
    }
}
