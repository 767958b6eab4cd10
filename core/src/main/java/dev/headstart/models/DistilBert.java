package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.models.EncoderModels.FirstTokenHead;
import dev.headstart.models.EncoderModels.Pooling;
import dev.headstart.models.EncoderModels.WordHead;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Init;
import dev.headstart.nn.PostNormLayer;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;

/**
 * DistilBERT (Sanh et al. 2019, "DistilBERT, a distilled version of BERT"): half of BERT's layers, no segments, no pooler. Reference: transformers
 * {@code modeling_distilbert.py}. B batch, S length, H hidden size, C classes, V vocabulary.
 */
public final class DistilBert {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("distilbert", "distilbert")
            .add("DistilBertModel", DistilBertModel::new)
            .add("DistilBertForMaskedLM", DistilBertForMaskedLM::new)
            .add("DistilBertForSequenceClassification", DistilBertForSequenceClassification::new)
            .add("DistilBertForTokenClassification", DistilBertForTokenClassification::new)
            .add("DistilBertForQuestionAnswering", DistilBertForQuestionAnswering::new)
            .add("DistilBertForMultipleChoice", DistilBertForMultipleChoice::new);

    private static final double NORM_EPS = 1e-12;

    private DistilBert() {}

    /** DistilBertConfig: transformers' field names and defaults. */
    record DistilBertConfig(
            int vocabSize,
            int maxPositionEmbeddings,
            boolean sinusoidalPosEmbds,
            int nLayers,
            int nHeads,
            int dim,
            int hiddenDim,
            double dropout,
            double attentionDropout,
            Activation activation,
            double qaDropout,
            double seqClassifDropout,
            int padTokenId) {
        static DistilBertConfig of(ConfigJson c) {
            return new DistilBertConfig(
                    c.size("vocab_size", 30522),
                    c.size("max_position_embeddings", 512),
                    c.flag("sinusoidal_pos_embds", false),
                    c.size("num_hidden_layers", 6), // n_layers
                    c.size("num_attention_heads", 12), // n_heads
                    c.size("hidden_size", 768), // dim
                    c.size("hidden_dim", 3072),
                    c.number("dropout", 0.1),
                    c.number("attention_dropout", 0.1),
                    Activation.of(c.text("activation", "gelu")),
                    c.number("qa_dropout", 0.1),
                    c.number("seq_classif_dropout", 0.2),
                    c.integer("pad_token_id", 0));
        }
    }

    // === Layers ===

    private static EncoderBody body(Weights w, ConfigJson config, Pooling pooling) {
        DistilBertConfig c = DistilBertConfig.of(config);
        TextEmbeddings.Shape shape = new TextEmbeddings.Shape(
                c.vocabSize(), c.dim(), c.maxPositionEmbeddings(), 0, c.padTokenId(), true, NORM_EPS, c.dropout());
        Init positions = c.sinusoidalPosEmbds() ? new Init.Sinusoids() : null;
        TextEmbeddings embeddings = new TextEmbeddings(w.sub("embeddings"), shape, positions);
        List<PostNormLayer> layers = new ArrayList<>();
        for (int i = 0; i < c.nLayers(); i++) {
            layers.add(block(w.sub("transformer.layer." + i), c));
        }
        return new EncoderBody(embeddings, null, layers, null, null, c.dim());
    }

    /** transformers TransformerBlock; attention's output has no dropout. */
    private static PostNormLayer block(Weights w, DistilBertConfig c) {
        Weights a = w.sub("attention");
        return new PostNormLayer(
                new PostNormLayer.SelfAttention(
                        a.sub("q_lin").linear(c.dim(), c.dim()),
                        a.sub("k_lin").linear(c.dim(), c.dim()),
                        a.sub("v_lin").linear(c.dim(), c.dim()),
                        a.sub("out_lin").linear(c.dim(), c.dim()),
                        w.sub("sa_layer_norm").layerNorm(c.dim(), NORM_EPS),
                        Checks.heads(c.dim(), c.nHeads()),
                        w.dropout(c.attentionDropout()),
                        w.dropout(0)),
                new PostNormLayer.FeedForward(
                        w.sub("ffn.lin1").linear(c.dim(), c.hiddenDim()),
                        c.activation(),
                        w.sub("ffn.lin2").linear(c.hiddenDim(), c.dim()),
                        w.dropout(c.dropout()),
                        w.sub("output_layer_norm").layerNorm(c.dim(), NORM_EPS)));
    }

    /** Dense, activation, norm, and the embeddings again as output table. */
    private static WordHead lmHead(Weights w, ConfigJson config, EncoderBody body) {
        DistilBertConfig c = DistilBertConfig.of(config);
        return new WordHead(
                w.sub("vocab_transform").linear(c.dim(), c.dim()),
                c.activation(),
                w.sub("vocab_layer_norm").layerNorm(c.dim(), NORM_EPS),
                WordHead.ownBias(w.sub("vocab_projector"), config, body.words()));
    }

    /** Dense, ReLU and output over the first token, for texts and for choices. */
    private static FirstTokenHead classifier(Weights w, ConfigJson config, long labels) {
        DistilBertConfig c = DistilBertConfig.of(config);
        return new FirstTokenHead(
                w.dropout(0),
                w.sub("pre_classifier").linear(c.dim(), c.dim()),
                Activation.RELU,
                w.dropout(c.seqClassifDropout()),
                w.sub("classifier").linear(c.dim(), labels));
    }

    // === Models ===

    /** DistilBERT without a head: hidden states. */
    public static final class DistilBertModel extends EncoderModels.EncoderModel {
        DistilBertModel(Weights w, ConfigJson config) {
            super(w, config, DistilBert::body);
        }

        /** From a folder or an id. */
        public static DistilBertModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DistilBertModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DistilBertModel.class, options);
        }
    }

    /** Scores for masked words. */
    public static final class DistilBertForMaskedLM extends EncoderModels.EncoderMaskedLM {
        DistilBertForMaskedLM(Weights w, ConfigJson config) {
            super(w, config, DistilBert::body, "distilbert", DistilBert::lmHead);
        }

        /** From a folder or an id. */
        public static DistilBertForMaskedLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DistilBertForMaskedLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DistilBertForMaskedLM.class, options);
        }
    }

    /** Scores for the classes of a text, by its first token. */
    public static final class DistilBertForSequenceClassification extends EncoderModels.EncoderSequenceClassifier {
        DistilBertForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, DistilBert::body, "distilbert", DistilBert::classifier);
        }

        /** From a folder or an id. */
        public static DistilBertForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DistilBertForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DistilBertForSequenceClassification.class, options);
        }
    }

    /** Scores for the classes of each token. */
    public static final class DistilBertForTokenClassification extends EncoderModels.EncoderTokenClassifier {
        DistilBertForTokenClassification(Weights w, ConfigJson config) {
            super(
                    w,
                    config,
                    DistilBert::body,
                    "distilbert",
                    DistilBertConfig.of(config).dropout());
        }

        /** From a folder or an id. */
        public static DistilBertForTokenClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DistilBertForTokenClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DistilBertForTokenClassification.class, options);
        }
    }

    /** Start and end of the answer. */
    public static final class DistilBertForQuestionAnswering extends EncoderModels.EncoderQuestionAnswering {
        DistilBertForQuestionAnswering(Weights w, ConfigJson config) {
            super(
                    w,
                    config,
                    DistilBert::body,
                    "distilbert",
                    DistilBertConfig.of(config).qaDropout());
        }

        /** From a folder or an id. */
        public static DistilBertForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DistilBertForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DistilBertForQuestionAnswering.class, options);
        }
    }

    /** Scores for choices: every choice is its own text, [B, choices, S]. */
    public static final class DistilBertForMultipleChoice extends EncoderModels.EncoderMultipleChoice {
        DistilBertForMultipleChoice(Weights w, ConfigJson config) {
            super(w, config, DistilBert::body, "distilbert", DistilBert::classifier);
        }

        /** From a folder or an id. */
        public static DistilBertForMultipleChoice fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DistilBertForMultipleChoice fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DistilBertForMultipleChoice.class, options);
        }
    }
}
