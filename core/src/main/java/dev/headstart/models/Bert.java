package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.tanh;

import dev.headstart.LoadOptions;
import dev.headstart.models.Outputs.BaseModelOutputWithPooling;
import dev.headstart.models.Outputs.MaskedLMOutput;
import dev.headstart.models.Outputs.MultipleChoiceModelOutput;
import dev.headstart.models.Outputs.NextSentencePredictorOutput;
import dev.headstart.models.Outputs.QuestionAnsweringModelOutput;
import dev.headstart.models.Outputs.SequenceClassifierOutput;
import dev.headstart.models.Outputs.TokenClassifierOutput;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.Init;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Memory;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
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
            double classifierDropout,
            boolean tieWordEmbeddings) {
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
                    c.number("classifier_dropout", hiddenDropout),
                    c.flag("tie_word_embeddings", true));
        }
    }

    // === Layers ===

    /** Words + positions + segments, normalised (transformers BertEmbeddings). */
    static final class BertEmbeddings {
        private final Embedding word;
        private final Embedding position;
        private final Embedding tokenType;
        private final LayerNorm norm;
        private final Dropout dropout;
        private final BertConfig c;

        BertEmbeddings(Weights w, BertConfig c) {
            this.c = c;
            word = w.sub("word_embeddings").embedding(c.vocabSize(), c.hiddenSize(), c.padTokenId());
            position = w.sub("position_embeddings").embedding(c.maxPositionEmbeddings(), c.hiddenSize());
            tokenType = w.sub("token_type_embeddings").embedding(c.typeVocabSize(), c.hiddenSize());
            norm = w.sub("LayerNorm").layerNorm(c.hiddenSize(), c.layerNormEps());
            dropout = w.dropout(c.hiddenDropoutProb());
        }

        Tensor forward(Inputs in) {
            Tensor embeds = in.optional("inputs_embeds"); // [B, S, H]
            Tensor x = embeds != null
                    ? embeds
                    : word.forward(Checks.ids(in.required("input_ids"), "input_ids", c.vocabSize()));
            long s = Checks.length(x.size(1), c.maxPositionEmbeddings());
            Tensor positions = in.optional("position_ids");
            Tensor types = in.optional("token_type_ids");
            Tensor segment = types == null
                    ? tokenType.weight().tensor().select(0, 0) // [H]
                    : tokenType.forward(Checks.ids(types, "token_type_ids", c.typeVocabSize())); // [B, S, H]
            Tensor place = positions == null
                    ? position.weight().tensor().narrow(0, 0, s) // [S, H]
                    : position.forward(Checks.ids(positions, "position_ids", c.maxPositionEmbeddings()));
            return dropout.forward(norm.forward(x.add(segment).add(place))); // [B, S, H]
        }
    }

    /** Self-attention and its output, post-norm (transformers BertAttention). */
    static final class BertAttention {
        private final Linear query;
        private final Linear key;
        private final Linear value;
        private final Linear output;
        private final LayerNorm norm;
        private final Dropout attentionDropout;
        private final Dropout dropout;
        private final int heads;
        private final double scale;

        BertAttention(Weights w, BertConfig c) {
            query = w.sub("self.query").linear(c.hiddenSize(), c.hiddenSize());
            key = w.sub("self.key").linear(c.hiddenSize(), c.hiddenSize());
            value = w.sub("self.value").linear(c.hiddenSize(), c.hiddenSize());
            output = w.sub("output.dense").linear(c.hiddenSize(), c.hiddenSize());
            norm = w.sub("output.LayerNorm").layerNorm(c.hiddenSize(), c.layerNormEps());
            attentionDropout = w.dropout(c.attentionProbsDropoutProb());
            dropout = w.dropout(c.hiddenDropoutProb());
            heads = Checks.heads(c.hiddenSize(), c.numAttentionHeads());
            scale = 1 / Math.sqrt((double) c.hiddenSize() / heads);
        }

        /** @param x [B, S, H]; @param mask additive, [B, 1, 1, S]; @return [B, S, H] */
        Tensor forward(Tensor x, @Nullable Tensor mask, Trace trace) {
            Tensor q = Attention.splitHeads(query.forward(x), heads); // [B, h, S, H/h]
            Tensor k = Attention.splitHeads(key.forward(x), heads);
            Tensor v = Attention.splitHeads(value.forward(x), heads);
            Tensor context =
                    Attention.mergeHeads(Attention.attend(q, k, v, mask, scale, attentionDropout, trace)); // [B, S, H]
            return norm.forward(dropout.forward(output.forward(context)).add(x));
        }
    }

    /** Self-attention and feed-forward, post-norm (transformers BertLayer). */
    static final class BertLayer {
        private final BertAttention attention;
        private final Linear up;
        private final Linear down;
        private final LayerNorm norm;
        private final Dropout dropout;
        private final Activation activation;

        BertLayer(Weights w, BertConfig c) {
            attention = new BertAttention(w.sub("attention"), c);
            up = w.sub("intermediate.dense").linear(c.hiddenSize(), c.intermediateSize());
            down = w.sub("output.dense").linear(c.intermediateSize(), c.hiddenSize());
            norm = w.sub("output.LayerNorm").layerNorm(c.hiddenSize(), c.layerNormEps());
            dropout = w.dropout(c.hiddenDropoutProb());
            activation = c.hiddenAct();
        }

        /** @param x [B, S, H]; @param mask additive, [B, 1, 1, S]; @return [B, S, H] */
        Tensor forward(Tensor x, @Nullable Tensor mask, Trace trace) {
            Tensor a = Memory.local(() -> attention.forward(x, mask, trace)); // [B, S, H]
            Tensor u = up.forward(a, activation); // [B, S, I], activation fused where the kernel can
            return norm.forward(dropout.forward(down.forward(u)).add(a)); // [B, S, H]
        }
    }

    /** What the pooler may do: stay away, be left out when the checkpoint has none, or be part of the task head. */
    enum Pooling {
        NONE,
        IF_PRESENT,
        HEAD
    }

    /** Embeddings, layers, pooler: the part that every class shares. */
    static final class BertBody {
        private final BertEmbeddings embeddings;
        private final List<BertLayer> layers = new ArrayList<>();
        private final @Nullable Linear pooler;

        BertBody(Weights w, BertConfig c, Pooling pooling) {
            embeddings = new BertEmbeddings(w.sub("embeddings"), c);
            for (int i = 0; i < c.numHiddenLayers(); i++) {
                layers.add(new BertLayer(w.sub("encoder.layer." + i), c));
            }
            Weights p = (pooling == Pooling.HEAD ? w.head() : w).sub("pooler.dense");
            boolean pooled = pooling == Pooling.HEAD || (pooling == Pooling.IF_PRESENT && p.has("weight"));
            pooler = pooled ? p.linear(c.hiddenSize(), c.hiddenSize()) : null;
        }

        /** @return last hidden state [B, S, H]; the trace receives embeddings and every layer's output */
        Tensor forward(Inputs in, Trace trace) {
            Tensor x = trace.hidden(embeddings.forward(in)); // [B, S, H]
            Tensor mask = Attention.additiveMask(in.optional("attention_mask"), Ops.type(x)); // [B, 1, 1, S]
            for (BertLayer layer : layers) {
                Tensor below = x;
                x = trace.hidden(Memory.local(() -> layer.forward(below, mask, trace)));
            }
            return x;
        }

        /** @param x [B, S, H]; @return tanh of a Linear over the first position, [B, H]; null without a pooler */
        @Nullable
        Tensor pool(Tensor x) {
            return pooler == null ? null : tanh(pooler.forward(x.select(1, 0)));
        }

        /** As {@link #pool}, for classes whose head needs it. */
        Tensor pooled(Tensor x) {
            Tensor pooled = pool(x);
            if (pooled == null) {
                throw new IllegalStateException("built without pooler");
            }
            return pooled;
        }

        Embedding words() {
            return embeddings.word;
        }
    }

    /** Dense, activation, norm, and the embeddings again as output table (transformers BertLMPredictionHead). */
    static final class BertLMPredictionHead {
        private final Linear dense;
        private final LayerNorm norm;
        private final Linear decoder;
        private final Activation activation;

        BertLMPredictionHead(Weights w, BertConfig c, Embedding words) {
            dense = w.sub("transform.dense").linear(c.hiddenSize(), c.hiddenSize());
            norm = w.sub("transform.LayerNorm").layerNorm(c.hiddenSize(), c.layerNormEps());
            activation = c.hiddenAct();
            Parameter bias = w.parameter("bias", Init.ZEROS, c.vocabSize());
            Weights out = w.sub("decoder");
            Parameter table = c.tieWordEmbeddings()
                    ? words.weight()
                    : out.parameter("weight", new Init.Normal(0.02), c.vocabSize(), c.hiddenSize());
            decoder = out.tiedLinear(table, bias);
        }

        /** @param x [B, S, H]; @return [B, S, V] */
        Tensor forward(Tensor x) {
            return decoder.forward(norm.forward(dense.forward(x, activation)));
        }
    }

    // === Models ===

    /** BERT without a head: hidden states and the pooled first position. */
    public static final class BertModel extends PreTrainedModel<BaseModelOutputWithPooling> {
        private final BertBody bert;

        BertModel(Weights w, ConfigJson config) {
            super(w, config);
            bert = new BertBody(w, BertConfig.of(config), Pooling.IF_PRESENT);
        }

        @Override
        protected BaseModelOutputWithPooling compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = bert.forward(in, trace);
            return new BaseModelOutputWithPooling(x, bert.pool(x), trace.hiddenStates(), trace.attentions());
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
    public static final class BertForPreTraining extends PreTrainedModel<BertForPreTrainingOutput> {
        private final BertBody bert;
        private final BertLMPredictionHead predictions;
        private final Linear seqRelationship;

        BertForPreTraining(Weights w, ConfigJson config) {
            super(w, config);
            BertConfig c = BertConfig.of(config);
            bert = new BertBody(w.sub("bert"), c, Pooling.HEAD);
            predictions = new BertLMPredictionHead(w.head().sub("cls.predictions"), c, bert.words());
            seqRelationship = w.head().sub("cls.seq_relationship").linear(c.hiddenSize(), 2);
        }

        @Override
        protected BertForPreTrainingOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = bert.forward(in, trace);
            Tensor words = predictions.forward(x); // [B, S, V]
            Tensor next = seqRelationship.forward(bert.pooled(x)); // [B, 2]
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
    public static final class BertForMaskedLM extends PreTrainedModel<MaskedLMOutput> {
        private final BertBody bert;
        private final BertLMPredictionHead predictions;

        BertForMaskedLM(Weights w, ConfigJson config) {
            super(w, config);
            BertConfig c = BertConfig.of(config);
            bert = new BertBody(w.sub("bert"), c, Pooling.NONE);
            predictions = new BertLMPredictionHead(w.head().sub("cls.predictions"), c, bert.words());
        }

        @Override
        protected MaskedLMOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = predictions.forward(bert.forward(in, trace)); // [B, S, V]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.crossEntropy(logits, labels);
            return new MaskedLMOutput(loss, logits, trace.hiddenStates(), trace.attentions());
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
    public static final class BertForNextSentencePrediction extends PreTrainedModel<NextSentencePredictorOutput> {
        private final BertBody bert;
        private final Linear seqRelationship;

        BertForNextSentencePrediction(Weights w, ConfigJson config) {
            super(w, config);
            BertConfig c = BertConfig.of(config);
            bert = new BertBody(w.sub("bert"), c, Pooling.HEAD);
            seqRelationship = w.head().sub("cls.seq_relationship").linear(c.hiddenSize(), 2);
        }

        @Override
        protected NextSentencePredictorOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = seqRelationship.forward(bert.pooled(bert.forward(in, trace))); // [B, 2]
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
    public static final class BertForSequenceClassification extends PreTrainedModel<SequenceClassifierOutput>
            implements FeatureHead {
        private final BertBody bert;
        private final Dropout dropout;
        private final Linear classifier;

        BertForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config);
            BertConfig c = BertConfig.of(config);
            bert = new BertBody(w.sub("bert"), c, Pooling.HEAD);
            dropout = w.dropout(c.classifierDropout());
            classifier = w.head().sub("classifier").linear(c.hiddenSize(), config.numLabels());
        }

        @Override
        protected SequenceClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor features = in.optional("features"); // [B, H]
            Tensor states = features == null ? bert.forward(in, trace) : features.unsqueeze(1); // [B, S, H]
            Tensor pooled = dropout.forward(bert.pooled(states)); // [B, H]
            Tensor logits = classifier.forward(pooled); // [B, C]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.sequenceClassification(logits, labels, config().problemType());
            return new SequenceClassifierOutput(loss, logits, trace.hiddenStates(), trace.attentions());
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
    public static final class BertForTokenClassification extends PreTrainedModel<TokenClassifierOutput> {
        private final BertBody bert;
        private final Dropout dropout;
        private final Linear classifier;

        BertForTokenClassification(Weights w, ConfigJson config) {
            super(w, config);
            BertConfig c = BertConfig.of(config);
            bert = new BertBody(w.sub("bert"), c, Pooling.NONE);
            dropout = w.dropout(c.classifierDropout());
            classifier = w.head().sub("classifier").linear(c.hiddenSize(), config.numLabels());
        }

        @Override
        protected TokenClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = classifier.forward(dropout.forward(bert.forward(in, trace))); // [B, S, C]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.crossEntropy(logits, labels);
            return new TokenClassifierOutput(loss, logits, trace.hiddenStates(), trace.attentions());
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
    public static final class BertForQuestionAnswering extends PreTrainedModel<QuestionAnsweringModelOutput> {
        private final BertBody bert;
        private final Linear qaOutputs;

        BertForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config);
            BertConfig c = BertConfig.of(config);
            bert = new BertBody(w.sub("bert"), c, Pooling.NONE);
            qaOutputs = w.head().sub("qa_outputs").linear(c.hiddenSize(), 2);
        }

        @Override
        protected QuestionAnsweringModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = qaOutputs.forward(bert.forward(in, trace)); // [B, S, 2]
            return Heads.questionAnswering(logits, in, trace);
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
    public static final class BertForMultipleChoice extends PreTrainedModel<MultipleChoiceModelOutput> {
        private final BertBody bert;
        private final Dropout dropout;
        private final Linear classifier;

        BertForMultipleChoice(Weights w, ConfigJson config) {
            super(w, config);
            BertConfig c = BertConfig.of(config);
            bert = new BertBody(w.sub("bert"), c, Pooling.HEAD);
            dropout = w.dropout(c.classifierDropout());
            classifier = w.head().sub("classifier").linear(c.hiddenSize(), 1);
        }

        @Override
        protected MultipleChoiceModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Inputs flat = Heads.flattenChoices(in); // [B * choices, S]
            Tensor pooled = dropout.forward(bert.pooled(bert.forward(flat, trace))); // [B * choices, H]
            return Heads.multipleChoice(classifier.forward(pooled), in, trace);
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
