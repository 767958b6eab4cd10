package dev.headstart.models;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.EncoderModels.FirstTokenHead;
import dev.headstart.models.EncoderModels.Pooling;
import dev.headstart.models.EncoderModels.WordHead;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Dropout;
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
 * ALBERT (Lan et al. 2020, "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations"): embeddings smaller than the hidden size, and
 * layers that share their weights in groups. Reference: transformers {@code modeling_albert.py}. B batch, S length, H hidden size, E embedding size, C
 * classes, V vocabulary.
 */
public final class Albert {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("albert", "albert")
            .add("AlbertModel", AlbertModel::new)
            .add("AlbertForPreTraining", AlbertForPreTraining::new)
            .add("AlbertForMaskedLM", AlbertForMaskedLM::new)
            .add("AlbertForSequenceClassification", AlbertForSequenceClassification::new)
            .add("AlbertForTokenClassification", AlbertForTokenClassification::new)
            .add("AlbertForQuestionAnswering", AlbertForQuestionAnswering::new)
            .add("AlbertForMultipleChoice", AlbertForMultipleChoice::new);

    private Albert() {}

    /** AlbertConfig: transformers' field names and defaults. */
    record AlbertConfig(
            int vocabSize,
            int embeddingSize,
            int hiddenSize,
            int numHiddenLayers,
            int numHiddenGroups,
            int numAttentionHeads,
            int intermediateSize,
            int innerGroupNum,
            Activation hiddenAct,
            double hiddenDropoutProb,
            double attentionProbsDropoutProb,
            int maxPositionEmbeddings,
            int typeVocabSize,
            double layerNormEps,
            double classifierDropoutProb,
            int padTokenId) {
        static AlbertConfig of(ConfigJson c) {
            AlbertConfig made = new AlbertConfig(
                    c.size("vocab_size", 30000),
                    c.size("embedding_size", 128),
                    c.size("hidden_size", 4096),
                    c.size("num_hidden_layers", 12),
                    c.size("num_hidden_groups", 1),
                    c.size("num_attention_heads", 64),
                    c.size("intermediate_size", 16384),
                    c.size("inner_group_num", 1),
                    Activation.of(c.text("hidden_act", "gelu_new")),
                    c.number("hidden_dropout_prob", 0),
                    c.number("attention_probs_dropout_prob", 0),
                    c.size("max_position_embeddings", 512),
                    c.size("type_vocab_size", 2),
                    c.number("layer_norm_eps", 1e-12),
                    c.number("classifier_dropout_prob", 0.1),
                    c.integer("pad_token_id", 0));
            if (made.numHiddenGroups > made.numHiddenLayers) {
                throw new HeadstartException(c.origin() + ": num_hidden_groups " + made.numHiddenGroups
                        + " must not exceed num_hidden_layers " + made.numHiddenLayers);
            }
            return made;
        }
    }

    // === Layers ===

    private static EncoderBody body(Weights w, ConfigJson config, Pooling pooling) {
        AlbertConfig c = AlbertConfig.of(config);
        TextEmbeddings embeddings = new TextEmbeddings(
                w.sub("embeddings"),
                new TextEmbeddings.Shape(
                        c.vocabSize(),
                        c.embeddingSize(),
                        c.maxPositionEmbeddings(),
                        c.typeVocabSize(),
                        c.padTokenId(),
                        true,
                        c.layerNormEps(),
                        c.hiddenDropoutProb()));
        Linear projection = w.sub("encoder.embedding_hidden_mapping_in").linear(c.embeddingSize(), c.hiddenSize());
        List<List<PostNormLayer>> groups = new ArrayList<>();
        for (int g = 0; g < c.numHiddenGroups(); g++) {
            List<PostNormLayer> group = new ArrayList<>();
            for (int i = 0; i < c.innerGroupNum(); i++) {
                group.add(layer(w.sub("encoder.albert_layer_groups." + g + ".albert_layers." + i), c));
            }
            groups.add(group);
        }
        List<PostNormLayer> layers = new ArrayList<>();
        for (int i = 0; i < c.numHiddenLayers(); i++) {
            layers.addAll(groups.get((int) (i / ((double) c.numHiddenLayers() / c.numHiddenGroups()))));
        }
        return new EncoderBody(
                embeddings, projection, layers, null, pooling.linear(w.sub("pooler"), c.hiddenSize()), c.hiddenSize());
    }

    /** transformers AlbertLayer; the feed-forward half has no dropout. */
    private static PostNormLayer layer(Weights w, AlbertConfig c) {
        Weights a = w.sub("attention");
        return new PostNormLayer(
                new PostNormLayer.SelfAttention(
                        a.sub("query").linear(c.hiddenSize(), c.hiddenSize()),
                        a.sub("key").linear(c.hiddenSize(), c.hiddenSize()),
                        a.sub("value").linear(c.hiddenSize(), c.hiddenSize()),
                        a.sub("dense").linear(c.hiddenSize(), c.hiddenSize()),
                        a.sub("LayerNorm").layerNorm(c.hiddenSize(), c.layerNormEps()),
                        Checks.heads(c.hiddenSize(), c.numAttentionHeads()),
                        w.dropout(c.attentionProbsDropoutProb()),
                        w.dropout(c.hiddenDropoutProb())),
                new PostNormLayer.FeedForward(
                        w.sub("ffn").linear(c.hiddenSize(), c.intermediateSize()),
                        c.hiddenAct(),
                        w.sub("ffn_output").linear(c.intermediateSize(), c.hiddenSize()),
                        w.dropout(0),
                        w.sub("full_layer_layer_norm").layerNorm(c.hiddenSize(), c.layerNormEps())));
    }

    /** Dense, activation, norm, and the embeddings again as output table (transformers AlbertMLMHead). */
    private static WordHead lmHead(Weights root, ConfigJson config, EncoderBody body) {
        AlbertConfig c = AlbertConfig.of(config);
        Weights w = root.sub("predictions");
        return new WordHead(
                w.sub("dense").linear(c.hiddenSize(), c.embeddingSize()),
                c.hiddenAct(),
                w.sub("LayerNorm").layerNorm(c.embeddingSize(), c.layerNormEps()),
                WordHead.decoder(w, config, body.words()));
    }

    /** Pooler, dropout and classifier. */
    private static FirstTokenHead classifier(Weights root, ConfigJson config, long labels) {
        AlbertConfig c = AlbertConfig.of(config);
        return new FirstTokenHead(
                root.dropout(0),
                root.sub("albert.pooler").linear(c.hiddenSize(), c.hiddenSize()),
                Activation.TANH,
                root.dropout(c.classifierDropoutProb()),
                root.sub("classifier").linear(c.hiddenSize(), labels));
    }

    // === Models ===

    /** ALBERT without a head: hidden states and the pooled first position. */
    public static final class AlbertModel extends EncoderModels.PooledEncoderModel {
        AlbertModel(Weights w, ConfigJson config) {
            super(w, config, Albert::body);
        }

        /** From a folder or an id. */
        public static AlbertModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static AlbertModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, AlbertModel.class, options);
        }
    }

    /**
     * Both pre-training heads. Loss: masked words plus order of the sentences.
     *
     * @param loss scalar; null unless both labels are given
     * @param predictionLogits [B, S, V]
     * @param sopLogits [B, 2]: in order, swapped
     * @param hiddenStates null unless asked for
     * @param attentions null unless asked for
     */
    public record AlbertForPreTrainingOutput(
            @Nullable Tensor loss,
            Tensor predictionLogits,
            Tensor sopLogits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /** Masked words and order of the sentences, as in pre-training. */
    public static final class AlbertForPreTraining extends EncoderModels.Encoder<AlbertForPreTrainingOutput> {
        private final WordHead predictions;
        private final Dropout dropout;
        private final Linear sopClassifier;

        AlbertForPreTraining(Weights w, ConfigJson config) {
            super(w, config, body(w.sub("albert"), config, Pooling.HEAD));
            predictions = lmHead(w.head(), config, body);
            dropout = w.dropout(AlbertConfig.of(config).classifierDropoutProb());
            sopClassifier = w.head().sub("sop_classifier.classifier").linear(body.width(), config.numLabels());
        }

        @Override
        protected AlbertForPreTrainingOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = body.forward(in, trace); // [B, S, H]
            Tensor words = predictions.forward(x); // [B, S, V]
            Tensor order = sopClassifier.forward(dropout.forward(body.pooled(x))); // [B, 2]
            Tensor labels = in.optional("labels");
            Tensor orderLabel = in.optional("sentence_order_label");
            Tensor loss = labels == null || orderLabel == null
                    ? null
                    : Losses.crossEntropy(words, labels).add(Losses.crossEntropy(order, orderLabel));
            return new AlbertForPreTrainingOutput(loss, words, order, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static AlbertForPreTraining fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static AlbertForPreTraining fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, AlbertForPreTraining.class, options);
        }
    }

    /** Scores for masked words. */
    public static final class AlbertForMaskedLM extends EncoderModels.EncoderMaskedLM {
        AlbertForMaskedLM(Weights w, ConfigJson config) {
            super(w, config, Albert::body, "albert", Albert::lmHead);
        }

        /** From a folder or an id. */
        public static AlbertForMaskedLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static AlbertForMaskedLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, AlbertForMaskedLM.class, options);
        }
    }

    /** Scores for the classes of a text, by its first token. */
    public static final class AlbertForSequenceClassification extends EncoderModels.EncoderSequenceClassifier {
        AlbertForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, Albert::body, "albert", Albert::classifier);
        }

        /** From a folder or an id. */
        public static AlbertForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static AlbertForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, AlbertForSequenceClassification.class, options);
        }
    }

    /** Scores for the classes of each token. */
    public static final class AlbertForTokenClassification extends EncoderModels.EncoderTokenClassifier {
        AlbertForTokenClassification(Weights w, ConfigJson config) {
            super(w, config, Albert::body, "albert", AlbertConfig.of(config).classifierDropoutProb());
        }

        /** From a folder or an id. */
        public static AlbertForTokenClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static AlbertForTokenClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, AlbertForTokenClassification.class, options);
        }
    }

    /** Start and end of the answer. */
    public static final class AlbertForQuestionAnswering extends EncoderModels.EncoderQuestionAnswering {
        AlbertForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, Albert::body, "albert", 0);
        }

        /** From a folder or an id. */
        public static AlbertForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static AlbertForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, AlbertForQuestionAnswering.class, options);
        }
    }

    /** Scores for choices: every choice is its own text, [B, choices, S]. */
    public static final class AlbertForMultipleChoice extends EncoderModels.EncoderMultipleChoice {
        AlbertForMultipleChoice(Weights w, ConfigJson config) {
            super(w, config, Albert::body, "albert", Albert::classifier);
        }

        /** From a folder or an id. */
        public static AlbertForMultipleChoice fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static AlbertForMultipleChoice fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, AlbertForMultipleChoice.class, options);
        }
    }
}
