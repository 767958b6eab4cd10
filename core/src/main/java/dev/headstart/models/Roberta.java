package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.models.EncoderModels.FirstTokenHead;
import dev.headstart.models.EncoderModels.Pooling;
import dev.headstart.models.EncoderModels.WordHead;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Weights;

/**
 * RoBERTa (Liu et al. 2019, "RoBERTa: A Robustly Optimized BERT Pretraining Approach"): BERT's layers; positions count from the padding token's id and
 * skip padding. Reference: transformers {@code modeling_roberta.py}. B batch, S length, H hidden size, C classes, V vocabulary.
 */
public final class Roberta {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("roberta", "roberta")
            .add("RobertaModel", RobertaModel::new)
            .add("RobertaForMaskedLM", RobertaForMaskedLM::new)
            .add("RobertaForSequenceClassification", RobertaForSequenceClassification::new)
            .add("RobertaForTokenClassification", RobertaForTokenClassification::new)
            .add("RobertaForQuestionAnswering", RobertaForQuestionAnswering::new)
            .add("RobertaForMultipleChoice", RobertaForMultipleChoice::new);

    private Roberta() {}

    /** RobertaConfig: transformers' field names and defaults. */
    record RobertaConfig(
            int vocabSize,
            int hiddenSize,
            int numHiddenLayers,
            int numAttentionHeads,
            int intermediateSize,
            Activation hiddenAct,
            double hiddenDropoutProb,
            double attentionProbsDropoutProb,
            int maxPositionEmbeddings,
            int typeVocabSize,
            double layerNormEps,
            int padTokenId,
            double classifierDropout) {
        /** @param vocabSize the default, in which RoBERTa and XLM-RoBERTa differ */
        static RobertaConfig of(ConfigJson c, int vocabSize) {
            double hiddenDropout = c.number("hidden_dropout_prob", 0.1);
            return new RobertaConfig(
                    c.size("vocab_size", vocabSize),
                    c.size("hidden_size", 768),
                    c.size("num_hidden_layers", 12),
                    c.size("num_attention_heads", 12),
                    c.size("intermediate_size", 3072),
                    Activation.of(c.text("hidden_act", "gelu")),
                    hiddenDropout,
                    c.number("attention_probs_dropout_prob", 0.1),
                    c.size("max_position_embeddings", 512),
                    c.size("type_vocab_size", 2),
                    c.number("layer_norm_eps", 1e-12),
                    c.integer("pad_token_id", 1),
                    c.number("classifier_dropout", hiddenDropout));
        }

        static RobertaConfig of(ConfigJson c) {
            return of(c, c.modelType().equals("roberta") ? 50265 : 30522);
        }
    }

    // === Layers ===

    /** Embeddings, BERT's layers, pooler. */
    static EncoderBody body(Weights w, ConfigJson config, Pooling pooling) {
        RobertaConfig c = RobertaConfig.of(config);
        TextEmbeddings embeddings = new TextEmbeddings(
                w.sub("embeddings"),
                new TextEmbeddings.Shape(
                        c.vocabSize(),
                        c.hiddenSize(),
                        c.maxPositionEmbeddings(),
                        c.typeVocabSize(),
                        c.padTokenId(),
                        false,
                        c.layerNormEps(),
                        c.hiddenDropoutProb()));
        Bert.LayerShape shape = new Bert.LayerShape(
                c.hiddenSize(),
                c.numAttentionHeads(),
                c.intermediateSize(),
                c.hiddenAct(),
                c.layerNormEps(),
                c.hiddenDropoutProb(),
                c.attentionProbsDropoutProb());
        return new EncoderBody(
                embeddings,
                null,
                Bert.layers(w.sub("encoder"), c.numHiddenLayers(), shape),
                null,
                pooling.linear(w.sub("pooler.dense"), c.hiddenSize()),
                c.hiddenSize());
    }

    /** Dense, GELU, norm, and the embeddings again as output table (transformers RobertaLMHead). */
    static WordHead lmHead(Weights root, ConfigJson config, EncoderBody body) {
        Weights w = root.sub("lm_head");
        return new WordHead(
                w.sub("dense").linear(body.width(), body.width()),
                Activation.GELU,
                w.sub("layer_norm")
                        .layerNorm(body.width(), RobertaConfig.of(config).layerNormEps()),
                WordHead.decoder(w, config, body.words()));
    }

    /** Dense, tanh and output over the first token (transformers RobertaClassificationHead). */
    static FirstTokenHead classifier(Weights root, ConfigJson config, long labels) {
        RobertaConfig c = RobertaConfig.of(config);
        Weights w = root.sub("classifier");
        return new FirstTokenHead(
                root.dropout(c.classifierDropout()),
                w.sub("dense").linear(c.hiddenSize(), c.hiddenSize()),
                Activation.TANH,
                root.dropout(c.classifierDropout()),
                w.sub("out_proj").linear(c.hiddenSize(), labels));
    }

    /** Pooler, dropout and one score. */
    static FirstTokenHead choice(Weights root, ConfigJson config, long labels) {
        RobertaConfig c = RobertaConfig.of(config);
        return new FirstTokenHead(
                root.dropout(0),
                root.sub("roberta.pooler.dense").linear(c.hiddenSize(), c.hiddenSize()),
                Activation.TANH,
                root.dropout(c.hiddenDropoutProb()),
                root.sub("classifier").linear(c.hiddenSize(), labels));
    }

    // === Models ===

    /** RoBERTa without a head: hidden states and the pooled first position. */
    public static final class RobertaModel extends EncoderModels.PooledEncoderModel {
        RobertaModel(Weights w, ConfigJson config) {
            super(w, config, Roberta::body);
        }

        /** From a folder or an id. */
        public static RobertaModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static RobertaModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, RobertaModel.class, options);
        }
    }

    /** Scores for masked words. */
    public static final class RobertaForMaskedLM extends EncoderModels.EncoderMaskedLM {
        RobertaForMaskedLM(Weights w, ConfigJson config) {
            super(w, config, Roberta::body, "roberta", Roberta::lmHead);
        }

        /** From a folder or an id. */
        public static RobertaForMaskedLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static RobertaForMaskedLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, RobertaForMaskedLM.class, options);
        }
    }

    /** Scores for the classes of a text, by its first token. */
    public static final class RobertaForSequenceClassification extends EncoderModels.EncoderSequenceClassifier {
        RobertaForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, Roberta::body, "roberta", Roberta::classifier);
        }

        /** From a folder or an id. */
        public static RobertaForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static RobertaForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, RobertaForSequenceClassification.class, options);
        }
    }

    /** Scores for the classes of each token. */
    public static final class RobertaForTokenClassification extends EncoderModels.EncoderTokenClassifier {
        RobertaForTokenClassification(Weights w, ConfigJson config) {
            super(w, config, Roberta::body, "roberta", RobertaConfig.of(config).classifierDropout());
        }

        /** From a folder or an id. */
        public static RobertaForTokenClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static RobertaForTokenClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, RobertaForTokenClassification.class, options);
        }
    }

    /** Start and end of the answer. */
    public static final class RobertaForQuestionAnswering extends EncoderModels.EncoderQuestionAnswering {
        RobertaForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, Roberta::body, "roberta", 0);
        }

        /** From a folder or an id. */
        public static RobertaForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static RobertaForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, RobertaForQuestionAnswering.class, options);
        }
    }

    /** Scores for choices: every choice is its own text, [B, choices, S]. */
    public static final class RobertaForMultipleChoice extends EncoderModels.EncoderMultipleChoice {
        RobertaForMultipleChoice(Weights w, ConfigJson config) {
            super(w, config, Roberta::body, "roberta", Roberta::choice);
        }

        /** From a folder or an id. */
        public static RobertaForMultipleChoice fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static RobertaForMultipleChoice fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, RobertaForMultipleChoice.class, options);
        }
    }
}
