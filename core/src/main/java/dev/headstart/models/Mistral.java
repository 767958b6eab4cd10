package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Rotary;
import dev.headstart.nn.Weights;
import java.util.Collections;
import java.util.List;

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
        int hidden = c.size("hidden_size", 4096);
        int heads = c.size("num_attention_heads", 32);
        int headDim = c.size("head_dim", hidden / heads);
        int layers = c.size("num_hidden_layers", 32);
        Rotary.Spec rope = RopeConfig.of(
                c, headDim, c.size("max_position_embeddings", 131072), "", c.number("rope_theta", 10000), true);
        int window = c.node().path("sliding_window").isNull() ? 0 : c.integer("sliding_window", 4096);
        List<Integer> windows = Collections.nCopies(layers, window);
        return new Decoder(
                w,
                new Decoder.Spec(
                        c.size("vocab_size", 32000),
                        hidden,
                        c.size("intermediate_size", 14336),
                        heads,
                        c.size("num_key_value_heads", 8),
                        headDim,
                        Activation.of(c.text("hidden_act", "silu")),
                        c.number("rms_norm_eps", 1e-6),
                        false,
                        false,
                        false,
                        false,
                        false,
                        false,
                        1,
                        1 / Math.sqrt(headDim),
                        0,
                        c.number("attention_dropout", 0),
                        c.integer("pad_token_id", -1),
                        windows,
                        Collections.nCopies(layers, rope),
                        false));
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
            super(w, config, Mistral::body, "model", false, "max_position_embeddings", 131072, false, 0);
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
