package dev.headstart.models;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.generation.EncoderStates;
import dev.headstart.generation.KvCache;
import dev.headstart.models.Outputs.BaseModelOutput;
import dev.headstart.models.Outputs.TokenClassifierOutput;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.Init;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Recompute;
import dev.headstart.nn.RmsNorm;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * T5 (Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer"), also 1.1 and Flan, and {@linkplain MT5 mT5}:
 * pre-norm without means or biases, relative position buckets shared by the layers, unscaled attention. Reference: transformers
 * {@code modeling_t5.py}. B batch, S source length, T target length, E hidden size, h heads, d head size.
 */
public final class T5 {
    /** The classes of T5. */
    static final Family FAMILY = Family.of("t5", "transformer")
            .add("T5Model", T5Model::new)
            .add("T5ForConditionalGeneration", T5ForConditionalGeneration::new)
            .add("T5EncoderModel", T5EncoderModel::new)
            .add("T5ForSequenceClassification", T5ForSequenceClassification::new)
            .add("T5ForTokenClassification", T5ForTokenClassification::new)
            .add("T5ForQuestionAnswering", T5ForQuestionAnswering::new);

    private T5() {}

    /** T5Config and MT5Config: transformers' field names and defaults. */
    record T5Config(
            int vocabSize,
            int dModel,
            int dKv,
            int dFf,
            int numLayers,
            int numDecoderLayers,
            int numHeads,
            int buckets,
            int maxDistance,
            double dropoutRate,
            double layerNormEpsilon,
            double initializerFactor,
            boolean gated,
            Activation activation) {
        static T5Config of(ConfigJson c) {
            boolean multilingual = c.modelType().equals("mt5");
            int layers = c.size("num_layers", multilingual ? 8 : 6);
            String projection = c.text("feed_forward_proj", multilingual ? "gated-gelu" : "relu");
            boolean gated = projection.startsWith("gated-");
            if (!gated && projection.contains("-")) {
                throw new HeadstartException(c.origin()
                        + ": feed_forward_proj must be an activation, or gated- and one, found " + projection);
            }
            String act = gated ? projection.substring("gated-".length()) : projection;
            return new T5Config(
                    c.size("vocab_size", multilingual ? 250112 : 32128),
                    c.size("d_model", 512),
                    c.size("d_kv", 64),
                    c.size("d_ff", multilingual ? 1024 : 2048),
                    layers,
                    c.size("num_decoder_layers", layers),
                    c.size("num_heads", multilingual ? 6 : 8),
                    c.size("relative_attention_num_buckets", 32),
                    c.size("relative_attention_max_distance", 128),
                    c.number("dropout_rate", 0.1),
                    c.number("layer_norm_epsilon", 1e-6),
                    c.number("initializer_factor", 1.0),
                    c.flag("is_gated_act", gated), // what feed_forward_proj means may stand beside it, and wins
                    Activation.of(c.text("dense_act_fn", projection.equals("gated-gelu") ? "gelu_new" : act)));
        }

        /** A Linear without bias whose new weights start with deviation factor / sqrt(n). */
        Linear linear(Weights w, long in, long out, double n) {
            return w.linear(in, out, false, new Init.Normal(initializerFactor / Math.sqrt(n)));
        }

        Embedding table(Weights w, long rows, long size, double deviation) {
            return w.embedding(rows, size, new Init.Normal(initializerFactor * deviation));
        }
    }

    // === Layers ===

    /** Attention without scaling (transformers T5Attention). */
    private static final class T5Attention {
        private final T5Config c;
        private final Linear q;
        private final Linear k;
        private final Linear v;
        private final Linear o;
        private final Dropout dropout;
        private final int layer;

        T5Attention(Weights w, T5Config c, int layer, boolean self) {
            this.c = c;
            this.layer = layer;
            long inner = (long) c.numHeads * c.dKv;
            q = c.linear(w.sub("q"), c.dModel, inner, (double) c.dModel * c.dKv);
            k = c.linear(w.sub("k"), c.dModel, inner, c.dModel);
            v = c.linear(w.sub("v"), c.dModel, inner, c.dModel);
            o = c.linear(w.sub("o"), inner, c.dModel, inner);
            dropout = w.dropout(c.dropoutRate);
            if (self) {
                Linear.join(q, k, v);
            }
        }

        /** @param x [B, S, E]; @param bias makes what is added to the scores from the number of keys; @return [B, S, E] */
        Tensor self(Tensor x, Bias bias, @Nullable KvCache cache, Trace trace) {
            Tensor[] qkv = Attention.project(x, c.numHeads, q, k, v); // [B, h, S, d] each
            Tensor key = qkv[1];
            Tensor value = qkv[2];
            if (cache != null) {
                KvCache.KeysValues all = cache.update(layer, key, value); // [B, h, L, d]
                key = all.keys();
                value = all.values();
            }
            Tensor context = Attention.attend(qkv[0], key, value, bias.of(key.size(2)), 1.0, dropout, trace);
            return o.forward(Attention.mergeHeads(context));
        }

        /** @param x [B, T, E]; @return [B, T, E] */
        Tensor cross(Tensor x, Seq2Seq.Step step) {
            Tensor query = Attention.splitHeads(q.forward(x), c.numHeads); // [B, h, T, d]
            return o.forward(Attention.mergeHeads(step.attend(layer, query, c.numHeads, k, v, 1.0, dropout)));
        }
    }

    /** What the layers of one call add to their scores: relative positions and mask, made at the first layer. */
    private static final class Bias {
        private final @Nullable T5Stack stack;
        private final @Nullable Tensor positions;
        private final @Nullable Tensor mask;
        private final Seq2Seq.@Nullable Step step;
        private @Nullable Tensor made;

        /** What is made already. */
        Bias(Tensor made) {
            this.stack = null;
            this.positions = null;
            this.mask = null;
            this.step = null;
            this.made = made;
        }

        Bias(T5Stack stack, Tensor positions, @Nullable Tensor mask, Seq2Seq.@Nullable Step step) {
            this.stack = stack;
            this.positions = positions;
            this.mask = mask;
            this.step = step;
        }

        Tensor of(long keys) {
            Tensor b = made;
            if (b == null && stack != null && positions != null) {
                b = step != null && step.cache() != null && positions.numel() == 1 // one token behind all others
                        ? stack.lastBias(step.states(), keys)
                        : stack.relativeBias(positions, keys); // [B or 1, h, S, L]
                b = mask == null ? b : b.add(mask);
                made = b;
            }
            return Objects.requireNonNull(b);
        }
    }

    /** Self attention, attention over the source in a decoder, feed-forward; pre-norm (transformers T5Block). */
    private static final class T5Block {
        private final RmsNorm selfNorm;
        private final T5Attention self;
        private final @Nullable RmsNorm crossNorm;
        private final @Nullable T5Attention cross;
        private final RmsNorm mlpNorm;
        private final Linear wi;
        private final @Nullable Linear gate;
        private final Linear wo;
        private final Dropout dropout;
        private final Activation activation;

        T5Block(Weights w, T5Config c, int layer, boolean decoder) {
            selfNorm = w.sub("layer.0.layer_norm").rmsNorm(c.dModel, c.layerNormEpsilon, false);
            self = new T5Attention(w.sub("layer.0.SelfAttention"), c, layer, true);
            crossNorm = decoder ? w.sub("layer.1.layer_norm").rmsNorm(c.dModel, c.layerNormEpsilon, false) : null;
            cross = decoder ? new T5Attention(w.sub("layer.1.EncDecAttention"), c, layer, false) : null;
            Weights mlp = w.sub(decoder ? "layer.2" : "layer.1");
            mlpNorm = mlp.sub("layer_norm").rmsNorm(c.dModel, c.layerNormEpsilon, false);
            Weights dense = mlp.sub("DenseReluDense");
            gate = c.gated ? c.linear(dense.sub("wi_0"), c.dModel, c.dFf, c.dModel) : null;
            wi = c.linear(dense.sub(c.gated ? "wi_1" : "wi"), c.dModel, c.dFf, c.dModel);
            wo = c.linear(dense.sub("wo"), c.dFf, c.dModel, c.dFf);
            dropout = w.dropout(c.dropoutRate);
            activation = c.activation;
        }

        /** @param x [B, S, E]; @return [B, S, E] */
        Tensor forward(Tensor x, Bias bias, Trace trace, Seq2Seq.@Nullable Step step) {
            KvCache cache = step == null ? null : step.cache();
            x = x.add(dropout.forward(self.self(selfNorm.forward(x), bias, cache, trace)));
            if (cross != null && crossNorm != null && step != null) {
                x = x.add(dropout.forward(cross.cross(crossNorm.forward(x), step)));
            }
            Tensor n = mlpNorm.forward(x);
            Tensor inner = gate == null
                    ? wi.forward(n, activation)
                    : gate.forward(n, activation).mul(wi.forward(n)); // [B, S, F]
            return wo.forwardAndAdd(dropout.forward(inner), x, dropout); // [B, S, E]
        }
    }

    /** Encoder or decoder (transformers T5Stack). */
    private static final class T5Stack {
        private final T5Config c;
        private final boolean decoder;
        private final Embedding words;
        private final Embedding relative;
        private final List<T5Block> blocks = new ArrayList<>();
        private final RmsNorm norm;
        private final Dropout dropout;

        T5Stack(Weights w, T5Config c, Embedding words, boolean decoder) {
            this.c = c;
            this.decoder = decoder;
            this.words = w.sub("embed_tokens").tiedEmbedding(words, -1);
            w.state().positionsDoNotEnd();
            relative = c.table(
                    w.sub("block.0.layer.0.SelfAttention.relative_attention_bias"),
                    c.buckets,
                    c.numHeads,
                    1 / Math.sqrt(c.dModel));
            int layers = decoder ? c.numDecoderLayers : c.numLayers;
            for (int i = 0; i < layers; i++) {
                blocks.add(new T5Block(w.sub("block." + i), c, i, decoder));
            }
            norm = w.sub("final_layer_norm").rmsNorm(c.dModel, c.layerNormEpsilon, false);
            dropout = w.dropout(c.dropoutRate);
        }

        /** @param positions [B or 1, S]; @param mask additive; @return [B, S, E] */
        Tensor forward(
                @Nullable Tensor ids,
                @Nullable Tensor embeds,
                @Nullable Tensor positions,
                @Nullable Tensor mask,
                Trace trace,
                Seq2Seq.@Nullable Step step) {
            Tensor x = dropout.forward(embed(ids, embeds));
            Tensor at =
                    positions != null ? positions : Places.upTo(x.size(1), x).unsqueeze(0);
            Bias bias = new Bias(this, at, mask, step);
            if (Recompute.active()) {
                x = again(x, bias, trace, step == null ? null : step.forgetful());
            } else {
                for (T5Block b : blocks) {
                    x = b.forward(trace.hidden(x), bias, trace, step);
                }
            }
            return trace.hidden(dropout.forward(norm.forward(x)));
        }

        /** The blocks, each of which is computed again for its gradients. */
        private Tensor again(Tensor start, Bias bias, Trace trace, Seq2Seq.@Nullable Step step) {
            Tensor x = start;
            Tensor added = bias.of(x.size(1)); // [B or 1, h, S, S]
            for (T5Block b : blocks) {
                List<Tensor> inputs = step == null
                        ? List.of(trace.hidden(x), added)
                        : List.of(trace.hidden(x), added, Objects.requireNonNull(step.encoded()));
                x = Recompute.layer(
                        inputs,
                        in -> b.forward(
                                in.get(0), new Bias(in.get(1)), trace, step == null ? null : step.over(in.get(2))));
            }
            return x;
        }

        private Tensor embed(@Nullable Tensor ids, @Nullable Tensor embeds) {
            if (embeds != null) {
                return embeds;
            }
            if (ids == null) {
                throw new HeadstartException("input_ids is missing; give input_ids or inputs_embeds");
            }
            return words.forward(Checks.ids(ids, decoder ? "decoder_input_ids" : "input_ids", c.vocabSize));
        }

        /** The bias of a token that comes after {@code keys - 1} others, a part of what is made once a generation; [1, h, 1, L]. */
        Tensor lastBias(EncoderStates states, long keys) {
            long reach = Math.max(64, Long.highestOneBit(2 * keys - 1)); // the next power of two
            Tensor all = states.once("t5-bias-" + reach, () -> {
                Tensor last = Places.upTo(reach, relative.weight().tensor())
                        .narrow(0, reach - 1, 1)
                        .unsqueeze(0); // [1, 1]
                return relativeBias(last, reach).contiguous(); // [1, h, 1, reach]
            });
            return all.narrow(3, reach - keys, keys);
        }

        /** The learned bias of every head for the distance of key and query, [B or 1, h, S, L]. @param positions [B or 1, S] */
        Tensor relativeBias(Tensor positions, long keys) {
            Tensor distance = Places.upTo(keys, positions).view(1, 1, -1).sub(positions.unsqueeze(-1)); // [B, S, L]
            return relative.forward(Places.relativeBuckets(distance, c.buckets, c.maxDistance, !decoder))
                    .permute(0, 3, 1, 2);
        }
    }

    private static final class T5Body extends Seq2Seq.Body {
        private final T5Config c;
        private final Embedding shared;
        private final T5Stack encoder;
        private final T5Stack decoder;

        T5Body(Weights w, ConfigJson config) {
            super(config, special(config));
            c = T5Config.of(config);
            shared = shared(w, c);
            encoder = new T5Stack(w.sub("encoder"), c, shared, false);
            decoder = new T5Stack(w.sub("decoder"), c, shared, true);
        }

        @Override
        Tensor encode(@Nullable Tensor ids, @Nullable Tensor embeds, @Nullable Tensor mask, Trace trace) {
            return encoder.forward(ids, embeds, null, padding(mask, shared), trace, null);
        }

        @Override
        Tensor decode(@Nullable Tensor ids, @Nullable Tensor embeds, Tensor positions, Seq2Seq.Step step) {
            return decoder.forward(ids, embeds, positions, step.mask().of(0), step.self(), step);
        }

        @Override
        Embedding words() {
            return shared;
        }

        @Override
        int depth() {
            return c.numDecoderLayers;
        }
    }

    private static Embedding shared(Weights w, T5Config c) {
        String place =
                !w.has("shared.weight") && w.has("encoder.embed_tokens.weight") ? "encoder.embed_tokens" : "shared";
        return c.table(w.sub(place), c.vocabSize, c.dModel, 1.0);
    }

    private static @Nullable Tensor padding(@Nullable Tensor mask, Embedding like) {
        return Attention.additiveMask(mask, Ops.type(like.weight().tensor()));
    }

    private static Seq2Seq.Special special(ConfigJson c) {
        return new Seq2Seq.Special(c.modelType().equals("mt5") ? Integer.valueOf(0) : null, 0);
    }

    // === Models ===

    /** Encoder and decoder without a head. */
    public static class T5Model extends Seq2Seq.Seq2SeqModel {
        T5Model(Weights w, ConfigJson config) {
            super(w, config, T5Body::new);
        }

        /** From a folder or an id. */
        public static T5Model fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static T5Model fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, T5Model.class, options);
        }
    }

    /** Text to text. */
    public static class T5ForConditionalGeneration extends Seq2Seq.Seq2SeqLM {
        T5ForConditionalGeneration(Weights w, ConfigJson config) {
            super(w, config, T5Body::new, "", false, true, scale(config), 0);
        }

        /** T5 1.0 scales what its tied output layer reads; 1.1 and mT5 do not. */
        private static double scale(ConfigJson config) {
            boolean scaled = !config.modelType().equals("mt5")
                    && config.flag("scale_decoder_outputs", config.flag("tie_word_embeddings", true));
            return scaled ? 1 / Math.sqrt(T5Config.of(config).dModel) : 1;
        }

        /** From a folder or an id. */
        public static T5ForConditionalGeneration fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static T5ForConditionalGeneration fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, T5ForConditionalGeneration.class, options);
        }
    }

    /** The encoder. */
    private static final class T5Encoder {
        private final T5Config c;
        private final Embedding shared;
        private final T5Stack stack;

        T5Encoder(Weights w, ConfigJson config) {
            c = T5Config.of(config);
            shared = shared(w, c);
            stack = new T5Stack(w.sub("encoder"), c, shared, false);
        }

        /** @return [B, S, E] */
        Tensor forward(Inputs in, Trace trace) {
            return stack.forward(
                    in.optional("input_ids"),
                    in.optional("inputs_embeds"),
                    null,
                    padding(in.optional("attention_mask"), shared),
                    trace,
                    null);
        }
    }

    /** The encoder alone. */
    public static class T5EncoderModel extends PreTrainedModel<BaseModelOutput> {
        private final T5Encoder encoder;

        T5EncoderModel(Weights w, ConfigJson config) {
            super(w, config);
            encoder = new T5Encoder(w, config);
        }

        @Override
        protected BaseModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = encoder.forward(in, trace); // [B, S, E]
            return new BaseModelOutput(x, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static T5EncoderModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static T5EncoderModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, T5EncoderModel.class, options);
        }
    }

    /** Classes of a text by the decoder's state at its end token. */
    public static class T5ForSequenceClassification extends Seq2SeqHeads.Seq2SeqClassifier {
        T5ForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, T5Body::new, "transformer", 1, 2);
        }

        /** From a folder or an id. */
        public static T5ForSequenceClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static T5ForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, T5ForSequenceClassification.class, options);
        }
    }

    /** Classes of each token, by the encoder. */
    public static class T5ForTokenClassification extends PreTrainedModel<TokenClassifierOutput> {
        private final T5Encoder encoder;
        private final Dropout dropout;
        private final Linear classifier;

        T5ForTokenClassification(Weights w, ConfigJson config) {
            super(w, config);
            encoder = new T5Encoder(w.sub("transformer"), config);
            dropout = w.dropout(config.number("classifier_dropout", 0));
            classifier = w.head().sub("classifier").linear(encoder.c.dModel, config.numLabels());
        }

        @Override
        protected TokenClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = classifier.forward(dropout.forward(encoder.forward(in, trace))); // [B, S, C]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.crossEntropy(logits, labels);
            return new TokenClassifierOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static T5ForTokenClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static T5ForTokenClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, T5ForTokenClassification.class, options);
        }
    }

    /** Answers in a text. */
    public static class T5ForQuestionAnswering extends Seq2SeqHeads.Seq2SeqQuestionAnswering {
        T5ForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, T5Body::new, "");
        }

        /** From a folder or an id. */
        public static T5ForQuestionAnswering fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static T5ForQuestionAnswering fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, T5ForQuestionAnswering.class, options);
        }
    }
}
