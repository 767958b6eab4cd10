package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Rotary;
import dev.headstart.nn.Weights;
import java.util.Collections;
import java.util.List;

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
        int hidden = c.size("hidden_size", 4096);
        int heads = c.size("num_attention_heads", 32);
        int headDim = c.size("head_dim", hidden / heads);
        int layers = c.size("num_hidden_layers", 32);
        Rotary.Spec rope = RopeConfig.of(
                c, headDim, c.size("max_position_embeddings", 2048), "", c.number("rope_theta", 10000), true);
        List<Integer> windows = Collections.nCopies(layers, 0);
        return new Decoder(
                w,
                new Decoder.Spec(
                        c.size("vocab_size", 32000),
                        hidden,
                        c.size("intermediate_size", 11008),
                        heads,
                        c.size("num_key_value_heads", heads),
                        headDim,
                        Activation.of(c.text("hidden_act", "silu")),
                        c.number("rms_norm_eps", 1e-6),
                        c.flag("attention_bias", false),
                        c.flag("attention_bias", false),
                        c.flag("mlp_bias", false),
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
            super(w, config, Llama::body, "model", false, "max_position_embeddings", 2048, false, 0);
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
