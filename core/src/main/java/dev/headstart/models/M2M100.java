package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Weights;

/**
 * M2M-100 (Fan et al. 2021, "Beyond English-Centric Multilingual Machine Translation") and NLLB: {@linkplain Bart BART} with norms before the layers and
 * fairseq's sinusoidal positions. Reference: transformers {@code modeling_m2m_100.py}.
 */
public final class M2M100 {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("m2m_100", "model")
            .add("M2M100Model", M2M100Model::new)
            .add("M2M100ForConditionalGeneration", M2M100ForConditionalGeneration::new);

    private M2M100() {}

    /** M2M-100 without a head: states of encoder and decoder. */
    public static final class M2M100Model extends Bart.BartBase {
        M2M100Model(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static M2M100Model fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static M2M100Model fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, M2M100Model.class, options);
        }
    }

    /** M2M-100 and NLLB: translation among many languages. */
    public static final class M2M100ForConditionalGeneration extends Bart.BartLM {
        M2M100ForConditionalGeneration(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static M2M100ForConditionalGeneration fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static M2M100ForConditionalGeneration fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, M2M100ForConditionalGeneration.class, options);
        }
    }
}
