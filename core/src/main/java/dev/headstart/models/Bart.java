package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.embedding;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.generation.KvCache;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.Init;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Recompute;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * BART (Lewis et al. 2020, "BART: Denoising Sequence-to-Sequence Pre-training"), and what the families built on it share: {@linkplain MBart mBART},
 * {@linkplain Marian}, {@linkplain Pegasus}, {@linkplain M2M100 M2M-100} differ by few choices. Reference: transformers {@code modeling_bart.py} and its
 * kin. B batch, S source length, T target length, E hidden size, F feed-forward size, h heads, d head size, L keys.
 */
public final class Bart {
    /** The classes of BART. */
    static final Family FAMILY = Family.of("bart", "model")
            .add("BartModel", BartModel::new)
            .add("BartForConditionalGeneration", BartForConditionalGeneration::new)
            .add("BartForSequenceClassification", BartForSequenceClassification::new)
            .add("BartForQuestionAnswering", BartForQuestionAnswering::new)
            .add("BartForCausalLM", BartForCausalLM::new);

    private Bart() {}

    /** How positions become vectors. */
    private enum Positions {
        /** Learned, the table's first two rows unused. */
        LEARNED,
        /** Sinusoidal. */
        SINUSOIDAL,
        /** Sinusoidal with fairseq's rates, counted from the ids: padding is 0, the first token pad + 1. */
        FAIRSEQ
    }

    /** What a family chooses; the rest is config.json's. @param preNorm norms before attention and feed-forward, and after the last layer */
    private record Kind(
            Positions positions,
            boolean preNorm,
            boolean embeddingNorm,
            boolean scaled,
            boolean logitsBias,
            double attentionDropout,
            String activation,
            int vocabSize,
            @Nullable Integer start,
            int pad) {
        static Kind of(ConfigJson c) {
            return switch (c.modelType()) {
                case "marian" ->
                    new Kind(Positions.SINUSOIDAL, false, false, false, true, 0, "gelu", 58101, 58100, 58100);
                case "pegasus" -> new Kind(Positions.SINUSOIDAL, true, false, false, true, 0, "gelu", 50265, 0, 0);
                case "m2m_100" -> new Kind(Positions.FAIRSEQ, true, false, true, false, 0.1, "relu", 128112, 2, 1);
                case "mbart" -> new Kind(Positions.LEARNED, true, true, false, true, 0, "gelu", 50265, null, 1);
                default -> new Kind(Positions.LEARNED, false, true, false, true, 0, "gelu", 50265, 2, 1);
            };
        }

        Seq2Seq.Special special() {
            return new Seq2Seq.Special(start, pad);
        }
    }

    /** The configuration under transformers' field names. */
    private record BartConfig(
            Kind kind,
            int vocabSize,
            int decoderVocabSize,
            boolean sharedEmbeddings,
            int maxPositions,
            int dModel,
            Activation activation,
            double dropout,
            double attentionDropout,
            double activationDropout,
            double embedScale,
            int pad) {
        static BartConfig of(ConfigJson c) {
            Kind kind = Kind.of(c);
            int vocabulary = c.size("vocab_size", kind.vocabSize);
            boolean shared = c.flag("share_encoder_decoder_embeddings", true);
            int width = c.size("d_model", 1024);
            return new BartConfig(
                    kind,
                    vocabulary,
                    shared ? vocabulary : c.size("decoder_vocab_size", vocabulary),
                    shared,
                    c.size("max_position_embeddings", 1024),
                    width,
                    Activation.of(c.text("activation_function", kind.activation)),
                    c.number("dropout", 0.1),
                    c.number("attention_dropout", kind.attentionDropout),
                    c.number("activation_dropout", 0),
                    c.flag("scale_embedding", kind.scaled) ? Math.sqrt(width) : 1,
                    c.integer("pad_token_id", kind.pad));
        }
    }

    // === Layers ===

    /** Multi-head attention (transformers BartAttention). */
    private static final class BartAttention {
        private final Linear q;
        private final Linear k;
        private final Linear v;
        private final Linear out;
        private final Dropout dropout;
        private final int heads;
        private final int layer;
        private final double scale;

        BartAttention(Weights w, BartConfig c, int heads, int layer, boolean self) {
            this.heads = Checks.heads(c.dModel, heads);
            this.layer = layer;
            q = w.sub("q_proj").linear(c.dModel, c.dModel);
            k = w.sub("k_proj").linear(c.dModel, c.dModel);
            v = w.sub("v_proj").linear(c.dModel, c.dModel);
            out = w.sub("out_proj").linear(c.dModel, c.dModel);
            dropout = w.dropout(c.attentionDropout);
            scale = 1 / Math.sqrt((double) c.dModel / heads);
            if (self) {
                Linear.join(q, k, v);
            }
        }

        /** @param x [B, S, E]; @return [B, S, E] */
        Tensor self(Tensor x, @Nullable Tensor mask, @Nullable KvCache cache, Trace trace) {
            Tensor[] qkv = Attention.project(x, heads, q, k, v); // [B, h, S, d] each
            Tensor key = qkv[1];
            Tensor value = qkv[2];
            if (cache != null) {
                KvCache.KeysValues all = cache.update(layer, key, value); // [B, h, L, d]
                key = all.keys();
                value = all.values();
            }
            return out.forward(Attention.mergeHeads(Attention.attend(qkv[0], key, value, mask, scale, dropout, trace)));
        }

        /** @param x [B, T, E]; @return [B, T, E] */
        Tensor cross(Tensor x, Seq2Seq.Step step) {
            Tensor query = Attention.splitHeads(q.forward(x), heads); // [B, h, T, d]
            return out.forward(Attention.mergeHeads(step.attend(layer, query, heads, k, v, scale, dropout)));
        }
    }

    /** Self attention, attention over the source in a decoder, feed-forward (transformers BartEncoderLayer, BartDecoderLayer). */
    private static final class BartLayer {
        private final BartAttention self;
        private final LayerNorm selfNorm;
        private final @Nullable BartAttention cross;
        private final @Nullable LayerNorm crossNorm;
        private final Linear fc1;
        private final Linear fc2;
        private final LayerNorm finalNorm;
        private final Dropout dropout;
        private final Dropout inner;
        private final Activation activation;
        private final boolean preNorm;

        BartLayer(Weights w, BartConfig c, int heads, int ffn, int layer, boolean decoder) {
            self = new BartAttention(w.sub("self_attn"), c, heads, layer, true);
            selfNorm = w.sub("self_attn_layer_norm").layerNorm(c.dModel, 1e-5);
            cross = decoder ? new BartAttention(w.sub("encoder_attn"), c, heads, layer, false) : null;
            crossNorm = decoder ? w.sub("encoder_attn_layer_norm").layerNorm(c.dModel, 1e-5) : null;
            fc1 = w.sub("fc1").linear(c.dModel, ffn);
            fc2 = w.sub("fc2").linear(ffn, c.dModel);
            finalNorm = w.sub("final_layer_norm").layerNorm(c.dModel, 1e-5);
            dropout = w.dropout(c.dropout);
            inner = w.dropout(c.activationDropout);
            activation = c.activation;
            preNorm = c.kind.preNorm;
        }

        /** @param x [B, S, E]; @return [B, S, E] */
        Tensor forward(Tensor x, @Nullable Tensor mask, Trace trace, Seq2Seq.@Nullable Step step) {
            KvCache cache = step == null ? null : step.cache();
            x = after(selfNorm, x.add(dropout.forward(self.self(before(selfNorm, x), mask, cache, trace))));
            if (cross != null && crossNorm != null && step != null && step.encoded() != null) {
                x = after(crossNorm, x.add(dropout.forward(cross.cross(before(crossNorm, x), step))));
            }
            Tensor h = inner.forward(fc1.forward(before(finalNorm, x), activation)); // [B, S, F]
            return after(finalNorm, x.add(dropout.forward(fc2.forward(h))));
        }

        private Tensor before(LayerNorm norm, Tensor x) {
            return preNorm ? norm.forward(x) : x;
        }

        private Tensor after(LayerNorm norm, Tensor x) {
            return preNorm ? x : norm.forward(x);
        }
    }

    /** Encoder or decoder. */
    private static final class BartStack {
        private final BartConfig c;
        private final Embedding words;
        private final @Nullable Parameter positions;
        private final @Nullable LayerNorm embeddingNorm;
        private final @Nullable LayerNorm norm;
        private final List<BartLayer> layers = new ArrayList<>();
        private final Dropout dropout;
        private final String name;

        BartStack(Weights w, ConfigJson config, BartConfig c, Embedding words, String side) {
            this.c = c;
            this.words = w.sub("embed_tokens").tiedEmbedding(words, c.pad);
            boolean decoder = side.equals("decoder");
            name = decoder ? "decoder_input_ids" : "input_ids";
            positions = positions(w.sub("embed_positions"), c);
            embeddingNorm = c.kind.embeddingNorm ? w.sub("layernorm_embedding").layerNorm(c.dModel, 1e-5) : null;
            norm = c.kind.preNorm ? w.sub("layer_norm").layerNorm(c.dModel, 1e-5) : null;
            int heads = config.size(side + "_attention_heads", 16);
            int ffn = config.size(side + "_ffn_dim", 4096);
            int depth = config.size(side + "_layers", 12);
            for (int i = 0; i < depth; i++) {
                layers.add(new BartLayer(w.sub("layers." + i), c, heads, ffn, i, decoder));
            }
            dropout = w.dropout(c.dropout);
        }

        /** The table of learned positions, or the sinusoids where the checkpoint stores them; null where they are computed. */
        private static @Nullable Parameter positions(Weights w, BartConfig c) {
            if (c.kind.positions == Positions.LEARNED) {
                return w.embedding(c.maxPositions + 2L, c.dModel).weight();
            }
            if (c.kind.positions == Positions.FAIRSEQ) { // computed as far as a text goes
                w.state().positionsDoNotEnd();
                return null;
            }
            List<Long> stored = w.shapeOf("weight");
            return stored == null ? null : w.buffer("weight", Init.ZEROS, c.maxPositions, c.dModel);
        }

        /** @param at positions counted from 0, [B or 1, S], null for those of a whole text; @return [B, S, E] */
        Tensor forward(
                @Nullable Tensor ids,
                @Nullable Tensor embeds,
                @Nullable Tensor at,
                @Nullable Tensor mask,
                Trace trace,
                Seq2Seq.@Nullable Step step) {
            Tensor x = embeds;
            if (x == null) {
                if (ids == null) {
                    throw new HeadstartException(name + " is missing; give " + name + " or its embeddings");
                }
                Tensor known = Checks.ids(ids, name, words.weight().size(0));
                x = words.forward(known);
                x = c.embedScale == 1 ? x : x.mul(new Scalar(c.embedScale)); // [B, S, E]
            }
            boolean whole = step == null || step.cache() == null;
            x = x.add(places(ids, x, at != null ? at : Places.upTo(x.size(1), x).unsqueeze(0), whole));
            x = dropout.forward(embeddingNorm == null ? x : embeddingNorm.forward(x));
            if (Recompute.active()) {
                x = again(x, mask, trace, step == null ? null : step.forgetful());
            } else {
                for (BartLayer layer : layers) {
                    x = layer.forward(trace.hidden(x), mask, trace, step);
                }
            }
            return trace.hidden(norm == null ? x : norm.forward(x));
        }

        /** The layers, each of which is computed again for its gradients. */
        private Tensor again(Tensor start, @Nullable Tensor mask, Trace trace, Seq2Seq.@Nullable Step step) {
            Tensor x = start;
            Tensor encoded = step == null ? null : step.encoded();
            for (BartLayer layer : layers) {
                List<Tensor> inputs = encoded == null ? List.of(trace.hidden(x)) : List.of(trace.hidden(x), encoded);
                x = Recompute.layer(
                        inputs,
                        in -> layer.forward(
                                in.get(0), mask, trace, step == null || encoded == null ? step : step.over(in.get(1))));
            }
            return x;
        }

        private Tensor places(@Nullable Tensor ids, Tensor x, Tensor at, boolean whole) {
            if (c.kind.positions == Positions.FAIRSEQ) {
                Tensor counted = at.add(new Scalar((long) c.pad + 1));
                if (ids == null) {
                    return Places.sinusoids(counted, x, c.dModel, c.dModel / 2 - 1);
                }
                Tensor real = ids.ne(new Scalar((long) c.pad)).to(ScalarType.Long); // [B, S]
                if (whole) {
                    counted = real.cumsum(1).add(new Scalar((long) c.pad));
                }
                Tensor vectors = Places.sinusoids(counted, x, c.dModel, c.dModel / 2 - 1);
                return vectors.mul(real.unsqueeze(-1).to(Ops.type(x))); // padding has the table's row of zeros
            }
            Parameter table = positions;
            if (table == null) {
                return Places.sinusoids(at, x, c.dModel, c.dModel / 2.0);
            }
            // on a GPU looking would stall every step of decoding, which ends at the table by itself
            long most = at.is_cuda() ? x.size(1) : at.max().item_long() + 1;
            Checks.length(most, c.maxPositions);
            Tensor rows = c.kind.positions == Positions.LEARNED ? at.add(new Scalar(2L)) : at;
            return embedding(table.tensor(), rows, -1, false, false);
        }
    }

    /** Encoder and decoder over one table of words, or one each. */
    static final class BartBody extends Seq2Seq.Body {
        private final BartConfig c;
        private final Embedding target;
        private final BartStack encoder;
        private final BartStack decoder;

        BartBody(Weights w, ConfigJson config) {
            super(config, Kind.of(config).special());
            c = BartConfig.of(config);
            Embedding source;
            // untied, each side has a table of its own; the shared one is then kept, but read by nobody
            boolean own = !config.flag("tie_word_embeddings", true)
                    && w.has("encoder.embed_tokens.weight")
                    && w.has("decoder.embed_tokens.weight");
            if (own && w.has("shared.weight")) {
                w.sub("shared").embedding(c.vocabSize, c.dModel, c.pad);
            }
            if (c.sharedEmbeddings && !own) {
                String at = !w.has("shared.weight") && w.has("encoder.embed_tokens.weight")
                        ? "encoder.embed_tokens"
                        : "shared";
                source = w.sub(at).embedding(c.vocabSize, c.dModel, c.pad);
                target = source;
            } else {
                source = w.sub("encoder.embed_tokens").embedding(c.vocabSize, c.dModel, c.pad);
                target = w.sub("decoder.embed_tokens").embedding(c.decoderVocabSize, c.dModel, c.pad);
            }
            encoder = new BartStack(w.sub("encoder"), config, c, source, "encoder");
            decoder = new BartStack(w.sub("decoder"), config, c, target, "decoder");
        }

        @Override
        Tensor encode(@Nullable Tensor ids, @Nullable Tensor embeds, @Nullable Tensor mask, Trace trace) {
            Tensor hidden =
                    Attention.additiveMask(mask, Ops.type(target.weight().tensor()));
            return encoder.forward(ids, embeds, null, hidden, trace, null);
        }

        @Override
        Tensor decode(@Nullable Tensor ids, @Nullable Tensor embeds, Tensor positions, Seq2Seq.Step step) {
            return decoder.forward(ids, embeds, positions, step.mask().of(0), step.self(), step);
        }

        @Override
        Embedding words() {
            return target;
        }

        @Override
        int depth() {
            return decoder.layers.size();
        }

        @Override
        boolean shiftsSource() {
            return c.kind.positions == Positions.LEARNED;
        }

        /** mBART has no start token: the last token of each row, its language, comes first. */
        @Override
        Tensor shift(Tensor labels) {
            if (c.kind.start != null) {
                return super.shift(labels);
            }
            Tensor real = labels.masked_fill(labels.eq(new Scalar(-100L)), new Scalar((long) c.pad)); // [B, T]
            Tensor last =
                    real.ne(new Scalar((long) c.pad)).sum(1).sub(new Scalar(1L)).unsqueeze(-1); // [B, 1]
            Tensor first = real.gather(1, last); // [B, 1]
            return cat(new TensorVector(first, real.narrow(1, 0, real.size(1) - 1)), 1);
        }
    }

    /** The decoder without an encoder. */
    static final class DecoderBody extends Seq2Seq.Body {
        private final Embedding target;
        private final BartStack decoder;

        DecoderBody(Weights w, ConfigJson config) {
            super(config, Kind.of(config).special());
            BartConfig c = BartConfig.of(config);
            target = w.sub("decoder.embed_tokens").embedding(c.decoderVocabSize, c.dModel, c.pad);
            decoder = new BartStack(w.sub("decoder"), config, c, target, "decoder");
        }

        @Override
        Tensor encode(@Nullable Tensor ids, @Nullable Tensor embeds, @Nullable Tensor mask, Trace trace) {
            throw new IllegalStateException("a decoder alone has no encoder");
        }

        @Override
        Tensor decode(@Nullable Tensor ids, @Nullable Tensor embeds, Tensor positions, Seq2Seq.Step step) {
            return decoder.forward(ids, embeds, positions, step.mask().of(0), step.self(), step);
        }

        @Override
        Embedding words() {
            return target;
        }

        @Override
        int depth() {
            return decoder.layers.size();
        }
    }

    // === What the families' classes share ===

    /** Encoder and decoder without a head. */
    abstract static class BartBase extends Seq2Seq.Seq2SeqModel {
        BartBase(Weights w, ConfigJson config) {
            super(w, config, BartBody::new);
        }
    }

    /** The output layer over encoder and decoder. */
    abstract static class BartLM extends Seq2Seq.Seq2SeqLM {
        BartLM(Weights w, ConfigJson config) {
            super(
                    w,
                    config,
                    BartBody::new,
                    "model",
                    Kind.of(config).logitsBias,
                    config.flag("tie_word_embeddings", true),
                    1,
                    config.size("max_position_embeddings", 1024));
        }
    }

    /** Classes of a text by the decoder's state at its end token. */
    abstract static class BartClassifier extends Seq2SeqHeads.Seq2SeqClassifier {
        /** @param labels the family's default number of classes */
        BartClassifier(Weights w, ConfigJson config, int labels) {
            super(w, config, BartBody::new, "model", 2, labels);
        }
    }

    /** Start and end of the answer. */
    abstract static class BartAnswers extends Seq2SeqHeads.Seq2SeqQuestionAnswering {
        BartAnswers(Weights w, ConfigJson config) {
            super(w, config, BartBody::new, "model");
        }
    }

    /** The decoder alone, next token. */
    abstract static class BartDecoderLM extends Seq2SeqHeads.DecoderLM {
        BartDecoderLM(Weights w, ConfigJson config) {
            super(w, config, DecoderBody::new, config.size("max_position_embeddings", 1024));
        }
    }

    // === Models ===

    /** BART without a head: states of encoder and decoder. */
    public static final class BartModel extends BartBase {
        BartModel(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static BartModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BartModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BartModel.class, options);
        }
    }

    /** BART, text to text: summaries. */
    public static final class BartForConditionalGeneration extends BartLM {
        BartForConditionalGeneration(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static BartForConditionalGeneration fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BartForConditionalGeneration fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BartForConditionalGeneration.class, options);
        }
    }

    /** BART, classes of a text: entailment, above all. */
    public static final class BartForSequenceClassification extends BartClassifier {
        BartForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, 3);
        }

        /** From a folder or an id. */
        public static BartForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BartForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BartForSequenceClassification.class, options);
        }
    }

    /** BART, start and end of the answer in a text. */
    public static final class BartForQuestionAnswering extends BartAnswers {
        BartForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static BartForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BartForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BartForQuestionAnswering.class, options);
        }
    }

    /** BART's decoder, next token. */
    public static final class BartForCausalLM extends BartDecoderLM {
        BartForCausalLM(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static BartForCausalLM fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static BartForCausalLM fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, BartForCausalLM.class, options);
        }
    }
}
