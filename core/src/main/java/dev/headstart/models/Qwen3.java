package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Weights;

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
        Decoder.Defaults absent = new Decoder.Defaults(151936, 4096, 22016, 32, 32, 32, 128, 32768);
        Decoder.SpecReader reader =
                new Decoder.SpecReader(c, absent).attentionBias().queryKeyNorm();
        return new Decoder(w, Qwen2.windows(c, reader).spec());
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
            super(w, config, Qwen3::body, "model", false, "max_position_embeddings", 32768, 0);
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
            super(w, config, Qwen3::body, "transformer");
        }
    }
}
