package dev.headstart.models;

import dev.headstart.LoadOptions;

/** Loads the family's class for this task by config.json's model_type (transformers' AutoModelForMaskedLM). */
public final class AutoModelForMaskedLM {
    private AutoModelForMaskedLM() {}

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id) {
        return fromPretrained(id, LoadOptions.defaults());
    }

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id, LoadOptions options) {
        return Models.withHead(id, "ForMaskedLM", options);
    }
}
