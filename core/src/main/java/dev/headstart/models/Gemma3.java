package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Rotary;
import dev.headstart.nn.Weights;
import java.util.function.IntPredicate;

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
        Decoder.Defaults absent = new Decoder.Defaults(262208, 2304, 9216, 26, 8, 4, 256, 131072);
        boolean both = c.flag("use_bidirectional_attention", false);
        // attn_logit_softcapping stands in the configuration, but the reference's attention has no such bound
        Decoder.SpecReader r =
                new Decoder.SpecReader(c, absent).gemma().queryKeyNorm().bothWays(both);
        int given = SlidingWindows.size(c, 4096);
        int window = both ? given / 2 + 1 : given; // transformers counts a window of both directions so
        int pattern = c.size("sliding_window_pattern", c.size("_sliding_window_pattern", 6));
        IntPredicate local = i -> (i + 1) % pattern != 0;
        Rotary.Spec near = RopeConfig.of(
                c, r.headDim, r.positions, "sliding_attention", c.number("rope_local_base_freq", 10000), false);
        Rotary.Spec far =
                RopeConfig.of(c, r.headDim, r.positions, "full_attention", c.number("rope_theta", 1000000), true);
        r.ropes(SlidingWindows.types(c, r.layers, local).stream()
                .map(sliding -> sliding ? near : far)
                .toList());
        return new Decoder(w, r.windows(window, local).spec());
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
