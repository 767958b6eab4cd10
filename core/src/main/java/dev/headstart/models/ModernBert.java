package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.argmax;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.Outputs.BaseModelOutput;
import dev.headstart.models.Outputs.MaskedLMOutput;
import dev.headstart.models.Outputs.MultipleChoiceModelOutput;
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
import dev.headstart.nn.Recompute;
import dev.headstart.nn.Rotary;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * ModernBERT (Warner et al. 2024, "Smarter, Better, Faster, Longer"): a bidirectional encoder with rotary positions, pre-norm, a gated feed-forward and
 * layers that see everything between layers that see a window. Reference: transformers {@code modeling_modernbert.py}. B batch, S length, H hidden size,
 * h heads, I intermediate size, V vocabulary.
 */
public final class ModernBert {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("modernbert", "model")
            .add("ModernBertModel", ModernBertModel::new)
            .add("ModernBertForMaskedLM", ModernBertForMaskedLM::new)
            .add("ModernBertForSequenceClassification", ModernBertForSequenceClassification::new)
            .add("ModernBertForTokenClassification", ModernBertForTokenClassification::new)
            .add("ModernBertForQuestionAnswering", ModernBertForQuestionAnswering::new)
            .add("ModernBertForMultipleChoice", ModernBertForMultipleChoice::new);

    private ModernBert() {}

    /**
     * ModernBertConfig: transformers' field names and defaults.
     *
     * @param sliding of each layer, whether it sees a window only
     * @param slidingWindow how many tokens to either side such a layer sees
     * @param globalRope rotary embeddings of the layers that see all
     * @param localRope rotary embeddings of the sliding layers
     */
    record ModernBertConfig(
            int vocabSize,
            int hiddenSize,
            int intermediateSize,
            int numHiddenLayers,
            int numAttentionHeads,
            Activation hiddenActivation,
            int maxPositionEmbeddings,
            double initializerRange,
            double normEps,
            boolean normBias,
            int padTokenId,
            boolean attentionBias,
            double attentionDropout,
            List<Boolean> sliding,
            int slidingWindow,
            Rotary.Spec globalRope,
            Rotary.Spec localRope,
            double embeddingDropout,
            boolean mlpBias,
            double mlpDropout,
            boolean decoderBias,
            boolean meanPooling,
            double classifierDropout,
            boolean classifierBias,
            Activation classifierActivation,
            boolean sparsePrediction,
            int sparsePredIgnoreIndex,
            boolean tieWordEmbeddings) {
        static ModernBertConfig of(ConfigJson c) {
            int hidden = c.size("hidden_size", 768);
            int heads = Checks.heads(hidden, c.size("num_attention_heads", 12));
            int layers = c.size("num_hidden_layers", 22);
            int positions = c.size("max_position_embeddings", 8192);
            int every = c.size("global_attn_every_n_layers", 3);
            List<Boolean> sliding = SlidingWindows.types(c, layers, i -> i % every != 0);
            Rotary.Spec global = RopeConfig.of(
                    c, hidden / heads, positions, "full_attention", c.number("global_rope_theta", 160_000), true);
            Rotary.Spec local = RopeConfig.of(
                    c, hidden / heads, positions, "sliding_attention", c.number("local_rope_theta", 10_000), true);
            String pooling = c.text("classifier_pooling", "cls");
            if (!pooling.equals("cls") && !pooling.equals("mean")) {
                throw new HeadstartException(
                        c.origin() + ": classifier_pooling must be cls or mean, found \"" + pooling + "\"");
            }
            return new ModernBertConfig(
                    c.size("vocab_size", 50368),
                    hidden,
                    c.size("intermediate_size", 1152),
                    layers,
                    heads,
                    Activation.of(c.text("hidden_activation", "gelu")),
                    positions,
                    c.number("initializer_range", 0.02),
                    c.number("norm_eps", 1e-5),
                    c.flag("norm_bias", false),
                    c.integer("pad_token_id", 50283),
                    c.flag("attention_bias", false),
                    c.number("attention_dropout", 0),
                    sliding,
                    c.size("local_attention", 128) / 2,
                    global,
                    local,
                    c.number("embedding_dropout", 0),
                    c.flag("mlp_bias", false),
                    c.number("mlp_dropout", 0),
                    c.flag("decoder_bias", true),
                    pooling.equals("mean"),
                    c.number("classifier_dropout", 0),
                    c.flag("classifier_bias", false),
                    Activation.of(c.text("classifier_activation", "gelu")),
                    c.flag("sparse_prediction", false),
                    c.integer("sparse_pred_ignore_index", -100),
                    c.flag("tie_word_embeddings", true));
        }

        /** How weights that read the residual stream start. */
        Init in() {
            return new Init.TruncatedNormal(initializerRange);
        }

        /** How weights that write to the residual stream start. */
        Init out() {
            return new Init.TruncatedNormal(initializerRange / Math.sqrt(2.0 * numHiddenLayers));
        }

        /** How a classifier's weights start. */
        Init last() {
            return new Init.TruncatedNormal(1 / Math.sqrt(hiddenSize));
        }

        LayerNorm norm(Weights w) {
            return w.layerNorm(hiddenSize, normEps, normBias);
        }
    }

    // === Layers ===

    /** Self-attention, one product for queries, keys and values (transformers ModernBertAttention). */
    static final class ModernBertAttention {
        private final Linear wqkv;
        private final Linear wo;
        private final Dropout attentionDropout;
        private final int heads;
        private final long hidden;
        private final double scale;

        ModernBertAttention(Weights w, ModernBertConfig c) {
            hidden = c.hiddenSize();
            wqkv = w.sub("Wqkv").linear(hidden, 3 * hidden, c.attentionBias(), c.in());
            wo = w.sub("Wo").linear(hidden, hidden, c.attentionBias(), c.out());
            attentionDropout = w.dropout(c.attentionDropout());
            heads = c.numAttentionHeads();
            scale = 1 / Math.sqrt((double) hidden / heads);
        }

        /** @param x [B, S, H]; @param mask additive, [B or 1, 1, 1 or S, S]; @return [B, S, H] */
        Tensor forward(Tensor x, Rotary.Angles at, @Nullable Tensor mask, Trace trace) {
            Tensor qkv = wqkv.forward(x); // [B, S, 3 H]
            Tensor q = Rotary.rotate(part(qkv, 0), at); // [B, h, S, H/h]
            Tensor k = Rotary.rotate(part(qkv, 1), at);
            Tensor context = Attention.attend(q, k, part(qkv, 2), mask, scale, attentionDropout, trace);
            return attentionDropout.forward(wo.forward(Attention.mergeHeads(context))); // [B, S, H]
        }

        private Tensor part(Tensor qkv, int i) {
            long b = qkv.size(0);
            long s = qkv.size(1);
            return qkv.narrow(2, i * hidden, hidden)
                    .view(b, s, heads, hidden / heads)
                    .transpose(1, 2); // [B, h, S, H/h]
        }
    }

    /** act(x W1) (x W2) W3, W1 and W2 in one product (transformers ModernBertMLP). */
    static final class ModernBertMlp {
        private final Linear wi;
        private final Linear wo;
        private final Activation activation;
        private final Dropout dropout;
        private final long size;

        ModernBertMlp(Weights w, ModernBertConfig c) {
            size = c.intermediateSize();
            wi = w.sub("Wi").linear(c.hiddenSize(), 2 * size, c.mlpBias(), c.in());
            wo = w.sub("Wo").linear(size, c.hiddenSize(), c.mlpBias(), c.out());
            activation = c.hiddenActivation();
            dropout = w.dropout(c.mlpDropout());
        }

        /** @param x [B, S, H]; @return [B, S, H] */
        Tensor forward(Tensor x) {
            Tensor both = wi.forward(x); // [B, S, 2 I]
            Tensor gated = activation.apply(both.narrow(2, 0, size)).mul(both.narrow(2, size, size)); // [B, S, I]
            return wo.forward(dropout.forward(gated));
        }
    }

    /** Attention and feed-forward, pre-norm; the first layer's attention reads the normalised embeddings as they are. */
    static final class ModernBertEncoderLayer {
        private final @Nullable LayerNorm attentionNorm;
        private final ModernBertAttention attention;
        private final LayerNorm mlpNorm;
        private final ModernBertMlp mlp;

        ModernBertEncoderLayer(Weights w, ModernBertConfig c, int index) {
            attentionNorm = index == 0 ? null : c.norm(w.sub("attn_norm"));
            attention = new ModernBertAttention(w.sub("attn"), c);
            mlpNorm = c.norm(w.sub("mlp_norm"));
            mlp = new ModernBertMlp(w.sub("mlp"), c);
        }

        /** @param x [B, S, H]; @param mask additive, [B or 1, 1, 1 or S, S]; @return [B, S, H] */
        Tensor forward(Tensor x, Rotary.Angles at, @Nullable Tensor mask, Trace trace) {
            Tensor read = attentionNorm == null ? x : attentionNorm.forward(x); // [B, S, H]
            Tensor y = x.add(attention.forward(read, at, mask, trace));
            return y.add(mlp.forward(mlpNorm.forward(y)));
        }
    }

    /** Embeddings, layers and the last norm: the part that every class shares. */
    static final class ModernBertBody {
        private final Embedding words;
        private final LayerNorm embeddingNorm;
        private final Dropout dropout;
        private final List<ModernBertEncoderLayer> layers = new ArrayList<>();
        private final LayerNorm finalNorm;
        private final Rotary global;
        private final Rotary local;
        private final ModernBertConfig c;

        ModernBertBody(Weights w, ModernBertConfig c) {
            this.c = c;
            Weights embeddings = w.sub("embeddings");
            words = embeddings.sub("tok_embeddings").embedding(c.vocabSize(), c.hiddenSize(), c.padTokenId());
            embeddingNorm = c.norm(embeddings.sub("norm"));
            dropout = w.dropout(c.embeddingDropout());
            for (int i = 0; i < c.numHiddenLayers(); i++) {
                layers.add(new ModernBertEncoderLayer(w.sub("layers." + i), c, i));
            }
            finalNorm = c.norm(w.sub("final_norm"));
            w.state().positionsDoNotEnd();
            global = new Rotary(c.globalRope(), w.device());
            local = new Rotary(c.localRope(), w.device());
        }

        /** @return last hidden state [B, S, H]; the trace receives embeddings and every layer's output, the last one normalised */
        Tensor forward(Inputs in, Trace trace) {
            Tensor embeds = in.optional("inputs_embeds"); // [B, S, H]
            Tensor given = embeds != null
                    ? embeds
                    : words.forward(Checks.ids(in.required("input_ids"), "input_ids", c.vocabSize()));
            Tensor x = trace.hidden(dropout.forward(embeddingNorm.forward(given))); // [B, S, H]
            long s = x.size(1); // rotary positions have no table that could end
            Tensor asked = in.optional("position_ids");
            Tensor positions = asked != null ? asked : Places.upTo(s, x).unsqueeze(0); // [1, S]
            Rotary.Angles far = global.angles(positions, x);
            Rotary.Angles near = local.angles(positions, x);
            Tensor padding = in.optional("attention_mask");
            Tensor all = Attention.additiveMask(padding, Ops.type(x)); // [B, 1, 1 or S, S]
            boolean byPairs = padding != null && padding.dim() == 4; // holds for every layer as it is
            Tensor window = byPairs || s <= c.slidingWindow() + 1L
                    ? all
                    : CausalMask.of(x, padding, true).of(c.slidingWindow() + 1); // [B or 1, 1, S, S]
            for (int i = 0; i < layers.size(); i++) {
                ModernBertEncoderLayer layer = layers.get(i);
                boolean sliding = c.sliding().get(i);
                boolean last = i == layers.size() - 1;
                x = Recompute.layer(
                        x,
                        below -> Memory.local(() -> {
                            Tensor y = layer.forward(below, sliding ? near : far, sliding ? window : all, trace);
                            return last ? finalNorm.forward(y) : y;
                        }));
                trace.hidden(x);
            }
            return x;
        }
    }

    /** Dense, activation, norm: what comes before every output layer (transformers ModernBertPredictionHead). */
    static final class ModernBertPredictionHead {
        private final Linear dense;
        private final LayerNorm norm;
        private final Activation activation;

        ModernBertPredictionHead(Weights w, ModernBertConfig c) {
            dense = w.sub("dense").linear(c.hiddenSize(), c.hiddenSize(), c.classifierBias(), c.out());
            norm = c.norm(w.sub("norm"));
            activation = c.classifierActivation();
        }

        /** @param x [..., H]; @return [..., H] */
        Tensor forward(Tensor x) {
            return norm.forward(dense.forward(x, activation));
        }
    }

    /** Prediction head, dropout and a Linear: the ends of all classifiers. */
    static final class ModernBertClassifier {
        private final ModernBertPredictionHead head;
        private final Dropout dropout;
        private final Linear classifier;

        ModernBertClassifier(Weights w, ModernBertConfig c, int labels) {
            head = new ModernBertPredictionHead(w.head().sub("head"), c);
            dropout = w.dropout(c.classifierDropout());
            classifier = w.head().sub("classifier").linear(c.hiddenSize(), labels, true, c.last());
        }

        /** @param x [..., H]; @return [..., C] */
        Tensor forward(Tensor x) {
            return classifier.forward(dropout.forward(head.forward(x)));
        }
    }

    /** Mean over the tokens that count. @param x [B, S, H]; @param mask [B, S]; @return [B, H] */
    private static Tensor mean(Tensor x, @Nullable Tensor mask) {
        if (mask == null) {
            return x.mean(1);
        }
        Tensor counts = mask.to(Ops.type(x)).unsqueeze(-1); // [B, S, 1]
        return x.mul(counts).sum(1).div(counts.sum(1)); // [B, H]
    }

    // === Models ===

    /** ModernBERT without a head: hidden states. */
    public static final class ModernBertModel extends PreTrainedModel<BaseModelOutput> {
        private final ModernBertBody model;

        ModernBertModel(Weights w, ConfigJson config) {
            super(w, config);
            model = new ModernBertBody(w, ModernBertConfig.of(config));
        }

        @Override
        protected BaseModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = model.forward(in, trace);
            return new BaseModelOutput(x, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static ModernBertModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ModernBertModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ModernBertModel.class, options);
        }
    }

    /** Scores for masked words; with {@code sparse_prediction} and labels, of the labelled places alone, [labelled, V]. */
    public static final class ModernBertForMaskedLM extends PreTrainedModel<MaskedLMOutput> {
        private final ModernBertBody model;
        private final ModernBertPredictionHead head;
        private final Linear decoder;
        private final ModernBertConfig c;

        ModernBertForMaskedLM(Weights w, ConfigJson config) {
            super(w, config);
            c = ModernBertConfig.of(config);
            model = new ModernBertBody(w.sub("model"), c);
            head = new ModernBertPredictionHead(w.head().sub("head"), c);
            Weights out = w.head().sub("decoder");
            Parameter table = c.tieWordEmbeddings()
                    ? model.words.weight()
                    : out.parameter("weight", c.out(), c.vocabSize(), c.hiddenSize());
            decoder = out.tiedLinear(table, c.decoderBias() ? out.parameter("bias", Init.ZEROS, c.vocabSize()) : null);
        }

        @Override
        protected MaskedLMOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = model.forward(in, trace); // [B, S, H]
            Tensor labels = in.optional("labels"); // [B, S]
            if (c.sparsePrediction() && labels != null) {
                labels = labels.reshape(-1);
                Tensor counted = labels.ne(new Scalar(c.sparsePredIgnoreIndex()))
                        .nonzero()
                        .squeeze(1); // [labelled]
                x = x.reshape(-1, x.size(2)).index_select(0, counted); // [labelled, H]
                labels = labels.index_select(0, counted);
            }
            Tensor logits = decoder.forward(head.forward(x)); // [B, S, V]
            Tensor loss = labels == null ? null : Losses.crossEntropy(logits, labels);
            return new MaskedLMOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static ModernBertForMaskedLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ModernBertForMaskedLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ModernBertForMaskedLM.class, options);
        }
    }

    /** Classes of a text, from its first token or the mean of all. */
    public static final class ModernBertForSequenceClassification extends PreTrainedModel<SequenceClassifierOutput> {
        private final ModernBertBody model;
        private final ModernBertClassifier classifier;
        private final boolean meanPooling;

        ModernBertForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config);
            ModernBertConfig c = ModernBertConfig.of(config);
            model = new ModernBertBody(w.sub("model"), c);
            classifier = new ModernBertClassifier(w, c, config.numLabels());
            meanPooling = c.meanPooling();
        }

        @Override
        protected SequenceClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = model.forward(in, trace); // [B, S, H]
            Tensor pooled = meanPooling ? mean(x, in.optional("attention_mask")) : x.select(1, 0); // [B, H]
            Tensor logits = classifier.forward(pooled); // [B, C]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.sequenceClassification(logits, labels, config().problemType());
            return new SequenceClassifierOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static ModernBertForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ModernBertForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ModernBertForSequenceClassification.class, options);
        }
    }

    /** Classes of each token. */
    public static final class ModernBertForTokenClassification extends PreTrainedModel<TokenClassifierOutput> {
        private final ModernBertBody model;
        private final ModernBertClassifier classifier;

        ModernBertForTokenClassification(Weights w, ConfigJson config) {
            super(w, config);
            ModernBertConfig c = ModernBertConfig.of(config);
            model = new ModernBertBody(w.sub("model"), c);
            classifier = new ModernBertClassifier(w, c, config.numLabels());
        }

        @Override
        protected TokenClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = classifier.forward(model.forward(in, trace)); // [B, S, C]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.crossEntropy(logits, labels);
            return new TokenClassifierOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static ModernBertForTokenClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ModernBertForTokenClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ModernBertForTokenClassification.class, options);
        }
    }

    /** Start and end of the answer. */
    public static final class ModernBertForQuestionAnswering extends PreTrainedModel<QuestionAnsweringModelOutput> {
        private final ModernBertBody model;
        private final ModernBertClassifier classifier;

        ModernBertForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config);
            ModernBertConfig c = ModernBertConfig.of(config);
            model = new ModernBertBody(w.sub("model"), c);
            classifier = new ModernBertClassifier(w, c, Checks.spanLabels(config));
        }

        @Override
        protected QuestionAnsweringModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            return Heads.questionAnswering(classifier.forward(model.forward(in, trace)), in, trace); // [B, S, 2]
        }

        /** From a folder or an id. */
        public static ModernBertForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ModernBertForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ModernBertForQuestionAnswering.class, options);
        }
    }

    /** Scores for choices: every choice is its own text, [B, choices, S]. */
    public static final class ModernBertForMultipleChoice extends PreTrainedModel<MultipleChoiceModelOutput> {
        private final ModernBertBody model;
        private final ModernBertClassifier classifier;
        private final boolean meanPooling;

        ModernBertForMultipleChoice(Weights w, ConfigJson config) {
            super(w, config);
            ModernBertConfig c = ModernBertConfig.of(config);
            model = new ModernBertBody(w.sub("model"), c);
            classifier = new ModernBertClassifier(w, c, 1);
            meanPooling = c.meanPooling();
        }

        @Override
        protected MultipleChoiceModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Inputs flat = Heads.flattenChoices(in); // [B * choices, S]
            Tensor x = model.forward(flat, trace); // [B * choices, S, H]
            Tensor mask = flat.optional("attention_mask");
            Tensor pooled = meanPooling ? mean(x, mask) : first(x, mask); // [B * choices, H]
            return Heads.multipleChoice(classifier.forward(pooled), in, trace);
        }

        /** The first token that counts, wherever the padding stands. */
        private static Tensor first(Tensor x, @Nullable Tensor mask) {
            if (mask == null) {
                return x.select(1, 0);
            }
            Tensor at =
                    argmax(mask.to(ScalarType.Int), new LongOptional(1), true).unsqueeze(-1); // [B, 1, 1]
            return x.gather(1, at.expand(x.size(0), 1, x.size(2))).squeeze(1);
        }

        /** From a folder or an id. */
        public static ModernBertForMultipleChoice fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ModernBertForMultipleChoice fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ModernBertForMultipleChoice.class, options);
        }
    }
}
