package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Weights;

/**
 * XLM-RoBERTa (Conneau et al. 2020, "Unsupervised Cross-lingual Representation Learning at Scale"): {@linkplain Roberta RoBERTa} for a hundred
 * languages. Reference: transformers {@code modeling_xlm_roberta.py}. B batch, S length.
 */
public final class XLMRoberta {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("xlm-roberta", "roberta")
            .add("XLMRobertaModel", XLMRobertaModel::new)
            .add("XLMRobertaForMaskedLM", XLMRobertaForMaskedLM::new)
            .add("XLMRobertaForSequenceClassification", XLMRobertaForSequenceClassification::new)
            .add("XLMRobertaForTokenClassification", XLMRobertaForTokenClassification::new)
            .add("XLMRobertaForQuestionAnswering", XLMRobertaForQuestionAnswering::new)
            .add("XLMRobertaForMultipleChoice", XLMRobertaForMultipleChoice::new);

    private XLMRoberta() {}

    /** XLM-RoBERTa without a head: hidden states and the pooled first position. */
    public static final class XLMRobertaModel extends EncoderModels.PooledEncoderModel {
        XLMRobertaModel(Weights w, ConfigJson config) {
            super(w, config, Roberta::body);
        }

        /** From a folder or an id. */
        public static XLMRobertaModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static XLMRobertaModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, XLMRobertaModel.class, options);
        }
    }

    /** Scores for masked words. */
    public static final class XLMRobertaForMaskedLM extends EncoderModels.EncoderMaskedLM {
        XLMRobertaForMaskedLM(Weights w, ConfigJson config) {
            super(w, config, Roberta::body, "roberta", Roberta::lmHead);
        }

        /** From a folder or an id. */
        public static XLMRobertaForMaskedLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static XLMRobertaForMaskedLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, XLMRobertaForMaskedLM.class, options);
        }
    }

    /** Scores for the classes of a text, by its first token. */
    public static final class XLMRobertaForSequenceClassification extends EncoderModels.EncoderSequenceClassifier {
        XLMRobertaForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, Roberta::body, "roberta", Roberta::classifier);
        }

        /** From a folder or an id. */
        public static XLMRobertaForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static XLMRobertaForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, XLMRobertaForSequenceClassification.class, options);
        }
    }

    /** Scores for the classes of each token. */
    public static final class XLMRobertaForTokenClassification extends EncoderModels.EncoderTokenClassifier {
        XLMRobertaForTokenClassification(Weights w, ConfigJson config) {
            super(
                    w,
                    config,
                    Roberta::body,
                    "roberta",
                    Roberta.RobertaConfig.of(config).classifierDropout());
        }

        /** From a folder or an id. */
        public static XLMRobertaForTokenClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static XLMRobertaForTokenClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, XLMRobertaForTokenClassification.class, options);
        }
    }

    /** Start and end of the answer. */
    public static final class XLMRobertaForQuestionAnswering extends EncoderModels.EncoderQuestionAnswering {
        XLMRobertaForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, Roberta::body, "roberta", 0);
        }

        /** From a folder or an id. */
        public static XLMRobertaForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static XLMRobertaForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, XLMRobertaForQuestionAnswering.class, options);
        }
    }

    /** Scores for choices: every choice is its own text, [B, choices, S]. */
    public static final class XLMRobertaForMultipleChoice extends EncoderModels.EncoderMultipleChoice {
        XLMRobertaForMultipleChoice(Weights w, ConfigJson config) {
            super(w, config, Roberta::body, "roberta", Roberta::choice);
        }

        /** From a folder or an id. */
        public static XLMRobertaForMultipleChoice fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static XLMRobertaForMultipleChoice fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, XLMRobertaForMultipleChoice.class, options);
        }
    }
}
