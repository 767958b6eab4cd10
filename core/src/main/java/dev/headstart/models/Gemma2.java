package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Weights;

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
        Decoder.Defaults absent = new Decoder.Defaults(256000, 2304, 9216, 26, 8, 4, 256, 8192);
        // use_bidirectional_attention changes nothing in the reference's masks
        Decoder.SpecReader reader = new Decoder.SpecReader(c, absent)
                .gemma()
                .scoreCap(SlidingWindows.cap(c, "attn_logit_softcapping", 50))
                .windows(SlidingWindows.size(c, 4096), i -> i % 2 == 0);
        return new Decoder(w, reader.spec());
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
