package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Weights;

/**
 * Llama 1 to 3 (Touvron et al. 2023; Grattafiori et al. 2024): the decoder that the others are built after. Reference: transformers
 * {@code modeling_llama.py}.
 */
public final class Llama {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("llama", "model")
            .add("LlamaModel", LlamaModel::new)
            .add("LlamaForCausalLM", LlamaForCausalLM::new)
            .add("LlamaForSequenceClassification", LlamaForSequenceClassification::new)
            .add("LlamaForTokenClassification", LlamaForTokenClassification::new)
            .add("LlamaForQuestionAnswering", LlamaForQuestionAnswering::new);

    private Llama() {}

    /** LlamaConfig: transformers' field names and defaults. */
    private static CausalBody body(Weights w, ConfigJson c) {
        Decoder.Defaults absent = new Decoder.Defaults(32000, 4096, 11008, 32, 32, 0, 0, 2048);
        return new Decoder(
                w, new Decoder.SpecReader(c, absent).attentionBias().mlpBias().spec());
    }

    // === Models ===

    /** Llama without a head: hidden states. */
    public static final class LlamaModel extends CausalModels.CausalModel {
        LlamaModel(Weights w, ConfigJson config) {
            super(w, config, Llama::body);
        }

        /** From a folder or an id. */
        public static LlamaModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static LlamaModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, LlamaModel.class, options);
        }
    }

    /** Llama as a language model. */
    public static final class LlamaForCausalLM extends CausalModels.CausalLM {
        LlamaForCausalLM(Weights w, ConfigJson config) {
            super(w, config, Llama::body, "model", false, "max_position_embeddings", 2048, 0);
        }

        /** From a folder or an id. */
        public static LlamaForCausalLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static LlamaForCausalLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, LlamaForCausalLM.class, options);
        }
    }

    /** Llama as a classifier of texts, by the last token that is not padding. */
    public static final class LlamaForSequenceClassification extends CausalModels.CausalSequenceClassifier {
        LlamaForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, Llama::body, "model", null);
        }

        /** From a folder or an id. */
        public static LlamaForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static LlamaForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, LlamaForSequenceClassification.class, options);
        }
    }

    /** Llama as a classifier of tokens. */
    public static final class LlamaForTokenClassification extends CausalModels.CausalTokenClassifier {
        LlamaForTokenClassification(Weights w, ConfigJson config) {
            super(w, config, Llama::body, "model", "score");
        }
    }

    /** Llama that marks answers in a text. */
    public static final class LlamaForQuestionAnswering extends CausalModels.CausalQuestionAnswering {
        LlamaForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, Llama::body, "transformer");
        }
    }
}
