package dev.headstart.models;

import dev.headstart.LoadOptions;

/** Loads what makes vectors of texts by config.json's model_type: T5's encoder without its decoder, elsewhere the model without a head (transformers' AutoModelForTextEncoding). */
public final class AutoModelForTextEncoding {
    private AutoModelForTextEncoding() {}

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id) {
        return fromPretrained(id, LoadOptions.defaults());
    }

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id, LoadOptions options) {
        return Models.withHead(id, "EncoderModel", options);
    }
}
