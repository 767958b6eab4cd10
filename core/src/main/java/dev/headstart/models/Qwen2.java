package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Weights;

/**
 * Qwen2 and Qwen2.5 (Yang et al. 2024): the Llama decoder with biases on queries, keys and values. Reference: transformers
 * {@code modeling_qwen2.py}.
 */
public final class Qwen2 {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("qwen2", "model")
            .add("Qwen2Model", Qwen2Model::new)
            .add("Qwen2ForCausalLM", Qwen2ForCausalLM::new)
            .add("Qwen2ForSequenceClassification", Qwen2ForSequenceClassification::new)
            .add("Qwen2ForTokenClassification", Qwen2ForTokenClassification::new)
            .add("Qwen2ForQuestionAnswering", Qwen2ForQuestionAnswering::new);

    private Qwen2() {}

    /** Qwen2Config: transformers' field names and defaults. */
    private static CausalBody body(Weights w, ConfigJson c) {
        Decoder.Defaults absent = new Decoder.Defaults(151936, 4096, 22016, 32, 32, 32, 0, 32768);
        return new Decoder(
                w,
                windows(c, new Decoder.SpecReader(c, absent).queryKeyValueBias())
                        .spec());
    }

    /** The later layers see a window, if {@code use_sliding_window} asks for that (in Qwen3 too). */
    static Decoder.SpecReader windows(ConfigJson c, Decoder.SpecReader reader) {
        int window = c.flag("use_sliding_window", false) ? SlidingWindows.size(c, 4096) : 0;
        int from = c.integer("max_window_layers", 28);
        return reader.windows(window, i -> i >= from);
    }

    // === Models ===

    /** Qwen2 without a head: hidden states. */
    public static final class Qwen2Model extends CausalModels.CausalModel {
        Qwen2Model(Weights w, ConfigJson config) {
            super(w, config, Qwen2::body);
        }

        /** From a folder or an id. */
        public static Qwen2Model fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Qwen2Model fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Qwen2Model.class, options);
        }
    }

    /** Qwen2 as a language model. */
    public static final class Qwen2ForCausalLM extends CausalModels.CausalLM {
        Qwen2ForCausalLM(Weights w, ConfigJson config) {
            super(w, config, Qwen2::body, "model", false, "max_position_embeddings", 32768, 0);
        }

        /** From a folder or an id. */
        public static Qwen2ForCausalLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Qwen2ForCausalLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Qwen2ForCausalLM.class, options);
        }
    }

    /** Qwen2 as a classifier of texts, by the last token that is not padding. */
    public static final class Qwen2ForSequenceClassification extends CausalModels.CausalSequenceClassifier {
        Qwen2ForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, Qwen2::body, "model", null);
        }

        /** From a folder or an id. */
        public static Qwen2ForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Qwen2ForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Qwen2ForSequenceClassification.class, options);
        }
    }

    /** Qwen2 as a classifier of tokens. */
    public static final class Qwen2ForTokenClassification extends CausalModels.CausalTokenClassifier {
        Qwen2ForTokenClassification(Weights w, ConfigJson config) {
            super(w, config, Qwen2::body, "model", "score");
        }
    }

    /** Qwen2 that marks answers in a text. */
    public static final class Qwen2ForQuestionAnswering extends CausalModels.CausalQuestionAnswering {
        Qwen2ForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, Qwen2::body, "transformer");
        }
    }
}
