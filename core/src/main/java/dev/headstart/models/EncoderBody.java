package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.tanh;

import dev.headstart.nn.Attention;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Packing;
import dev.headstart.nn.PostNormLayer;
import dev.headstart.nn.Trace;
import java.util.List;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** Embeddings, layers, pooler: the part that all classes of BERT and its relatives share. B batch, S length, H hidden size. */
final class EncoderBody {
    /** What is added to the attention scores of every layer beside the mask. */
    interface Bias {
        /** @param x the first layer's input, [B, S, H]; @return broadcastable to [B, h, S, S] */
        Tensor of(Tensor x);
    }

    private final TextEmbeddings embeddings;
    private final @Nullable Linear projection;
    private final List<PostNormLayer> layers;
    private final @Nullable Bias bias;
    private final @Nullable Linear pooler;
    private final int width;

    /**
     * @param projection from the embeddings' size to H; null when they are the same
     * @param layers in the order they run; one may be there several times
     * @param bias null for none
     * @param pooler Linear over the first position, followed by tanh; null for none
     * @param width H
     */
    EncoderBody(
            TextEmbeddings embeddings,
            @Nullable Linear projection,
            List<PostNormLayer> layers,
            @Nullable Bias bias,
            @Nullable Linear pooler,
            int width) {
        this.embeddings = embeddings;
        this.projection = projection;
        this.layers = List.copyOf(layers);
        this.bias = bias;
        this.pooler = pooler;
        this.width = width;
    }

    /** @return last hidden state [B, S, H]; the trace receives the first layer's input and every layer's output */
    Tensor forward(Inputs in, Trace trace) {
        return forward(in, trace, Long.MAX_VALUE);
    }

    /** As {@link #forward(Inputs, Trace)} for a head that reads so many positions, from the first. @return last hidden state, [B, read or S, H] */
    Tensor forward(Inputs in, Trace trace, long read) {
        Tensor embedded = embeddings.forward(in); // [B, S, E]
        Tensor x = trace.hidden(projection == null ? embedded : projection.forward(embedded)); // [B, S, H]
        ScalarType given = Ops.type(x);
        if (given == ScalarType.Float && !layers.isEmpty() && layers.get(0).isBf16()) {
            x = x.to(ScalarType.BFloat16);
        }
        Packing rows = packing(in, trace, x);
        Tensor last = rows == null ? padded(x, in, trace, read) : packed(x, in, rows);
        return Ops.type(last) == given ? last : last.to(given);
    }

    private Tensor padded(Tensor x, Inputs in, Trace trace, long read) {
        Tensor mask = mask(x, in); // broadcastable to [B, h, S, S]
        return trace.through(layers, x, read, (layer, y, positions) -> layer.forward(y, mask, trace, positions));
    }

    private @Nullable Tensor mask(Tensor x, Inputs in) {
        Tensor mask = Attention.additiveMask(in.optional("attention_mask"), Ops.type(x)); // [B, 1, 1, S]
        if (bias == null) {
            return mask;
        }
        Tensor b = bias.of(x).to(Ops.type(x)); // [1, h, S, S]
        return mask == null ? b : b.add(mask); // [B, h, S, S]
    }

    private Tensor packed(Tensor start, Inputs in, Packing rows) {
        in.optional("attention_mask"); // says what the lengths say
        Packing.View view = rows.view(bias == null ? null : bias.of(start).to(Ops.type(start)), start);
        Tensor x = Trace.none().through(layers, rows.pack(start), (layer, y) -> layer.forward(y, rows, view)); // [T, H]
        return rows.unpack(x); // [B, S, H]
    }

    /** How to leave out padding, where the caller allows it, something is padded, and it is faster: on the CPU, without gradients. */
    private @Nullable Packing packing(Inputs in, Trace trace, Tensor x) {
        int[] lengths = in.lengths();
        if (lengths == null
                || trace.wantsHidden()
                || trace.wantsAttention()
                || x.is_cuda()
                || GradMode.is_enabled()
                || layers.isEmpty()) {
            return null;
        }
        return Packing.of(lengths, (int) x.size(1), layers.get(0).heads());
    }

    /** @param x [B, S, H]; @return [B, H]; null without a pooler */
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

    /** The table of words, to which an output layer may be tied. */
    Embedding words() {
        return embeddings.words();
    }

    /** Size of the words' vectors. */
    int embeddingSize() {
        return embeddings.size();
    }

    /** H. */
    int width() {
        return width;
    }

    /** Most tokens a text may have. */
    int maxLength() {
        return embeddings.maxLength();
    }
}
