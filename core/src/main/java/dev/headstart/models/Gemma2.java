package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Rotary;
import dev.headstart.nn.Weights;
import java.util.Collections;
import java.util.List;

/**
 * Gemma 2 (Gemma Team 2024): scaled embeddings, four norms a layer, soft caps, every other layer sees a sliding window. Reference: transformers
 * {@code modeling_gemma2.py}.
 */
public final class Gemma2 {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("gemma2", "model")
            .add("Gemma2Model", Gemma2Model::new)
            .add("Gemma2ForCausalLM", Gemma2ForCausalLM::new)
            .add("Gemma2ForSequenceClassification", Gemma2ForSequenceClassification::new)
            .add("Gemma2ForTokenClassification", Gemma2ForTokenClassification::new);

    private Gemma2() {}

    /** Gemma2Config: transformers' field names and defaults. */
    private static CausalBody body(Weights w, ConfigJson c) {
        int hidden = c.size("hidden_size", 2304);
        int headDim = c.size("head_dim", 256);
        int layers = c.size("num_hidden_layers", 26);
        int positions = c.size("max_position_embeddings", 8192);
        int window = c.node().path("sliding_window").isNull() ? 0 : c.integer("sliding_window", 4096);
        List<Integer> windows = SlidingWindows.of(c, layers, window, i -> i % 2 == 0);
        List<Rotary.Spec> ropes = Collections.nCopies(
                layers, RopeConfig.of(c, headDim, positions, "", c.number("rope_theta", 10000), true));
        return new Decoder(
                w,
                new Decoder.Spec(
                        c.size("vocab_size", 256000),
                        hidden,
                        c.size("intermediate_size", 9216),
                        c.size("num_attention_heads", 8),
                        c.size("num_key_value_heads", 4),
                        headDim,
                        Activation.of(c.text("hidden_activation", "gelu_pytorch_tanh")),
                        c.number("rms_norm_eps", 1e-6),
                        c.flag("attention_bias", false),
                        c.flag("attention_bias", false),
                        false,
                        false,
                        true,
                        true,
                        (float) Math.sqrt(hidden),
                        1 / Math.sqrt(c.number("query_pre_attn_scalar", 256)),
                        SlidingWindows.cap(c, "attn_logit_softcapping", 50),
                        c.number("attention_dropout", 0),
                        c.integer("pad_token_id", 0),
                        windows,
                        ropes,
                        c.flag("use_bidirectional_attention", false)));
    }

    // === Models ===

    /** Gemma 2 without a head: hidden states. */
    public static final class Gemma2Model extends CausalModels.CausalModel {
        Gemma2Model(Weights w, ConfigJson config) {
            super(w, config, Gemma2::body);
        }

        /** From a folder or an id. */
        public static Gemma2Model fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Gemma2Model fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Gemma2Model.class, options);
        }
    }

    /** Gemma 2 as a language model. */
    public static final class Gemma2ForCausalLM extends CausalModels.CausalLM {
        Gemma2ForCausalLM(Weights w, ConfigJson config) {
            super(
                    w,
                    config,
                    Gemma2::body,
                    "model",
                    true,
                    "max_position_embeddings",
                    8192,
                    false,
                    SlidingWindows.cap(config, "final_logit_softcapping", 30));
        }

        /** From a folder or an id. */
        public static Gemma2ForCausalLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Gemma2ForCausalLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Gemma2ForCausalLM.class, options);
        }
    }

    /** Gemma 2 as a classifier of texts, by the last token that is not padding. */
    public static final class Gemma2ForSequenceClassification extends CausalModels.CausalSequenceClassifier {
        Gemma2ForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, Gemma2::body, "model", 0);
        }

        /** From a folder or an id. */
        public static Gemma2ForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Gemma2ForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Gemma2ForSequenceClassification.class, options);
        }
    }

    /** Gemma 2 as a classifier of tokens. */
    public static final class Gemma2ForTokenClassification extends CausalModels.CausalTokenClassifier {
        Gemma2ForTokenClassification(Weights w, ConfigJson config) {
            super(w, config, Gemma2::body, "model", "score");
        }
    }
}
