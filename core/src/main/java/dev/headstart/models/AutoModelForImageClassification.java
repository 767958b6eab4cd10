package dev.headstart.models;

import dev.headstart.LoadOptions;

/** Loads the family's class for this task by config.json's model_type (transformers' AutoModelForImageClassification). */
public final class AutoModelForImageClassification {
    private AutoModelForImageClassification() {}

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id) {
        return fromPretrained(id, LoadOptions.defaults());
    }

    /** From a folder or an id. */
    public static PreTrainedModel<?> fromPretrained(String id, LoadOptions options) {
        return Models.withHead(id, "ForImageClassification", options);
    }

    /** With new weights from the options' seed. @param config config.json of any image classifier */
    public static PreTrainedModel<?> fromConfig(ConfigJson config, LoadOptions options) {
        return Models.fromConfig(config, Models.family(config).withHead("ForImageClassification", config), options);
    }
}
