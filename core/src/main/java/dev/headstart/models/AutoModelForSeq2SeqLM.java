package dev.headstart.models;

import dev.headstart.LoadOptions;

/** Loads the family's class that turns text into text by config.json's model_type (transformers' AutoModelForSeq2SeqLM). */
public final class AutoModelForSeq2SeqLM {
    private AutoModelForSeq2SeqLM() {}

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id) {
        return fromPretrained(id, LoadOptions.defaults());
    }

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id, LoadOptions options) {
        return Models.withHead(id, "ForConditionalGeneration", options);
    }
}
