package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Rotary;
import dev.headstart.nn.Weights;
import java.util.List;

/**
 * Gemma 3, text (Gemma Team 2025): as Gemma 2 with normalised queries and keys instead of soft caps, five local layers for each global one, and
 * rotary embeddings of their own for both. Reference: transformers {@code modeling_gemma3.py}.
 */
public final class Gemma3 {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("gemma3_text", "model")
            .add("Gemma3TextModel", Gemma3TextModel::new)
            .add("Gemma3ForCausalLM", Gemma3ForCausalLM::new)
            .add("Gemma3TextForSequenceClassification", Gemma3TextForSequenceClassification::new);

    private Gemma3() {}

    /** Gemma3TextConfig: transformers' field names and defaults. */
    private static CausalBody body(Weights w, ConfigJson c) {
        int hidden = c.size("hidden_size", 2304);
        int headDim = c.size("head_dim", 256);
        int layers = c.size("num_hidden_layers", 26);
        int positions = c.size("max_position_embeddings", 131072);
        boolean bothWays = c.flag("use_bidirectional_attention", false);
        int given = c.node().path("sliding_window").isNull() ? 0 : c.integer("sliding_window", 4096);
        int window = bothWays ? given / 2 + 1 : given; // transformers counts a window of both directions so
        int pattern = c.size("sliding_window_pattern", c.size("_sliding_window_pattern", 6));
        List<Integer> windows = SlidingWindows.of(c, layers, window, i -> (i + 1) % pattern != 0);
        Rotary.Spec local = RopeConfig.of(
                c, headDim, positions, "sliding_attention", c.number("rope_local_base_freq", 10000), false);
        Rotary.Spec global =
                RopeConfig.of(c, headDim, positions, "full_attention", c.number("rope_theta", 1000000), true);
        List<Rotary.Spec> ropes = SlidingWindows.types(c, layers, i -> (i + 1) % pattern != 0).stream()
                .map(sliding -> sliding ? local : global)
                .toList();
        return new Decoder(
                w,
                new Decoder.Spec(
                        c.size("vocab_size", 262208),
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
                        true,
                        true,
                        true,
                        (float) Math.sqrt(hidden),
                        1 / Math.sqrt(c.number("query_pre_attn_scalar", 256)),
                        SlidingWindows.cap(c, "attn_logit_softcapping", 0),
                        c.number("attention_dropout", 0),
                        c.integer("pad_token_id", 0),
                        windows,
                        ropes,
                        c.flag("use_bidirectional_attention", false)));
    }

    // === Models ===

    /** Gemma 3 without a head: hidden states. */
    public static final class Gemma3TextModel extends CausalModels.CausalModel {
        Gemma3TextModel(Weights w, ConfigJson config) {
            super(w, config, Gemma3::body);
        }

        /** From a folder or an id. */
        public static Gemma3TextModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Gemma3TextModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Gemma3TextModel.class, options);
        }
    }

    /** Gemma 3 as a language model. */
    public static final class Gemma3ForCausalLM extends CausalModels.CausalLM {
        Gemma3ForCausalLM(Weights w, ConfigJson config) {
            super(
                    w,
                    config,
                    Gemma3::body,
                    "model",
                    true,
                    "max_position_embeddings",
                    131072,
                    false,
                    SlidingWindows.cap(config, "final_logit_softcapping", 0));
        }

        /** From a folder or an id. */
        public static Gemma3ForCausalLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Gemma3ForCausalLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Gemma3ForCausalLM.class, options);
        }
    }

    /** Gemma 3 as a classifier of texts, by the last token that is not padding. */
    public static final class Gemma3TextForSequenceClassification extends CausalModels.CausalSequenceClassifier {
        Gemma3TextForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, Gemma3::body, "model", 0);
        }

        /** From a folder or an id. */
        public static Gemma3TextForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Gemma3TextForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Gemma3TextForSequenceClassification.class, options);
        }
    }
}
