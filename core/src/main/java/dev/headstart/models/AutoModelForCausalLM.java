package dev.headstart.models;

import dev.headstart.LoadOptions;

/** Loads the family's class that predicts the next token by config.json's model_type (transformers' AutoModelForCausalLM). */
public final class AutoModelForCausalLM {
    private AutoModelForCausalLM() {}

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id) {
        return fromPretrained(id, LoadOptions.defaults());
    }

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id, LoadOptions options) {
        return Models.withHead(id, "ForCausalLM", options);
    }
}
