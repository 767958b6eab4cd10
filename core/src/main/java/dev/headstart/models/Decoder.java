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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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
            ropes.add(made.computeIfAbsent(
                    c.ropes.get(i), s -> new Rotary(s, embedTokens.weight().tensor())));
        }
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
        }

        /** @param x [B, S, E]; @return [B, S, E] */
        Tensor forward(Tensor x, Rotary.Angles at, CausalMask mask, @Nullable KvCache cache, Trace trace) {
            Tensor query = Attention.splitHeads(q.forward(x), c.heads); // [B, h, S, d]
            Tensor key = Attention.splitHeads(k.forward(x), c.keyValueHeads); // [B, kv, S, d]
            Tensor value = Attention.splitHeads(v.forward(x), c.keyValueHeads);
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
                return x.add(mlp(afterAttention.forward(x)));
            }
            x = x.add(afterAttention.forward(attended));
            return x.add(afterMlp.forward(mlp(beforeMlp.forward(x))));
        }

        private Tensor mlp(Tensor x) {
            return down.forward(gate.forward(x, activation).mul(up.forward(x))); // [B, S, I] -> [B, S, E]
        }
    }

    // === Body ===

    @Override
    Tensor embed(Tensor ids) {
        return embedTokens.forward(Checks.ids(ids, "input_ids", c.vocabSize));
    }

    @Override
    Tensor begin(Tensor embedded, Tensor positions, @Nullable Inputs in) {
        return c.embedScale == 1 ? embedded : embedded.mul(embedScale);
    }

    @Override
    Tensor layers(Tensor x, Tensor positions, CausalMask mask, @Nullable KvCache cache, Trace trace) {
        Map<Rotary, Rotary.Angles> angles = new LinkedHashMap<>();
        for (int i = 0; i < layers.size(); i++) {
            Tensor input = trace.hidden(x);
            Rotary.Angles at = angles.computeIfAbsent(ropes.get(i), r -> r.angles(positions, input));
            if (Recompute.active()) {
                mask.of(c.windows.get(i)); // made once, outside the layers
            }
            DecoderLayer layer = layers.get(i);
            x = Recompute.layer(input, y -> layer.forward(y, at, mask, cache, trace));
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
