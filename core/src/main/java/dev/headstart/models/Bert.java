package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.models.EncoderModels.FirstTokenHead;
import dev.headstart.models.EncoderModels.Pooling;
import dev.headstart.models.EncoderModels.WordHead;
import dev.headstart.models.Outputs.NextSentencePredictorOutput;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Losses;
import dev.headstart.nn.PostNormLayer;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * BERT (Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers"): a bidirectional encoder with learned positions and segments,
 * post-norm. Reference: transformers {@code modeling_bert.py}. B batch, S length, H hidden size, h heads, I intermediate size, V vocabulary.
 */
public final class Bert {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("bert", "bert")
            .add("BertModel", BertModel::new)
            .add("BertForPreTraining", BertForPreTraining::new)
            .add("BertForMaskedLM", BertForMaskedLM::new)
            .add("BertForNextSentencePrediction", BertForNextSentencePrediction::new)
            .add("BertForSequenceClassification", BertForSequenceClassification::new)
            .add("BertForTokenClassification", BertForTokenClassification::new)
            .add("BertForQuestionAnswering", BertForQuestionAnswering::new)
            .add("BertForMultipleChoice", BertForMultipleChoice::new);

    private Bert() {}

    /** BertConfig: transformers' field names and defaults. */
    record BertConfig(
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
        static BertConfig of(ConfigJson c) {
            double hiddenDropout = c.number("hidden_dropout_prob", 0.1);
            return new BertConfig(
                    c.size("vocab_size", 30522),
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
                    c.integer("pad_token_id", 0),
                    c.number("classifier_dropout", hiddenDropout));
        }
    }

    // === Layers ===

    private static EncoderBody body(Weights w, ConfigJson config, Pooling pooling) {
        BertConfig c = BertConfig.of(config);
        TextEmbeddings embeddings = new TextEmbeddings(
                w.sub("embeddings"),
                new TextEmbeddings.Shape(
                        c.vocabSize(),
                        c.hiddenSize(),
                        c.maxPositionEmbeddings(),
                        c.typeVocabSize(),
                        c.padTokenId(),
                        true,
                        c.layerNormEps(),
                        c.hiddenDropoutProb()));
        LayerShape shape = new LayerShape(
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
                layers(w.sub("encoder"), c.numHiddenLayers(), shape),
                null,
                pooling.linear(w.sub("pooler.dense"), c.hiddenSize()),
                c.hiddenSize());
    }

    /** Sizes of a layer: transformers' fields of the same names. */
    record LayerShape(
            int hiddenSize,
            int numAttentionHeads,
            int intermediateSize,
            Activation hiddenAct,
            double layerNormEps,
            double hiddenDropoutProb,
            double attentionProbsDropoutProb) {}

    /** The layers of an encoder with BERT's names (transformers BertEncoder). */
    static List<PostNormLayer> layers(Weights w, int count, LayerShape c) {
        List<PostNormLayer> layers = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            layers.add(layer(w.sub("layer." + i), c));
        }
        return layers;
    }

    /** transformers BertLayer. */
    private static PostNormLayer layer(Weights w, LayerShape c) {
        Weights a = w.sub("attention");
        return new PostNormLayer(
                new PostNormLayer.SelfAttention(
                        a.sub("self.query").linear(c.hiddenSize(), c.hiddenSize()),
                        a.sub("self.key").linear(c.hiddenSize(), c.hiddenSize()),
                        a.sub("self.value").linear(c.hiddenSize(), c.hiddenSize()),
                        a.sub("output.dense").linear(c.hiddenSize(), c.hiddenSize()),
                        a.sub("output.LayerNorm").layerNorm(c.hiddenSize(), c.layerNormEps()),
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

    /** Dense, activation, norm, and the embeddings again as output table (transformers BertLMPredictionHead). */
    private static WordHead predictions(Weights root, ConfigJson config, EncoderBody body) {
        BertConfig c = BertConfig.of(config);
        Weights w = root.sub("cls.predictions");
        return new WordHead(
                w.sub("transform.dense").linear(c.hiddenSize(), c.hiddenSize()),
                c.hiddenAct(),
                w.sub("transform.LayerNorm").layerNorm(c.hiddenSize(), c.layerNormEps()),
                WordHead.decoder(w, config, body.words()));
    }

    /** Pooler, dropout and classifier. */
    private static FirstTokenHead classifier(Weights root, ConfigJson config, long labels) {
        BertConfig c = BertConfig.of(config);
        return new FirstTokenHead(
                root.dropout(0),
                root.sub("bert.pooler.dense").linear(c.hiddenSize(), c.hiddenSize()),
                Activation.TANH,
                root.dropout(c.classifierDropout()),
                root.sub("classifier").linear(c.hiddenSize(), labels));
    }

    // === Models ===

    /** BERT without a head: hidden states and the pooled first position. */
    public static final class BertModel extends EncoderModels.PooledEncoderModel {
        BertModel(Weights w, ConfigJson config) {
            super(w, config, Bert::body);
        }

        /** From a folder or an id. */
        public static BertModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BertModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BertModel.class, options);
        }
    }

    /**
     * Both pre-training heads. Loss: masked words plus next sentence.
     *
     * @param loss scalar; null unless both labels are given
     * @param predictionLogits [B, S, V]
     * @param seqRelationshipLogits [B, 2]
     * @param hiddenStates null unless asked for
     * @param attentions null unless asked for
     */
    public record BertForPreTrainingOutput(
            @Nullable Tensor loss,
            Tensor predictionLogits,
            Tensor seqRelationshipLogits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /** Masked words and next sentence, as in pre-training. */
    public static final class BertForPreTraining extends EncoderModels.Encoder<BertForPreTrainingOutput> {
        private final WordHead predictions;
        private final Linear seqRelationship;

        BertForPreTraining(Weights w, ConfigJson config) {
            super(w, config, body(w.sub("bert"), config, Pooling.HEAD));
            predictions = predictions(w.head(), config, body);
            seqRelationship = w.head().sub("cls.seq_relationship").linear(body.width(), 2);
        }

        @Override
        protected BertForPreTrainingOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = body.forward(in, trace); // [B, S, H]
            Tensor words = predictions.forward(EncoderModels.predicted(x, in)); // [B, S, V] or [M, V]
            Tensor next = seqRelationship.forward(body.pooled(x)); // [B, 2]
            Tensor labels = in.optional("labels");
            Tensor nextLabel = in.optional("next_sentence_label");
            Tensor loss = labels == null || nextLabel == null
                    ? null
                    : Losses.crossEntropy(words, labels).add(Losses.crossEntropy(next, nextLabel));
            return new BertForPreTrainingOutput(loss, words, next, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static BertForPreTraining fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BertForPreTraining fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BertForPreTraining.class, options);
        }
    }

    /** Scores for masked words. */
    public static final class BertForMaskedLM extends EncoderModels.EncoderMaskedLM {
        BertForMaskedLM(Weights w, ConfigJson config) {
            super(w, config, Bert::body, "bert", Bert::predictions);
        }

        /** From a folder or an id. */
        public static BertForMaskedLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BertForMaskedLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BertForMaskedLM.class, options);
        }
    }

    /** Whether the second text follows the first. */
    public static final class BertForNextSentencePrediction extends EncoderModels.Encoder<NextSentencePredictorOutput> {
        private final Linear seqRelationship;

        BertForNextSentencePrediction(Weights w, ConfigJson config) {
            super(w, config, body(w.sub("bert"), config, Pooling.HEAD));
            seqRelationship = w.head().sub("cls.seq_relationship").linear(body.width(), 2);
        }

        @Override
        protected NextSentencePredictorOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = seqRelationship.forward(body.pooled(body.forward(in, trace, 1))); // [B, 2]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.crossEntropy(logits, labels);
            return new NextSentencePredictorOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static BertForNextSentencePrediction fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BertForNextSentencePrediction fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BertForNextSentencePrediction.class, options);
        }
    }

    /** A Linear over the pooled output. */
    public static final class BertForSequenceClassification extends EncoderModels.EncoderSequenceClassifier {
        BertForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, Bert::body, "bert", Bert::classifier);
        }

        /** From a folder or an id. */
        public static BertForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BertForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BertForSequenceClassification.class, options);
        }
    }

    /** A Linear over every position. */
    public static final class BertForTokenClassification extends EncoderModels.EncoderTokenClassifier {
        BertForTokenClassification(Weights w, ConfigJson config) {
            super(w, config, Bert::body, "bert", BertConfig.of(config).classifierDropout());
        }

        /** From a folder or an id. */
        public static BertForTokenClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BertForTokenClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BertForTokenClassification.class, options);
        }
    }

    /** Start and end of the answer. */
    public static final class BertForQuestionAnswering extends EncoderModels.EncoderQuestionAnswering {
        BertForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, Bert::body, "bert", 0);
        }

        /** From a folder or an id. */
        public static BertForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BertForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BertForQuestionAnswering.class, options);
        }
    }

    /** Scores for choices: every choice is its own text, [B, choices, S]. */
    public static final class BertForMultipleChoice extends EncoderModels.EncoderMultipleChoice {
        BertForMultipleChoice(Weights w, ConfigJson config) {
            super(w, config, Bert::body, "bert", Bert::classifier);
        }

        /** From a folder or an id. */
        public static BertForMultipleChoice fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BertForMultipleChoice fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BertForMultipleChoice.class, options);
        }
    }
}
