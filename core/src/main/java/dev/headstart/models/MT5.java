package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.nn.Weights;

/**
 * mT5 (Xue et al. 2021, "mT5: A Massively Multilingual Pre-trained Text-to-Text Transformer"): {@linkplain T5} 1.1 for a hundred languages. Reference:
 * transformers {@code modeling_mt5.py}.
 */
public final class MT5 {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("mt5", "transformer")
            .add("MT5Model", MT5Model::new)
            .add("MT5ForConditionalGeneration", MT5ForConditionalGeneration::new)
            .add("MT5EncoderModel", MT5EncoderModel::new)
            .add("MT5ForSequenceClassification", MT5ForSequenceClassification::new)
            .add("MT5ForTokenClassification", MT5ForTokenClassification::new)
            .add("MT5ForQuestionAnswering", MT5ForQuestionAnswering::new);

    private MT5() {}

    /** mT5 without a head: states of encoder and decoder. */
    public static final class MT5Model extends T5.T5Model {
        MT5Model(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MT5Model fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MT5Model fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MT5Model.class, options);
        }
    }

    /** mT5, text to text. */
    public static final class MT5ForConditionalGeneration extends T5.T5ForConditionalGeneration {
        MT5ForConditionalGeneration(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MT5ForConditionalGeneration fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MT5ForConditionalGeneration fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MT5ForConditionalGeneration.class, options);
        }
    }

    /** mT5's encoder alone. */
    public static final class MT5EncoderModel extends T5.T5EncoderModel {
        MT5EncoderModel(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MT5EncoderModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MT5EncoderModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MT5EncoderModel.class, options);
        }
    }

    /** mT5, classes of a text. */
    public static final class MT5ForSequenceClassification extends T5.T5ForSequenceClassification {
        MT5ForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MT5ForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MT5ForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MT5ForSequenceClassification.class, options);
        }
    }

    /** mT5, classes of each token. */
    public static final class MT5ForTokenClassification extends T5.T5ForTokenClassification {
        MT5ForTokenClassification(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MT5ForTokenClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MT5ForTokenClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MT5ForTokenClassification.class, options);
        }
    }

    /** mT5, start and end of the answer in a text. */
    public static final class MT5ForQuestionAnswering extends T5.T5ForQuestionAnswering {
        MT5ForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static MT5ForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MT5ForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MT5ForQuestionAnswering.class, options);
        }
    }
}
