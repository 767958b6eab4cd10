package dev.headstart.models;

import dev.headstart.generation.KvCache;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.GroupedAttention;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Memory;
import dev.headstart.nn.Recompute;
import dev.headstart.nn.RmsNorm;
import dev.headstart.nn.Rotary;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntPredicate;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The decoder of the Llama kind (Touvron et al. 2023): rotary positions, RMSNorm, grouped-query attention, gated feed-forward. Families differ by their
 * {@link Spec} alone. B batch, S length, E hidden size, h heads, kv key-value heads, d head size, I intermediate size.
 */
final class Decoder extends CausalBody {
    /**
     * What a family's configuration says.
     *
     * @param queryKeyNorm whether each head's queries and keys are normalised (Qwen3, Gemma 3)
     * @param normOffset whether norms count their weight from 1 (Gemma)
     * @param fourNorms whether the outputs of attention and feed-forward are normalised too (Gemma)
     * @param embedScale factor on the embedded tokens
     * @param scale factor on the attention scores
     * @param scoreCap soft bound of the attention scores, 0 for none
     * @param windows each layer's sliding window, 0 for none
     * @param ropes each layer's rotary embedding
     * @param bothWays whether tokens see what follows them (Gemma as an encoder)
     */
    record Spec(
            int vocabSize,
            int hiddenSize,
            int intermediateSize,
            int heads,
            int keyValueHeads,
            int headDim,
            Activation activation,
            double normEps,
            boolean queryKeyValueBias,
            boolean outputBias,
            boolean mlpBias,
            boolean queryKeyNorm,
            boolean normOffset,
            boolean fourNorms,
            double embedScale,
            double scale,
            double scoreCap,
            double attentionDropout,
            int padTokenId,
            List<Integer> windows,
            List<Rotary.Spec> ropes,
            boolean bothWays) {}

    /**
     * A family's defaults.
     *
     * @param keyValueHeads 0 for as many as there are heads
     * @param headDim 0 for an equal share of the hidden size
     */
    record Defaults(
            int vocabSize,
            int hiddenSize,
            int intermediateSize,
            int layers,
            int heads,
            int keyValueHeads,
            int headDim,
            int positions) {}

    /** Reads a {@link Spec} from config.json under the names that all families share; a family sets what it has otherwise. */
    static final class SpecReader {
        private final ConfigJson c;
        private final Defaults absent;
        private final int hiddenSize;
        private final int heads;
        final int headDim;
        final int layers;
        final int positions;
        private Activation activation;
        private boolean queryKeyValueBias;
        private boolean outputBias;
        private boolean mlpBias;
        private boolean queryKeyNorm;
        private boolean gemma;
        private double scale;
        private double scoreCap;
        private boolean bothWays;
        private List<Integer> windows;
        private List<Rotary.Spec> ropes;

        SpecReader(ConfigJson c, Defaults absent) {
            this.c = c;
            this.absent = absent;
            hiddenSize = c.size("hidden_size", absent.hiddenSize);
            heads = c.size("num_attention_heads", absent.heads);
            headDim = c.size("head_dim", absent.headDim > 0 ? absent.headDim : hiddenSize / heads);
            layers = c.size("num_hidden_layers", absent.layers);
            positions = c.size("max_position_embeddings", absent.positions);
            activation = Activation.of(c.text("hidden_act", "silu"));
            scale = 1 / Math.sqrt(headDim);
            windows = Collections.nCopies(layers, 0);
            ropes = Collections.nCopies(
                    layers, RopeConfig.of(c, headDim, positions, "", c.number("rope_theta", 10000), true));
        }

        /** Biases in the whole attention, if {@code attention_bias} asks for them. */
        SpecReader attentionBias() {
            queryKeyValueBias = c.flag("attention_bias", false);
            outputBias = queryKeyValueBias;
            return this;
        }

        /** Biases of queries, keys and values. */
        SpecReader queryKeyValueBias() {
            queryKeyValueBias = true;
            return this;
        }

        /** Biases in the feed-forward, if {@code mlp_bias} asks for them. */
        SpecReader mlpBias() {
            mlpBias = c.flag("mlp_bias", false);
            return this;
        }

        /** Each head's queries and keys are normalised. */
        SpecReader queryKeyNorm() {
            queryKeyNorm = true;
            return this;
        }

        /** Layers that see a window. @param window its size, 0 for none; @param rule which ones, where {@code layer_types} does not say */
        SpecReader windows(int window, IntPredicate rule) {
            windows = SlidingWindows.of(c, layers, window, rule);
            return this;
        }

        /** Rotary embeddings that differ by layer. */
        SpecReader ropes(List<Rotary.Spec> each) {
            ropes = each;
            return this;
        }

        /** Gemma's ways: scaled embeddings, norms that count from 1 and on outputs too. */
        SpecReader gemma() {
            gemma = true;
            activation = Activation.of(c.text("hidden_activation", "gelu_pytorch_tanh"));
            scale = 1 / Math.sqrt(c.number("query_pre_attn_scalar", 256));
            return attentionBias();
        }

        /** Soft bound of the attention scores, 0 for none. */
        SpecReader scoreCap(double cap) {
            scoreCap = cap;
            return this;
        }

        /** Whether tokens see what follows them. */
        SpecReader bothWays(boolean both) {
            bothWays = both;
            return this;
        }

        Spec spec() {
            return new Spec(
                    c.size("vocab_size", absent.vocabSize),
                    hiddenSize,
                    c.size("intermediate_size", absent.intermediateSize),
                    heads,
                    c.size("num_key_value_heads", absent.keyValueHeads > 0 ? absent.keyValueHeads : heads),
                    headDim,
                    activation,
                    c.number("rms_norm_eps", 1e-6),
                    queryKeyValueBias,
                    outputBias,
                    mlpBias,
                    queryKeyNorm,
                    gemma,
                    gemma,
                    gemma ? (float) Math.sqrt(hiddenSize) : 1,
                    scale,
                    scoreCap,
                    c.number("attention_dropout", 0),
                    c.integer("pad_token_id", gemma ? 0 : -1),
                    windows,
                    ropes,
                    bothWays);
        }
    }

    private final Spec c;
    private final Embedding embedTokens;
    private final List<DecoderLayer> layers = new ArrayList<>();
    private final RmsNorm norm;
    private final List<Rotary> ropes = new ArrayList<>(); // one a layer; layers of one kind share it
    private final Scalar embedScale;

    Decoder(Weights w, Spec c) {
        this.c = c;
        embedTokens = w.sub("embed_tokens").embedding(c.vocabSize, c.hiddenSize, c.padTokenId);
        Map<Rotary.Spec, Rotary> made = new LinkedHashMap<>();
        for (int i = 0; i < c.windows.size(); i++) {
            layers.add(new DecoderLayer(w.sub("layers." + i), c, i));
            ropes.add(made.computeIfAbsent(c.ropes.get(i), s -> new Rotary(s, w.device())));
        }
        w.state().positionsDoNotEnd();
        norm = w.sub("norm").rmsNorm(c.hiddenSize, c.normEps, c.normOffset);
        embedScale = Memory.keep(new Scalar(c.embedScale));
    }

    // === Layers ===

    /** Self-attention whose queries share keys and values in groups (transformers LlamaAttention and its kin). */
    private static final class DecoderAttention {
        private final Linear q;
        private final Linear k;
        private final Linear v;
        private final Linear o;
        private final @Nullable RmsNorm qNorm;
        private final @Nullable RmsNorm kNorm;
        private final Dropout dropout;
        private final Spec c;
        private final int layer;

        DecoderAttention(Weights w, Spec c, int layer) {
            this.c = c;
            this.layer = layer;
            q = w.sub("q_proj").linear(c.hiddenSize, (long) c.heads * c.headDim, c.queryKeyValueBias);
            k = w.sub("k_proj").linear(c.hiddenSize, (long) c.keyValueHeads * c.headDim, c.queryKeyValueBias);
            v = w.sub("v_proj").linear(c.hiddenSize, (long) c.keyValueHeads * c.headDim, c.queryKeyValueBias);
            o = w.sub("o_proj").linear((long) c.heads * c.headDim, c.hiddenSize, c.outputBias);
            qNorm = c.queryKeyNorm ? w.sub("q_norm").rmsNorm(c.headDim, c.normEps, c.normOffset) : null;
            kNorm = c.queryKeyNorm ? w.sub("k_norm").rmsNorm(c.headDim, c.normEps, c.normOffset) : null;
            dropout = w.dropout(c.attentionDropout);
            Linear.join(q, k, v);
        }

        /** @param x [B, S, E]; @return [B, S, E] */
        Tensor forward(Tensor x, Rotary.Angles at, CausalMask mask, @Nullable KvCache cache, Trace trace) {
            Tensor[] qkv = Linear.forAttention(x, true, q, k, v); // [B, S, h d], [B, S, kv d] twice
            Tensor query = Attention.splitHeads(qkv[0], c.heads); // [B, h, S, d]
            Tensor key = Attention.splitHeads(qkv[1], c.keyValueHeads); // [B, kv, S, d]
            Tensor value = Attention.splitHeads(qkv[2], c.keyValueHeads);
            if (qNorm != null && kNorm != null) {
                query = qNorm.forward(query);
                key = kNorm.forward(key);
            }
            query = Rotary.rotate(query, at);
            key = Rotary.rotate(key, at);
            if (cache != null) {
                KvCache.KeysValues all = cache.update(layer, key, value); // [B, kv, L, d]
                key = all.keys();
                value = all.values();
            }
            Tensor context = GroupedAttention.attend(
                    query,
                    key,
                    value,
                    mask.of(c.windows.get(layer)),
                    mask.causal(c.windows.get(layer)),
                    c.scale,
                    c.scoreCap,
                    dropout,
                    trace); // [B, h, S, d]
            return o.forward(Attention.mergeHeads(context)); // [B, S, E]
        }
    }

    /** Attention and gated feed-forward (Shazeer 2020), pre-norm, in Gemma with norms on their outputs too (LlamaDecoderLayer, Gemma2DecoderLayer). */
    private static final class DecoderLayer {
        private final RmsNorm inputNorm;
        private final DecoderAttention attention;
        private final RmsNorm afterAttention; // Gemma: on the output of attention; others: before the feed-forward
        private final @Nullable RmsNorm beforeMlp;
        private final @Nullable RmsNorm afterMlp;
        private final Linear gate;
        private final Linear up;
        private final Linear down;
        private final Activation activation;

        DecoderLayer(Weights w, Spec c, int layer) {
            inputNorm = w.sub("input_layernorm").rmsNorm(c.hiddenSize, c.normEps, c.normOffset);
            attention = new DecoderAttention(w.sub("self_attn"), c, layer);
            afterAttention = w.sub("post_attention_layernorm").rmsNorm(c.hiddenSize, c.normEps, c.normOffset);
            beforeMlp = c.fourNorms
                    ? w.sub("pre_feedforward_layernorm").rmsNorm(c.hiddenSize, c.normEps, c.normOffset)
                    : null;
            afterMlp = c.fourNorms
                    ? w.sub("post_feedforward_layernorm").rmsNorm(c.hiddenSize, c.normEps, c.normOffset)
                    : null;
            gate = w.sub("mlp.gate_proj").linear(c.hiddenSize, c.intermediateSize, c.mlpBias);
            up = w.sub("mlp.up_proj").linear(c.hiddenSize, c.intermediateSize, c.mlpBias);
            down = w.sub("mlp.down_proj").linear(c.intermediateSize, c.hiddenSize, c.mlpBias);
            activation = c.activation;
        }

        /** @param x [B, S, E]; @return [B, S, E] */
        Tensor forward(Tensor x, Rotary.Angles at, CausalMask mask, @Nullable KvCache cache, Trace trace) {
            Tensor attended = attention.forward(inputNorm.forward(x), at, mask, cache, trace); // [B, S, E]
            if (beforeMlp == null || afterMlp == null) {
                x = x.add(attended);
                return down.forwardAndAdd(inner(afterAttention.forward(x)), x);
            }
            x = x.add(afterAttention.forward(attended));
            return x.add(afterMlp.forward(down.forward(inner(beforeMlp.forward(x)))));
        }

        private Tensor inner(Tensor x) {
            return gate.forward(x, activation).mul(up.forward(x)); // [B, S, I]
        }
    }

    // === Body ===

    @Override
    Tensor embed(Tensor ids) {
        Tensor x = embedTokens.forward(Checks.ids(ids, "input_ids", c.vocabSize)); // [B, S, E]
        return c.embedScale == 1 ? x : x.mul(embedScale);
    }

    @Override
    Tensor begin(Tensor embedded, Tensor positions, @Nullable Inputs in) {
        return embedded;
    }

    @Override
    Tensor layers(Tensor x, Tensor positions, CausalMask mask, @Nullable KvCache cache, Trace trace) {
        Map<Rotary, Rotary.Angles> angles = new LinkedHashMap<>();
        c.windows.forEach(mask::of); // made here, where they outlive the layers' own scopes
        for (int i = 0; i < layers.size(); i++) {
            Tensor input = trace.hidden(x);
            Rotary.Angles at = angles.computeIfAbsent(ropes.get(i), r -> r.angles(positions, input));
            DecoderLayer layer = layers.get(i);
            x = Recompute.active()
                    ? Recompute.layer(input, y -> layer.forward(y, at, mask, cache, trace))
                    : Memory.local(() -> layer.forward(input, at, mask, cache, trace));
        }
        return trace.hidden(norm.forward(x));
    }

    @Override
    Embedding words() {
        return embedTokens;
    }

    @Override
    int depth() {
        return layers.size();
    }

    @Override
    int width() {
        return c.hiddenSize;
    }

    @Override
    boolean seesBothWays() {
        return c.bothWays;
    }
}
