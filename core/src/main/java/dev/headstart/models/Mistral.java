package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Weights;

/**
 * Mistral (Jiang et al. 2023): the Llama decoder whose tokens see a sliding window. Reference: transformers {@code modeling_mistral.py}.
 */
public final class Mistral {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("mistral", "model")
            .add("MistralModel", MistralModel::new)
            .add("MistralForCausalLM", MistralForCausalLM::new)
            .add("MistralForSequenceClassification", MistralForSequenceClassification::new)
            .add("MistralForTokenClassification", MistralForTokenClassification::new)
            .add("MistralForQuestionAnswering", MistralForQuestionAnswering::new);

    private Mistral() {}

    /** MistralConfig: transformers' field names and defaults. */
    private static CausalBody body(Weights w, ConfigJson c) {
        Decoder.Defaults absent = new Decoder.Defaults(32000, 4096, 14336, 32, 32, 8, 0, 131072);
        int window = SlidingWindows.size(c, 4096);
        return new Decoder(
                w, new Decoder.SpecReader(c, absent).windows(window, i -> true).spec());
    }

    // === Models ===

    /** Mistral without a head: hidden states. */
    public static final class MistralModel extends CausalModels.CausalModel {
        MistralModel(Weights w, ConfigJson config) {
            super(w, config, Mistral::body);
        }

        /** From a folder or an id. */
        public static MistralModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MistralModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MistralModel.class, options);
        }
    }

    /** Mistral as a language model. */
    public static final class MistralForCausalLM extends CausalModels.CausalLM {
        MistralForCausalLM(Weights w, ConfigJson config) {
            super(w, config, Mistral::body, "model", false, "max_position_embeddings", 131072, 0);
        }

        /** From a folder or an id. */
        public static MistralForCausalLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MistralForCausalLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MistralForCausalLM.class, options);
        }
    }

    /** Mistral as a classifier of texts, by the last token that is not padding. */
    public static final class MistralForSequenceClassification extends CausalModels.CausalSequenceClassifier {
        MistralForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, Mistral::body, "model", null);
        }

        /** From a folder or an id. */
        public static MistralForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MistralForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MistralForSequenceClassification.class, options);
        }
    }

    /** Mistral as a classifier of tokens. */
    public static final class MistralForTokenClassification extends CausalModels.CausalTokenClassifier {
        MistralForTokenClassification(Weights w, ConfigJson config) {
            super(w, config, Mistral::body, "model", "score");
        }
    }

    /** Mistral that marks answers in a text. */
    public static final class MistralForQuestionAnswering extends CausalModels.CausalQuestionAnswering {
        MistralForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, Mistral::body, "model");
        }
    }
}
