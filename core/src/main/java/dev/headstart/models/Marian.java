package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Weights;

/**
 * Marian (Junczys-Dowmunt et al. 2018, "Marian: Fast Neural Machine Translation in C++"; the OPUS-MT models): {@linkplain Bart BART} with sinusoidal
 * positions. Reference: transformers {@code modeling_marian.py}.
 */
public final class Marian {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("marian", "model")
            .add("MarianModel", MarianModel::new)
            .add("MarianMTModel", MarianMTModel::new)
            .add("MarianForCausalLM", MarianForCausalLM::new);

    private Marian() {}

    /** Marian without a head: states of encoder and decoder. */
    public static final class MarianModel extends Bart.BartBase {
        MarianModel(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MarianModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MarianModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MarianModel.class, options);
        }
    }

    /** Marian: translation. */
    public static final class MarianMTModel extends Bart.BartLM {
        MarianMTModel(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MarianMTModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MarianMTModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MarianMTModel.class, options);
        }
    }

    /** Marian's decoder, next token. */
    public static final class MarianForCausalLM extends Bart.BartDecoderLM {
        MarianForCausalLM(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MarianForCausalLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MarianForCausalLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MarianForCausalLM.class, options);
        }
    }
}
