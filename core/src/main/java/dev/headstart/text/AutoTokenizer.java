package dev.headstart.text;

import dev.headstart.LoadOptions;

/** Loads the tokenizer that a model's files ask for, under transformers' name for it; {@link Tokenizer#fromPretrained(String)} is the same. */
public final class AutoTokenizer {
    private AutoTokenizer() {}

    /**
     * The tokenizer of a model.
     *
     * @param id a folder, or an id that is looked up as {@link dev.headstart.hub.Hub} says
     * @throws dev.headstart.HeadstartException when the model is not found, or has no tokenizer that can be read
     */
    public static Tokenizer fromPretrained(String id) {
        return Tokenizer.fromPretrained(id);
    }

    /** As {@link #fromPretrained(String)}. @param options revision, subfolder, offline */
    public static Tokenizer fromPretrained(String id, LoadOptions options) {
        return Tokenizer.fromPretrained(id, options);
    }
}
