package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Rotary;
import dev.headstart.nn.Weights;
import java.util.Collections;
import java.util.List;

/**
 * Qwen3 (Yang et al. 2025): the Llama decoder with normalised queries and keys. Reference: transformers {@code modeling_qwen3.py}.
 */
public final class Qwen3 {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("qwen3", "model")
            .add("Qwen3Model", Qwen3Model::new)
            .add("Qwen3ForCausalLM", Qwen3ForCausalLM::new)
            .add("Qwen3ForSequenceClassification", Qwen3ForSequenceClassification::new)
            .add("Qwen3ForTokenClassification", Qwen3ForTokenClassification::new)
            .add("Qwen3ForQuestionAnswering", Qwen3ForQuestionAnswering::new);

    private Qwen3() {}

    /** Qwen3Config: transformers' field names and defaults. */
    private static CausalBody body(Weights w, ConfigJson c) {
        int hidden = c.size("hidden_size", 4096);
        int heads = c.size("num_attention_heads", 32);
        int headDim = c.size("head_dim", 128);
        int layers = c.size("num_hidden_layers", 32);
        Rotary.Spec rope = RopeConfig.of(
                c, headDim, c.size("max_position_embeddings", 32768), "", c.number("rope_theta", 10000), true);
        List<Integer> windows = SlidingWindows.of(
                c,
                layers,
                c.flag("use_sliding_window", false) ? c.integer("sliding_window", 4096) : 0,
                i -> i >= c.integer("max_window_layers", 28));
        return new Decoder(
                w,
                new Decoder.Spec(
                        c.size("vocab_size", 151936),
                        hidden,
                        c.size("intermediate_size", 22016),
                        heads,
                        c.size("num_key_value_heads", 32),
                        headDim,
                        Activation.of(c.text("hidden_act", "silu")),
                        c.number("rms_norm_eps", 1e-6),
                        c.flag("attention_bias", false),
                        c.flag("attention_bias", false),
                        false,
                        true,
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

    /** Qwen3 without a head: hidden states. */
    public static final class Qwen3Model extends CausalModels.CausalModel {
        Qwen3Model(Weights w, ConfigJson config) {
            super(w, config, Qwen3::body);
        }

        /** From a folder or an id. */
        public static Qwen3Model fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Qwen3Model fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Qwen3Model.class, options);
        }
    }

    /** Qwen3 as a language model. */
    public static final class Qwen3ForCausalLM extends CausalModels.CausalLM {
        Qwen3ForCausalLM(Weights w, ConfigJson config) {
            super(w, config, Qwen3::body, "model", false, "max_position_embeddings", 32768, false, 0);
        }

        /** From a folder or an id. */
        public static Qwen3ForCausalLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Qwen3ForCausalLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Qwen3ForCausalLM.class, options);
        }
    }

    /** Qwen3 as a classifier of texts, by the last token that is not padding. */
    public static final class Qwen3ForSequenceClassification extends CausalModels.CausalSequenceClassifier {
        Qwen3ForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, Qwen3::body, "model", null);
        }

        /** From a folder or an id. */
        public static Qwen3ForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Qwen3ForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Qwen3ForSequenceClassification.class, options);
        }
    }

    /** Qwen3 as a classifier of tokens. */
    public static final class Qwen3ForTokenClassification extends CausalModels.CausalTokenClassifier {
        Qwen3ForTokenClassification(Weights w, ConfigJson config) {
            super(w, config, Qwen3::body, "model", "score");
        }
    }

    /** Qwen3 that marks answers in a text. */
    public static final class Qwen3ForQuestionAnswering extends CausalModels.CausalQuestionAnswering {
        Qwen3ForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, Qwen3::body, "model");
        }
    }
}
