package dev.headstart.models;

import dev.headstart.LoadOptions;

/** Loads the family's class for this task by config.json's model_type (transformers' AutoModelForSemanticSegmentation). */
public final class AutoModelForSemanticSegmentation {
    private AutoModelForSemanticSegmentation() {}

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id) {
        return fromPretrained(id, LoadOptions.defaults());
    }

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id, LoadOptions options) {
        return Models.withHead(id, "ForSemanticSegmentation", options);
    }
}
