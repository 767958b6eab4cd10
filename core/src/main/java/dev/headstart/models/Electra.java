package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.models.EncoderModels.FirstTokenHead;
import dev.headstart.models.EncoderModels.Pooling;
import dev.headstart.models.EncoderModels.WordHead;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * ELECTRA (Clark et al. 2020, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators"): BERT's layers over embeddings that may be
 * smaller; a generator that fills masks, and a discriminator that finds the words it replaced. Reference: transformers {@code modeling_electra.py}. B
 * batch, S length, H hidden size, E embedding size, C classes, V vocabulary.
 */
public final class Electra {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("electra", "electra")
            .add("ElectraModel", ElectraModel::new)
            .add("ElectraForPreTraining", ElectraForPreTraining::new)
            .add("ElectraForMaskedLM", ElectraForMaskedLM::new)
            .add("ElectraForSequenceClassification", ElectraForSequenceClassification::new)
            .add("ElectraForTokenClassification", ElectraForTokenClassification::new)
            .add("ElectraForQuestionAnswering", ElectraForQuestionAnswering::new)
            .add("ElectraForMultipleChoice", ElectraForMultipleChoice::new);

    private Electra() {}

    /** ElectraConfig: transformers' field names and defaults. */
    record ElectraConfig(
            int vocabSize,
            int embeddingSize,
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
        static ElectraConfig of(ConfigJson c) {
            double hiddenDropout = c.number("hidden_dropout_prob", 0.1);
            return new ElectraConfig(
                    c.size("vocab_size", 30522),
                    c.size("embedding_size", 128),
                    c.size("hidden_size", 256),
                    c.size("num_hidden_layers", 12),
                    c.size("num_attention_heads", 4),
                    c.size("intermediate_size", 1024),
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
        ElectraConfig c = ElectraConfig.of(config);
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
        Linear projection = c.embeddingSize() == c.hiddenSize()
                ? null
                : w.sub("embeddings_project").linear(c.embeddingSize(), c.hiddenSize());
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
                projection,
                Bert.layers(w.sub("encoder"), c.numHiddenLayers(), shape),
                null,
                null,
                c.hiddenSize());
    }

    /** The generator's head: dense, GELU, norm, and the embeddings again as output table (transformers ElectraGeneratorPredictions). */
    private static WordHead lmHead(Weights root, ConfigJson config, EncoderBody body) {
        ElectraConfig c = ElectraConfig.of(config);
        Weights w = root.sub("generator_predictions");
        return new WordHead(
                w.sub("dense").linear(c.hiddenSize(), c.embeddingSize()),
                Activation.GELU,
                w.sub("LayerNorm").layerNorm(c.embeddingSize(), c.layerNormEps()),
                WordHead.ownBias(root.sub("generator_lm_head"), config, body.words()));
    }

    /** Dense, GELU and output over the first token (transformers ElectraClassificationHead). */
    private static FirstTokenHead classifier(Weights root, ConfigJson config, long labels) {
        ElectraConfig c = ElectraConfig.of(config);
        Weights w = root.sub("classifier");
        return new FirstTokenHead(
                root.dropout(c.classifierDropout()),
                w.sub("dense").linear(c.hiddenSize(), c.hiddenSize()),
                Activation.GELU,
                root.dropout(c.classifierDropout()),
                w.sub("out_proj").linear(c.hiddenSize(), labels));
    }

    /** One vector a text as the {@code summary_} fields say, and a Linear over it (transformers ElectraSequenceSummary). */
    private static final class Summary implements EncoderModels.TextHead {
        private final SequenceSummary summary;
        private final Linear classifier;

        Summary(Weights w, ConfigJson config, long labels) {
            int size = ElectraConfig.of(config).hiddenSize();
            summary = new SequenceSummary(
                    w.sub("sequence_summary"),
                    config,
                    size,
                    size,
                    new SequenceSummary.Defaults("first", "gelu", 0, 0.1));
            classifier = w.sub("classifier").linear(size, labels);
        }

        @Override
        public Tensor forward(Tensor x) {
            return classifier.forward(summary.forward(x, null)); // [B, C]
        }
    }

    // === Models ===

    /** ELECTRA without a head: hidden states. */
    public static final class ElectraModel extends EncoderModels.EncoderModel {
        ElectraModel(Weights w, ConfigJson config) {
            super(w, config, Electra::body);
        }

        /** From a folder or an id. */
        public static ElectraModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ElectraModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ElectraModel.class, options);
        }
    }

    /**
     * Whether each word was replaced.
     *
     * @param loss scalar; null without labels
     * @param logits [B, S], above 0 for replaced words
     * @param hiddenStates null unless asked for
     * @param attentions null unless asked for
     */
    public record ElectraForPreTrainingOutput(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /** The discriminator: which words the generator replaced. Loss: binary cross entropy over the attended positions. */
    public static final class ElectraForPreTraining extends EncoderModels.Encoder<ElectraForPreTrainingOutput> {
        private final Linear dense;
        private final Activation activation;
        private final Linear prediction;

        ElectraForPreTraining(Weights root, ConfigJson config) {
            super(root, config, body(root.sub("electra"), config, Pooling.NONE));
            Weights w = root.head().sub("discriminator_predictions");
            dense = w.sub("dense").linear(body.width(), body.width());
            activation = ElectraConfig.of(config).hiddenAct();
            prediction = w.sub("dense_prediction").linear(body.width(), 1);
        }

        @Override
        protected ElectraForPreTrainingOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = body.forward(in, trace); // [B, S, H]
            Tensor logits = prediction.forward(dense.forward(x, activation)).squeeze(-1); // [B, S]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.binary(logits, labels, in.optional("attention_mask"));
            return new ElectraForPreTrainingOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static ElectraForPreTraining fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ElectraForPreTraining fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ElectraForPreTraining.class, options);
        }
    }

    /** Scores for masked words. */
    public static final class ElectraForMaskedLM extends EncoderModels.EncoderMaskedLM {
        ElectraForMaskedLM(Weights w, ConfigJson config) {
            super(w, config, Electra::body, "electra", Electra::lmHead);
        }

        /** From a folder or an id. */
        public static ElectraForMaskedLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ElectraForMaskedLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ElectraForMaskedLM.class, options);
        }
    }

    /** Scores for the classes of a text, by its first token. */
    public static final class ElectraForSequenceClassification extends EncoderModels.EncoderSequenceClassifier {
        ElectraForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, Electra::body, "electra", Electra::classifier);
        }

        /** From a folder or an id. */
        public static ElectraForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ElectraForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ElectraForSequenceClassification.class, options);
        }
    }

    /** Scores for the classes of each token. */
    public static final class ElectraForTokenClassification extends EncoderModels.EncoderTokenClassifier {
        ElectraForTokenClassification(Weights w, ConfigJson config) {
            super(w, config, Electra::body, "electra", ElectraConfig.of(config).classifierDropout());
        }

        /** From a folder or an id. */
        public static ElectraForTokenClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ElectraForTokenClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ElectraForTokenClassification.class, options);
        }
    }

    /** Start and end of the answer. */
    public static final class ElectraForQuestionAnswering extends EncoderModels.EncoderQuestionAnswering {
        ElectraForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, Electra::body, "electra", 0);
        }

        /** From a folder or an id. */
        public static ElectraForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ElectraForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ElectraForQuestionAnswering.class, options);
        }
    }

    /** Scores for choices: every choice is its own text, [B, choices, S]. */
    public static final class ElectraForMultipleChoice extends EncoderModels.EncoderMultipleChoice {
        ElectraForMultipleChoice(Weights w, ConfigJson config) {
            super(w, config, Electra::body, "electra", Summary::new);
        }

        /** From a folder or an id. */
        public static ElectraForMultipleChoice fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ElectraForMultipleChoice fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ElectraForMultipleChoice.class, options);
        }
    }
}
