package dev.headstart.models;

import dev.headstart.generation.KvCache;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Trace;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The part of a decoder that all its classes share: tokens to hidden states, at once or step by step through a cache. B batch, S length, E hidden
 * size.
 */
abstract class CausalBody {
    /** Tokens to vectors, before positions. @param ids [B, S]; @return [B, S, E] */
    abstract Tensor embed(Tensor ids);

    /** What is added to or done with the embedded tokens before the first layer. @param in further arguments of a whole forward, or null */
    abstract Tensor begin(Tensor embedded, Tensor positions, @Nullable Inputs in);

    /**
     * All layers and the last norm.
     *
     * @param x [B, S, E]
     * @param positions [B or 1, S]
     * @param cache what earlier steps left, or null
     * @return [B, S, E]; the trace receives the embeddings, every layer's output, the last one normalised
     */
    abstract Tensor layers(Tensor x, Tensor positions, CausalMask mask, @Nullable KvCache cache, Trace trace);

    /** The embedding table, to which an output layer may be tied. */
    abstract Embedding words();

    /** Number of layers. */
    abstract int depth();

    /** Hidden size. */
    abstract int width();

    /** Whether every token sees all others. */
    boolean seesBothWays() {
        return false;
    }

    /** A whole text. @return last hidden state, [B, S, E] */
    final Tensor forward(Inputs in, Trace trace) {
        Tensor given = in.optional("inputs_embeds");
        Tensor embedded = given != null ? given : embed(in.required("input_ids")); // [B, S, E]
        Tensor positions = in.optional("position_ids");
        if (positions == null) {
            positions = Places.upTo(embedded.size(1), embedded).unsqueeze(0); // [1, S]
        }
        // the reference takes jumps in the positions for the seams of packed texts, unless it keeps a cache
        boolean packed = !in.kwarg("use_cache", true) && in.optional("position_ids") != null;
        Tensor x = begin(embedded, positions, in);
        CausalMask mask = CausalMask.of(x, in.optional("attention_mask"), seesBothWays(), packed ? positions : null);
        return layers(x, positions, mask, null, trace);
    }

    /**
     * One step of a generation.
     *
     * @param ids [R, S], padded on the right
     * @param added how many tokens of each row are real
     * @return hidden states, [R, S, E]
     */
    final Tensor read(Tensor ids, int[] added, KvCache cache) {
        cache.begin(added, (int) ids.size(1), ids.device());
        Tensor positions = cache.positions();
        Tensor x = begin(embed(ids), positions, null);
        return layers(x, positions, CausalMask.of(cache, Ops.type(x)), cache, Trace.none());
    }
}
