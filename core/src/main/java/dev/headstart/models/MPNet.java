package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.models.EncoderModels.FirstTokenHead;
import dev.headstart.models.EncoderModels.Pooling;
import dev.headstart.models.EncoderModels.WordHead;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.Memory;
import dev.headstart.nn.PostNormLayer;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;

/**
 * MPNet (Song et al. 2020, "MPNet: Masked and Permuted Pre-training for Language Understanding"): BERT's layers without segments, with a bias for the
 * distance of two tokens that all layers share; positions count as in RoBERTa. Reference: transformers {@code modeling_mpnet.py}. B batch, S length, H
 * hidden size, h heads, C classes, V vocabulary.
 */
public final class MPNet {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("mpnet", "mpnet")
            .add("MPNetModel", MPNetModel::new)
            .add("MPNetForMaskedLM", MPNetForMaskedLM::new)
            .add("MPNetForSequenceClassification", MPNetForSequenceClassification::new)
            .add("MPNetForTokenClassification", MPNetForTokenClassification::new)
            .add("MPNetForQuestionAnswering", MPNetForQuestionAnswering::new)
            .add("MPNetForMultipleChoice", MPNetForMultipleChoice::new);

    /** Positions count from here whatever pad_token_id says. */
    private static final int PADDING_IDX = 1;

    /** Buckets of distances that are used, whatever the size of the table. */
    private static final int BUCKETS = 32;

    private static final int MAX_DISTANCE = 128;

    private MPNet() {}

    /** MPNetConfig: transformers' field names and defaults. */
    record MPNetConfig(
            int vocabSize,
            int hiddenSize,
            int numHiddenLayers,
            int numAttentionHeads,
            int intermediateSize,
            Activation hiddenAct,
            double hiddenDropoutProb,
            double attentionProbsDropoutProb,
            int maxPositionEmbeddings,
            double layerNormEps,
            int relativeAttentionNumBuckets) {
        static MPNetConfig of(ConfigJson c) {
            return new MPNetConfig(
                    c.size("vocab_size", 30527),
                    c.size("hidden_size", 768),
                    c.size("num_hidden_layers", 12),
                    c.size("num_attention_heads", 12),
                    c.size("intermediate_size", 3072),
                    Activation.of(c.text("hidden_act", "gelu")),
                    c.number("hidden_dropout_prob", 0.1),
                    c.number("attention_probs_dropout_prob", 0.1),
                    c.size("max_position_embeddings", 512),
                    c.number("layer_norm_eps", 1e-12),
                    c.size("relative_attention_num_buckets", 32));
        }
    }

    // === Layers ===

    private static EncoderBody body(Weights w, ConfigJson config, Pooling pooling) {
        MPNetConfig c = MPNetConfig.of(config);
        TextEmbeddings embeddings = new TextEmbeddings(
                w.sub("embeddings"),
                new TextEmbeddings.Shape(
                        c.vocabSize(),
                        c.hiddenSize(),
                        c.maxPositionEmbeddings(),
                        0,
                        PADDING_IDX,
                        false,
                        c.layerNormEps(),
                        c.hiddenDropoutProb()));
        List<PostNormLayer> layers = new ArrayList<>();
        for (int i = 0; i < c.numHiddenLayers(); i++) {
            layers.add(layer(w.sub("encoder.layer." + i), c));
        }
        Embedding relative = w.sub("encoder.relative_attention_bias")
                .embedding(c.relativeAttentionNumBuckets(), c.numAttentionHeads());
        return new EncoderBody(
                embeddings,
                null,
                layers,
                x -> Memory.local(() -> distanceBias(relative, x)),
                pooling.linear(w.sub("pooler.dense"), c.hiddenSize()),
                c.hiddenSize());
    }

    /** The bias of every head for the distance of key and query, [1, h, S, S]. @param x [B, S, H] */
    private static Tensor distanceBias(Embedding relative, Tensor x) {
        Tensor at = Places.upTo(x.size(1), x); // [S]
        Tensor distance = at.unsqueeze(0).sub(at.unsqueeze(1)); // [S, S]
        Tensor buckets = Places.relativeBuckets(distance, BUCKETS, MAX_DISTANCE, true);
        return relative.forward(Checks.ids(
                        buckets, "relative position", relative.weight().tensor().size(0)))
                .permute(2, 0, 1)
                .unsqueeze(0)
                .contiguous();
    }

    /** transformers MPNetLayer. */
    private static PostNormLayer layer(Weights w, MPNetConfig c) {
        Weights a = w.sub("attention");
        return new PostNormLayer(
                new PostNormLayer.SelfAttention(
                        a.sub("attn.q").linear(c.hiddenSize(), c.hiddenSize()),
                        a.sub("attn.k").linear(c.hiddenSize(), c.hiddenSize()),
                        a.sub("attn.v").linear(c.hiddenSize(), c.hiddenSize()),
                        a.sub("attn.o").linear(c.hiddenSize(), c.hiddenSize()),
                        a.sub("LayerNorm").layerNorm(c.hiddenSize(), c.layerNormEps()),
                        Checks.heads(c.hiddenSize(), c.numAttentionHeads()),
                        w.dropout(c.attentionProbsDropoutProb()),
                        w.dropout(c.hiddenDropoutProb())),
                new PostNormLayer.FeedForward(
                        w.sub("intermediate.dense").linear(c.hiddenSize(), c.intermediateSize()),
                        c.hiddenAct(),
                        w.sub("output.dense").linear(c.intermediateSize(), c.hiddenSize()),
                        w.dropout(c.hiddenDropoutProb()),
                        w.sub("output.LayerNorm").layerNorm(c.hiddenSize(), c.layerNormEps())));
    }

    /** Dense, GELU, norm, and the embeddings again as output table (transformers MPNetLMHead). */
    private static WordHead lmHead(Weights root, ConfigJson config, EncoderBody body) {
        Weights w = root.sub("lm_head");
        return new WordHead(
                w.sub("dense").linear(body.width(), body.width()),
                Activation.GELU,
                w.sub("layer_norm")
                        .layerNorm(body.width(), MPNetConfig.of(config).layerNormEps()),
                WordHead.decoder(w, config, body.words()));
    }

    /** Dense, tanh and output over the first token (transformers MPNetClassificationHead). */
    private static FirstTokenHead classifier(Weights root, ConfigJson config, long labels) {
        MPNetConfig c = MPNetConfig.of(config);
        Weights w = root.sub("classifier");
        return new FirstTokenHead(
                root.dropout(c.hiddenDropoutProb()),
                w.sub("dense").linear(c.hiddenSize(), c.hiddenSize()),
                Activation.TANH,
                root.dropout(c.hiddenDropoutProb()),
                w.sub("out_proj").linear(c.hiddenSize(), labels));
    }

    /** Pooler, dropout and one score. */
    private static FirstTokenHead choice(Weights root, ConfigJson config, long labels) {
        MPNetConfig c = MPNetConfig.of(config);
        return new FirstTokenHead(
                root.dropout(0),
                root.sub("mpnet.pooler.dense").linear(c.hiddenSize(), c.hiddenSize()),
                Activation.TANH,
                root.dropout(c.hiddenDropoutProb()),
                root.sub("classifier").linear(c.hiddenSize(), labels));
    }

    // === Models ===

    /** MPNet without a head: hidden states and the pooled first position. */
    public static final class MPNetModel extends EncoderModels.PooledEncoderModel {
        MPNetModel(Weights w, ConfigJson config) {
            super(w, config, MPNet::body);
        }

        /** From a folder or an id. */
        public static MPNetModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MPNetModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MPNetModel.class, options);
        }
    }

    /** Scores for masked words. */
    public static final class MPNetForMaskedLM extends EncoderModels.EncoderMaskedLM {
        MPNetForMaskedLM(Weights w, ConfigJson config) {
            super(w, config, MPNet::body, "mpnet", MPNet::lmHead);
        }

        /** From a folder or an id. */
        public static MPNetForMaskedLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MPNetForMaskedLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MPNetForMaskedLM.class, options);
        }
    }

    /** Scores for the classes of a text, by its first token. */
    public static final class MPNetForSequenceClassification extends EncoderModels.EncoderSequenceClassifier {
        MPNetForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, MPNet::body, "mpnet", MPNet::classifier);
        }

        /** From a folder or an id. */
        public static MPNetForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MPNetForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MPNetForSequenceClassification.class, options);
        }
    }

    /** Scores for the classes of each token. */
    public static final class MPNetForTokenClassification extends EncoderModels.EncoderTokenClassifier {
        MPNetForTokenClassification(Weights w, ConfigJson config) {
            super(w, config, MPNet::body, "mpnet", MPNetConfig.of(config).hiddenDropoutProb());
        }

        /** From a folder or an id. */
        public static MPNetForTokenClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MPNetForTokenClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MPNetForTokenClassification.class, options);
        }
    }

    /** Start and end of the answer. */
    public static final class MPNetForQuestionAnswering extends EncoderModels.EncoderQuestionAnswering {
        MPNetForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, MPNet::body, "mpnet", 0);
        }

        /** From a folder or an id. */
        public static MPNetForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MPNetForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MPNetForQuestionAnswering.class, options);
        }
    }

    /** Scores for choices: every choice is its own text, [B, choices, S]. */
    public static final class MPNetForMultipleChoice extends EncoderModels.EncoderMultipleChoice {
        MPNetForMultipleChoice(Weights w, ConfigJson config) {
            super(w, config, MPNet::body, "mpnet", MPNet::choice);
        }

        /** From a folder or an id. */
        public static MPNetForMultipleChoice fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MPNetForMultipleChoice fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MPNetForMultipleChoice.class, options);
        }
    }
}
