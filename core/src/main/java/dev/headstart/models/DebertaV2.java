package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.conv1d;
import static org.bytedeco.pytorch.global.torch.log_softmax;
import static org.bytedeco.pytorch.global.torch.mse_loss;
import static org.bytedeco.pytorch.global.torch.where;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.EncoderModels.FirstTokenHead;
import dev.headstart.models.EncoderModels.WordHead;
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
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * DeBERTa-v2 and v3 (He et al. 2021, "DeBERTa: Decoding-enhanced BERT with Disentangled Attention"): an encoder whose scores are the sum of content to
 * content, content to position and position to content, with relative positions in buckets. Reference: transformers {@code modeling_deberta_v2.py}. B
 * batch, S length, H hidden size, E embedding size, h heads, I intermediate size, R relative positions, V vocabulary.
 */
public final class DebertaV2 {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("deberta-v2", "deberta")
            .add("DebertaV2Model", DebertaV2Model::new)
            .add("DebertaV2ForMaskedLM", DebertaV2ForMaskedLM::new)
            .add("DebertaV2ForSequenceClassification", DebertaV2ForSequenceClassification::new)
            .add("DebertaV2ForTokenClassification", DebertaV2ForTokenClassification::new)
            .add("DebertaV2ForQuestionAnswering", DebertaV2ForQuestionAnswering::new)
            .add("DebertaV2ForMultipleChoice", DebertaV2ForMultipleChoice::new);

    private DebertaV2() {}

    /** DebertaV2Config: transformers' field names and defaults. */
    record DebertaV2Config(
            int vocabSize,
            int hiddenSize,
            int embeddingSize,
            int numHiddenLayers,
            int numAttentionHeads,
            int intermediateSize,
            Activation hiddenAct,
            double hiddenDropoutProb,
            double attentionProbsDropoutProb,
            int maxPositionEmbeddings,
            int typeVocabSize,
            double layerNormEps,
            boolean relativeAttention,
            int maxRelativePositions,
            int positionBuckets,
            int padTokenId,
            boolean positionBiasedInput,
            boolean contentToPosition,
            boolean positionToContent,
            boolean shareAttKey,
            boolean normRelEbd,
            int convKernelSize,
            int convGroups,
            Activation convAct,
            double poolerDropout,
            Activation poolerHiddenAct,
            double clsDropout,
            boolean legacy) {
        static DebertaV2Config of(ConfigJson c) {
            int hidden = c.size("hidden_size", 1536);
            int positions = c.size("max_position_embeddings", 512);
            int relative = c.integer("max_relative_positions", -1);
            double dropout = c.number("hidden_dropout_prob", 0.1);
            List<String> terms = split(c.texts("pos_att_type", List.of()));
            return new DebertaV2Config(
                    c.size("vocab_size", 128100),
                    hidden,
                    c.size("embedding_size", hidden),
                    c.size("num_hidden_layers", 24),
                    c.size("num_attention_heads", 24),
                    c.size("intermediate_size", 6144),
                    Activation.of(c.text("hidden_act", "gelu")),
                    dropout,
                    c.number("attention_probs_dropout_prob", 0.1),
                    positions,
                    c.integer("type_vocab_size", 0),
                    c.number("layer_norm_eps", 1e-7),
                    c.flag("relative_attention", false),
                    relative < 1 ? positions : relative,
                    c.integer("position_buckets", -1),
                    c.integer("pad_token_id", 0),
                    c.flag("position_biased_input", true),
                    terms.contains("c2p"),
                    terms.contains("p2c"),
                    c.flag("share_att_key", false),
                    split(c.texts("norm_rel_ebd", List.of("none"))).contains("layer_norm"),
                    c.integer("conv_kernel_size", 0),
                    c.size("conv_groups", 1),
                    Activation.of(c.text("conv_act", "tanh")),
                    c.number("pooler_dropout", 0),
                    Activation.of(c.text("pooler_hidden_act", "gelu")),
                    c.number("cls_dropout", dropout),
                    c.flag("legacy", true));
        }

        /** Several values in one text stand between bars: {@code p2c|c2p}. */
        private static List<String> split(List<String> values) {
            return values.stream()
                    .flatMap(v -> Arrays.stream(v.toLowerCase(Locale.ROOT).split("\\|")))
                    .map(String::strip)
                    .toList();
        }

        /** Rows of the table of relative positions to either side. */
        int span() {
            return positionBuckets > 0 ? positionBuckets : maxRelativePositions;
        }

        /** What the scores are multiplied by: there are one to three terms. */
        double scale() {
            int terms = 1 + (contentToPosition ? 1 : 0) + (positionToContent ? 1 : 0);
            return 1 / Math.sqrt((double) hiddenSize / numAttentionHeads * terms);
        }

        LayerNorm norm(Weights w) {
            return w.layerNorm(hiddenSize, layerNormEps);
        }
    }

    // === Layers ===

    /** Words, and as the configuration says positions and segments; padding is zero (transformers DebertaV2Embeddings). */
    static final class DebertaV2Embeddings {
        private final Embedding word;
        private final @Nullable Embedding position;
        private final @Nullable Embedding tokenType;
        private final @Nullable Linear projection;
        private final LayerNorm norm;
        private final Dropout dropout;
        private final DebertaV2Config c;

        DebertaV2Embeddings(Weights w, DebertaV2Config c) {
            this.c = c;
            int e = c.embeddingSize();
            word = w.sub("word_embeddings").embedding(c.vocabSize(), e, c.padTokenId());
            position = c.positionBiasedInput()
                    ? w.sub("position_embeddings").embedding(c.maxPositionEmbeddings(), e)
                    : null;
            if (position == null) {
                w.state().positionsDoNotEnd();
            }
            tokenType = c.typeVocabSize() > 0 ? w.sub("token_type_embeddings").embedding(c.typeVocabSize(), e) : null;
            projection = e == c.hiddenSize() ? null : w.sub("embed_proj").linear(e, c.hiddenSize(), false);
            norm = c.norm(w.sub("LayerNorm"));
            dropout = w.dropout(c.hiddenDropoutProb());
        }

        /** @param mask 1 for tokens that count, [B, S, 1]; @return [B, S, H] */
        Tensor forward(Inputs in, @Nullable Tensor mask) {
            Tensor embeds = in.optional("inputs_embeds"); // [B, S, E]
            Tensor x = embeds != null
                    ? embeds
                    : word.forward(Checks.ids(in.required("input_ids"), "input_ids", c.vocabSize()));
            Tensor positions = in.optional("position_ids");
            if (position != null) {
                x = x.add(
                        positions == null
                                ? position.weight()
                                        .tensor()
                                        .narrow(0, 0, Checks.length(x.size(1), c.maxPositionEmbeddings())) // [S, E]
                                : position.forward(Checks.ids(positions, "position_ids", c.maxPositionEmbeddings())));
            }
            Tensor types = in.optional("token_type_ids");
            if (tokenType != null) {
                x = x.add(
                        types == null
                                ? tokenType.weight().tensor().select(0, 0) // [E]
                                : tokenType.forward(Checks.ids(types, "token_type_ids", c.typeVocabSize())));
            }
            Tensor y = norm.forward(projection == null ? x : projection.forward(x)); // [B, S, H]
            return dropout.forward(mask == null ? y : y.mul(mask));
        }
    }

    /**
     * Relative positions of a text.
     *
     * @param table the embeddings of those that occur, [1, R, H]
     * @param forth row of the table for each query and key, [S, S]
     * @param back the same with the direction turned round, [S, S]
     */
    record Relative(Tensor table, Tensor forth, Tensor back) {}

    /** Self-attention over content and positions, and its output, post-norm (transformers DisentangledSelfAttention). */
    static final class DebertaV2Attention {
        private final Linear query;
        private final Linear key;
        private final Linear value;
        private final @Nullable Linear positionKey;
        private final @Nullable Linear positionQuery;
        private final Linear output;
        private final LayerNorm norm;
        private final Dropout attentionDropout;
        private final Dropout dropout;
        private final int heads;
        private final double scale;

        DebertaV2Attention(Weights w, DebertaV2Config c) {
            int hidden = c.hiddenSize();
            Weights self = w.sub("self");
            query = self.sub("query_proj").linear(hidden, hidden);
            key = self.sub("key_proj").linear(hidden, hidden);
            value = self.sub("value_proj").linear(hidden, hidden);
            boolean forth = c.relativeAttention() && c.contentToPosition();
            boolean back = c.relativeAttention() && c.positionToContent();
            positionKey = !forth
                    ? null
                    : c.shareAttKey() ? key : self.sub("pos_key_proj").linear(hidden, hidden);
            positionQuery = !back
                    ? null
                    : c.shareAttKey() ? query : self.sub("pos_query_proj").linear(hidden, hidden);
            output = w.sub("output.dense").linear(hidden, hidden);
            norm = c.norm(w.sub("output.LayerNorm"));
            attentionDropout = w.dropout(c.attentionProbsDropoutProb());
            dropout = w.dropout(c.hiddenDropoutProb());
            heads = Checks.heads(hidden, c.numAttentionHeads());
            scale = c.scale();
        }

        /**
         * @param x [B, S, H]
         * @param mask additive, [B, 1, S, S]
         * @param rows 1 for queries that count, [B, 1, S, 1]: the scores of others, which see nothing, pass no gradient (masked_fill); null when none flows
         * @return [B, S, H]
         */
        Tensor forward(Tensor x, @Nullable Tensor mask, @Nullable Tensor rows, @Nullable Relative at, Trace trace) {
            Tensor q = counted(Attention.splitHeads(query.forward(x), heads), rows); // [B, h, S, H/h]
            Tensor k = Attention.splitHeads(key.forward(x), heads);
            Tensor v = Attention.splitHeads(value.forward(x), heads);
            Tensor places = at == null ? null : positions(q, k, at);
            Tensor added = sum(mask, places == null ? null : counted(places, rows)); // [B, h, S, S]
            Tensor context =
                    Attention.mergeHeads(Attention.attend(q, k, v, added, scale, attentionDropout, trace)); // [B, S, H]
            return norm.forward(dropout.forward(output.forward(context)).add(x));
        }

        private static Tensor counted(Tensor x, @Nullable Tensor rows) {
            return rows == null ? x : x.mul(rows);
        }

        /** Content to position plus position to content, [B, h, S, S]; null where there is neither. */
        private @Nullable Tensor positions(Tensor q, Tensor k, Relative at) {
            Tensor scores = null;
            if (positionKey != null) {
                Tensor table = Attention.splitHeads(positionKey.forward(at.table), heads); // [1, h, R, H/h]
                scores = pick(q.matmul(table.transpose(2, 3)), at.forth).mul(new Scalar(scale));
            }
            if (positionQuery != null) {
                Tensor table = Attention.splitHeads(positionQuery.forward(at.table), heads); // [1, h, R, H/h]
                Tensor byKey = pick(k.matmul(table.transpose(2, 3)), at.back); // [B, h, Sk, Sq]
                Tensor back = byKey.transpose(2, 3).mul(new Scalar(scale)); // [B, h, Sq, Sk]
                scores = scores == null ? back : scores.add(back);
            }
            return scores;
        }

        /** @param scores [B, h, S, R]; @param rows [S, S]; @return [B, h, S, S] */
        private static Tensor pick(Tensor scores, Tensor rows) {
            long s = rows.size(0);
            return scores.gather(3, rows.expand(scores.size(0), scores.size(1), s, s));
        }

        private static @Nullable Tensor sum(@Nullable Tensor mask, @Nullable Tensor scores) {
            return scores == null ? mask : mask == null ? scores : scores.add(mask);
        }
    }

    /** Attention and feed-forward, post-norm (transformers DebertaV2Layer). */
    static final class DebertaV2Layer {
        private final DebertaV2Attention attention;
        private final Linear up;
        private final Linear down;
        private final LayerNorm norm;
        private final Dropout dropout;
        private final Activation activation;

        DebertaV2Layer(Weights w, DebertaV2Config c) {
            attention = new DebertaV2Attention(w.sub("attention"), c);
            up = w.sub("intermediate.dense").linear(c.hiddenSize(), c.intermediateSize());
            down = w.sub("output.dense").linear(c.intermediateSize(), c.hiddenSize());
            norm = c.norm(w.sub("output.LayerNorm"));
            dropout = w.dropout(c.hiddenDropoutProb());
            activation = c.hiddenAct();
        }

        /** @param x [B, S, H]; @param mask additive, [B, 1, S, S]; @param rows as for the attention; @return [B, S, H] */
        Tensor forward(Tensor x, @Nullable Tensor mask, @Nullable Tensor rows, @Nullable Relative at, Trace trace) {
            Tensor a = Memory.local(() -> attention.forward(x, mask, rows, at, trace)); // [B, S, H]
            Tensor u = up.forward(a, activation); // [B, S, I]
            return norm.forward(dropout.forward(down.forward(u)).add(a));
        }
    }

    /** A convolution over the embeddings, added to the first layer's output (transformers ConvLayer). */
    static final class ConvLayer {
        private final Parameter weight;
        private final Parameter bias;
        private final LayerNorm norm;
        private final Dropout dropout;
        private final Activation activation;
        private final long padding;
        private final long groups;

        ConvLayer(Weights w, DebertaV2Config c) {
            int hidden = c.hiddenSize();
            groups = c.convGroups();
            padding = (c.convKernelSize() - 1) / 2;
            Weights conv = w.sub("conv");
            weight = conv.parameter("weight", new Init.Normal(0.02), hidden, hidden / groups, c.convKernelSize());
            bias = conv.parameter("bias", Init.ZEROS, hidden);
            norm = c.norm(w.sub("LayerNorm"));
            dropout = w.dropout(c.hiddenDropoutProb());
            activation = c.convAct();
        }

        /** @param embedded [B, S, H]; @param above the first layer's output, [B, S, H]; @param mask [B, S, 1]; @return [B, S, H] */
        Tensor forward(Tensor embedded, Tensor above, @Nullable Tensor mask) {
            Tensor wide = conv1d(
                    embedded.transpose(1, 2).contiguous(),
                    weight.tensor(),
                    bias.optional(),
                    new long[] {1},
                    new long[] {padding},
                    new long[] {1},
                    groups); // [B, H, S]
            Tensor x = wide.transpose(1, 2); // [B, S, H]
            Tensor y = activation.apply(dropout.forward(mask == null ? x : x.mul(mask)));
            Tensor out = norm.forward(above.add(y));
            return mask == null ? out : out.mul(mask);
        }
    }

    /** Embeddings and layers: the part that every class shares. */
    static final class DebertaV2Body {
        private final DebertaV2Embeddings embeddings;
        private final List<DebertaV2Layer> layers = new ArrayList<>();
        private final @Nullable Embedding relative;
        private final @Nullable LayerNorm relativeNorm;
        private final @Nullable ConvLayer conv;
        private final Dropout positionDropout;
        private final DebertaV2Config c;

        DebertaV2Body(Weights w, DebertaV2Config c) {
            this.c = c;
            embeddings = new DebertaV2Embeddings(w.sub("embeddings"), c);
            Weights encoder = w.sub("encoder");
            for (int i = 0; i < c.numHiddenLayers(); i++) {
                layers.add(new DebertaV2Layer(encoder.sub("layer." + i), c));
            }
            relative = c.relativeAttention()
                    ? encoder.sub("rel_embeddings").embedding(2L * c.span(), c.hiddenSize())
                    : null;
            relativeNorm = c.normRelEbd() ? c.norm(encoder.sub("LayerNorm")) : null;
            conv = c.convKernelSize() > 0 ? new ConvLayer(encoder.sub("conv"), c) : null;
            positionDropout = w.dropout(c.hiddenDropoutProb());
        }

        Embedding words() {
            return embeddings.word;
        }

        /** @return last hidden state [B, S, H]; the trace receives embeddings and every layer's output */
        Tensor forward(Inputs in, Trace trace) {
            Tensor tokens = in.optional("attention_mask"); // [B, S]
            if (tokens != null && tokens.dim() != 2) {
                throw new HeadstartException("attention_mask must have the shape [batch, length], found "
                        + Arrays.toString(tokens.shape()) + "; DeBERTa-v2 takes no mask by pairs");
            }
            boolean masked = tokens != null && tokens.min().item_long() == 0;
            Tensor counts = masked && tokens != null ? tokens.to(type()).unsqueeze(-1) : null; // [B, S, 1]
            Tensor x = trace.hidden(embeddings.forward(in, counts)); // [B, S, H]
            Tensor pairs = counts == null ? null : counts.mul(counts.transpose(1, 2)); // [B, S, S]
            Tensor mask = Attention.additiveMask(pairs, Ops.type(x)); // [B, 1, S, S]
            Tensor rows = counts == null || !GradMode.is_enabled() ? null : counts.unsqueeze(1); // [B, 1, S, 1]
            Relative at = relative(x);
            Tensor embedded = x;
            for (int i = 0; i < layers.size(); i++) {
                DebertaV2Layer layer = layers.get(i);
                ConvLayer beside = i == 0 ? conv : null;
                List<Tensor> inputs = at == null ? List.of(x, embedded) : List.of(x, embedded, at.table());
                x = trace.hidden(Recompute.layer(
                        inputs,
                        given -> Memory.local(() -> {
                            Relative to = at == null ? null : new Relative(given.get(2), at.forth(), at.back());
                            Tensor y = layer.forward(given.get(0), mask, rows, to, trace);
                            return beside == null ? y : beside.forward(given.get(1), y, counts);
                        })));
            }
            return x;
        }

        private ScalarType type() {
            return Ops.type(embeddings.word.weight().tensor());
        }

        private @Nullable Relative relative(Tensor x) {
            if (relative == null) {
                return null;
            }
            long s = x.size(1);
            // bucket by bucket on the CPU, whose logarithm rounds as the reference's, and few: one for each distance
            Tensor distance = distances(s); // [2 S - 1], from -(S - 1)
            Scalar span = new Scalar(c.span());
            Tensor forth = row(distance.add(span));
            Tensor back = row(distance.neg().add(span));
            long least = forth.min().item_long(); // rows that no pair of the text needs are left out
            long most = forth.max().item_long();
            Tensor rows = relative.weight().tensor().narrow(0, least, most - least + 1); // [R, H]
            Tensor normed = relativeNorm == null ? rows : relativeNorm.forward(rows);
            Scalar first = new Scalar(least);
            Tensor at = Places.upTo(s, x);
            Tensor pairs =
                    at.view(-1, 1).sub(at.view(1, -1)).add(new Scalar(s - 1)).view(-1); // [S * S]
            return new Relative(
                    positionDropout.forward(normed).unsqueeze(0),
                    pick(forth.sub(first), pairs, s),
                    pick(back.sub(first), pairs, s));
        }

        private static Tensor pick(Tensor each, Tensor pairs, long s) {
            return each.to(pairs.device(), ScalarType.Long)
                    .index_select(0, pairs)
                    .view(s, s);
        }

        private Tensor row(Tensor shifted) {
            return shifted.clamp(new ScalarOptional(new Scalar(0)), new ScalarOptional(new Scalar(2L * c.span() - 1)));
        }

        /** How far queries stand behind keys, -(S - 1) to S - 1, far distances in buckets that grow with the logarithm; int64 [2 S - 1] on the CPU. */
        private Tensor distances(long s) {
            Tensor distance = torch.arange(new Scalar(1 - s), new Scalar(s)); // [2 S - 1]
            if (c.positionBuckets() <= 0) {
                return distance;
            }
            int mid = c.positionBuckets() / 2;
            Scalar half = new Scalar(mid);
            Tensor near = distance.abs().lt(half);
            Tensor size = distance.abs().masked_fill(near, new Scalar(mid - 1L));
            Tensor most =
                    Tensor.create((float) (c.maxRelativePositions() - 1) / mid).log();
            Tensor log = size.to(ScalarType.Float)
                    .div(half)
                    .log()
                    .div(most)
                    .mul(new Scalar(mid - 1L))
                    .ceil()
                    .add(half); // in float, as the reference rounds
            Tensor bucket = log.mul(distance.sign().to(ScalarType.Float)).to(ScalarType.Long);
            return where(size.le(half), distance, bucket);
        }
    }

    /** The words' scores: of an older head with the embeddings' size, or of the head that pre-training had ({@code legacy} false). */
    private static WordHead words(Weights root, ConfigJson config, DebertaV2Body body) {
        DebertaV2Config c = DebertaV2Config.of(config);
        if (c.legacy()) {
            Weights w = root.sub("cls.predictions");
            return new WordHead(
                    w.sub("transform.dense").linear(c.hiddenSize(), c.embeddingSize()),
                    c.hiddenAct(),
                    w.sub("transform.LayerNorm").layerNorm(c.embeddingSize(), c.layerNormEps()),
                    WordHead.decoder(w, config, body.words()));
        }
        Weights w = root.sub("lm_predictions.lm_head");
        return new WordHead(
                w.sub("dense").linear(c.hiddenSize(), c.hiddenSize()),
                c.hiddenAct(),
                c.norm(w.sub("LayerNorm")),
                w.tiedLinear(body.words().weight(), w.parameter("bias", Init.ZEROS, c.vocabSize())));
    }

    /** Pooler, dropout and classifier over the first token (transformers ContextPooler). */
    private static FirstTokenHead pooled(Weights root, DebertaV2Config c, int labels) {
        return new FirstTokenHead(
                root.dropout(c.poolerDropout()),
                root.sub("pooler.dense").linear(c.hiddenSize(), c.hiddenSize()),
                c.poolerHiddenAct(),
                root.dropout(c.clsDropout()),
                root.sub("classifier").linear(c.hiddenSize(), labels));
    }

    // === Models ===

    /** What all classes have. */
    public abstract static class DebertaV2PreTrainedModel<O extends ModelOutput> extends PreTrainedModel<O> {
        /** The part without a head. */
        final DebertaV2Body deberta;

        DebertaV2PreTrainedModel(Weights w, ConfigJson config, String prefix) {
            super(w, config);
            deberta = new DebertaV2Body(w.sub(prefix), DebertaV2Config.of(config));
        }
    }

    /** DeBERTa-v2 without a head: hidden states. */
    public static final class DebertaV2Model extends DebertaV2PreTrainedModel<BaseModelOutput> {
        DebertaV2Model(Weights w, ConfigJson config) {
            super(w, config, "");
        }

        @Override
        protected BaseModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = deberta.forward(in, trace);
            return new BaseModelOutput(x, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static DebertaV2Model fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DebertaV2Model fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DebertaV2Model.class, options);
        }
    }

    /** Scores for masked words. */
    public static final class DebertaV2ForMaskedLM extends DebertaV2PreTrainedModel<MaskedLMOutput> {
        private final WordHead head;

        DebertaV2ForMaskedLM(Weights w, ConfigJson config) {
            super(w, config, "deberta");
            head = words(w.head(), config, deberta);
        }

        @Override
        protected MaskedLMOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = head.forward(deberta.forward(in, trace)); // [B, S, V]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.crossEntropy(logits, labels);
            return new MaskedLMOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static DebertaV2ForMaskedLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DebertaV2ForMaskedLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DebertaV2ForMaskedLM.class, options);
        }
    }

    /**
     * Classes of a text, from its first token. Without {@code problem_type} the loss takes one number or one class a text, of which classes below 0
     * do not count, or a distribution over the classes; one number a text gives logits of the shape [B].
     */
    public static final class DebertaV2ForSequenceClassification
            extends DebertaV2PreTrainedModel<SequenceClassifierOutput> implements FeatureHead {
        private final FirstTokenHead head;

        DebertaV2ForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, "deberta");
            head = pooled(w.head(), DebertaV2Config.of(config), config.numLabels());
        }

        @Override
        protected SequenceClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor features = in.optional("features"); // [B, H]
            Tensor states = features == null ? deberta.forward(in, trace) : features.unsqueeze(1); // [B, S, H]
            Tensor logits = head.forward(states); // [B, C]
            Tensor labels = in.optional("labels");
            boolean number = labels != null
                    && logits.size(1) == 1
                    && config().problemType().isEmpty();
            if (number) {
                logits = logits.reshape(-1); // [B]
            }
            Tensor loss = labels == null ? null : number ? distance(logits, labels) : loss(logits, labels);
            return new SequenceClassifierOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }

        private static Tensor distance(Tensor logits, Tensor labels) {
            return mse_loss(logits, labels.reshape(-1).to(Ops.type(logits)));
        }

        private Tensor loss(Tensor logits, Tensor labels) {
            if (!config().problemType().isEmpty()) {
                return Losses.sequenceClassification(logits, labels, config().problemType());
            }
            if (labels.dim() > 1 && labels.size(-1) > 1) { // [B, C]
                return log_softmax(logits, 1).mul(labels).sum(1).mean().neg();
            }
            Tensor classes = labels.reshape(-1).to(ScalarType.Long); // [B]
            Tensor counted = classes.ge(new Scalar(0)).nonzero().squeeze(1);
            return counted.size(0) == 0
                    ? logits.sum().mul(new Scalar(0.0))
                    : Losses.crossEntropy(logits.index_select(0, counted), classes.index_select(0, counted));
        }

        /** From a folder or an id. */
        public static DebertaV2ForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DebertaV2ForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DebertaV2ForSequenceClassification.class, options);
        }
    }

    /** Classes of each token. */
    public static final class DebertaV2ForTokenClassification extends DebertaV2PreTrainedModel<TokenClassifierOutput> {
        private final Dropout dropout;
        private final Linear classifier;

        DebertaV2ForTokenClassification(Weights w, ConfigJson config) {
            super(w, config, "deberta");
            DebertaV2Config c = DebertaV2Config.of(config);
            dropout = w.dropout(c.hiddenDropoutProb());
            classifier = w.head().sub("classifier").linear(c.hiddenSize(), config.numLabels());
        }

        @Override
        protected TokenClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = classifier.forward(dropout.forward(deberta.forward(in, trace))); // [B, S, C]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.crossEntropy(logits, labels);
            return new TokenClassifierOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static DebertaV2ForTokenClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DebertaV2ForTokenClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DebertaV2ForTokenClassification.class, options);
        }
    }

    /** Start and end of the answer. */
    public static final class DebertaV2ForQuestionAnswering
            extends DebertaV2PreTrainedModel<QuestionAnsweringModelOutput> {
        private final Linear outputs;

        DebertaV2ForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, "deberta");
            int hidden = DebertaV2Config.of(config).hiddenSize();
            outputs = w.head().sub("qa_outputs").linear(hidden, Checks.spanLabels(config));
        }

        @Override
        protected QuestionAnsweringModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            return Heads.questionAnswering(outputs.forward(deberta.forward(in, trace)), in, trace); // [B, S, 2]
        }

        /** From a folder or an id. */
        public static DebertaV2ForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DebertaV2ForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DebertaV2ForQuestionAnswering.class, options);
        }
    }

    /** Scores for choices: every choice is its own text, [B, choices, S]. */
    public static final class DebertaV2ForMultipleChoice extends DebertaV2PreTrainedModel<MultipleChoiceModelOutput> {
        private final FirstTokenHead head;

        DebertaV2ForMultipleChoice(Weights w, ConfigJson config) {
            super(w, config, "deberta");
            head = pooled(w.head(), DebertaV2Config.of(config), 1);
        }

        @Override
        protected MultipleChoiceModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor states = deberta.forward(Heads.flattenChoices(in), trace); // [B * choices, S, H]
            return Heads.multipleChoice(head.forward(states), in, trace);
        }

        /** From a folder or an id. */
        public static DebertaV2ForMultipleChoice fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DebertaV2ForMultipleChoice fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DebertaV2ForMultipleChoice.class, options);
        }
    }
}
