package dev.headstart.models;

import dev.headstart.LoadOptions;

/** Loads the class that config.json asks for (transformers' AutoModel). */
public final class AutoModel {
    private AutoModel() {}

    /** The model without a head. */
    public static PreTrainedModel<?> fromPretrained(String id) {
        return fromPretrained(id, LoadOptions.defaults());
    }

    /** The model without a head. */
    public static PreTrainedModel<?> fromPretrained(String id, LoadOptions options) {
        return Models.withHead(id, "", options);
    }
}
