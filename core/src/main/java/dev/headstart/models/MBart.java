package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Weights;

/**
 * mBART (Liu et al. 2020, "Multilingual Denoising Pre-training for Neural Machine Translation"): {@linkplain Bart BART} with norms before the layers,
 * whose targets begin with their language. Reference: transformers {@code modeling_mbart.py}.
 */
public final class MBart {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("mbart", "model")
            .add("MBartModel", MBartModel::new)
            .add("MBartForConditionalGeneration", MBartForConditionalGeneration::new)
            .add("MBartForSequenceClassification", MBartForSequenceClassification::new)
            .add("MBartForQuestionAnswering", MBartForQuestionAnswering::new)
            .add("MBartForCausalLM", MBartForCausalLM::new);

    private MBart() {}

    /** mBART without a head: states of encoder and decoder. */
    public static final class MBartModel extends Bart.BartBase {
        MBartModel(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MBartModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MBartModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MBartModel.class, options);
        }
    }

    /** mBART: translation among many languages. */
    public static final class MBartForConditionalGeneration extends Bart.BartLM {
        MBartForConditionalGeneration(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MBartForConditionalGeneration fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MBartForConditionalGeneration fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MBartForConditionalGeneration.class, options);
        }
    }

    /** mBART, classes of a text. */
    public static final class MBartForSequenceClassification extends Bart.BartClassifier {
        MBartForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, 2);
        }

        /** From a folder or an id. */
        public static MBartForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MBartForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MBartForSequenceClassification.class, options);
        }
    }

    /** mBART, start and end of the answer in a text. */
    public static final class MBartForQuestionAnswering extends Bart.BartAnswers {
        MBartForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MBartForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MBartForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MBartForQuestionAnswering.class, options);
        }
    }

    /** mBART's decoder, next token. */
    public static final class MBartForCausalLM extends Bart.BartDecoderLM {
        MBartForCausalLM(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MBartForCausalLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MBartForCausalLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MBartForCausalLM.class, options);
        }
    }
}
