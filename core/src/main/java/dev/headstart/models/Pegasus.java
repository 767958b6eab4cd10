package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Weights;

/**
 * Pegasus (Zhang et al. 2020, "PEGASUS: Pre-training with Extracted Gap-sentences for Abstractive Summarization"): {@linkplain Bart BART} with norms
 * before the layers and sinusoidal positions. Reference: transformers {@code modeling_pegasus.py}.
 */
public final class Pegasus {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("pegasus", "model")
            .add("PegasusModel", PegasusModel::new)
            .add("PegasusForConditionalGeneration", PegasusForConditionalGeneration::new)
            .add("PegasusForCausalLM", PegasusForCausalLM::new);

    private Pegasus() {}

    /** Pegasus without a head: states of encoder and decoder. */
    public static final class PegasusModel extends Bart.BartBase {
        PegasusModel(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static PegasusModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static PegasusModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, PegasusModel.class, options);
        }
    }

    /** Pegasus: summaries. */
    public static final class PegasusForConditionalGeneration extends Bart.BartLM {
        PegasusForConditionalGeneration(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static PegasusForConditionalGeneration fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static PegasusForConditionalGeneration fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, PegasusForConditionalGeneration.class, options);
        }
    }

    /** Pegasus's decoder, next token. */
    public static final class PegasusForCausalLM extends Bart.BartDecoderLM {
        PegasusForCausalLM(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static PegasusForCausalLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static PegasusForCausalLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, PegasusForCausalLM.class, options);
        }
    }
}
