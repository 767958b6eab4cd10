package dev.headstart.models;

import dev.headstart.nn.Dropout;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.Init;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Weights;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Words + segments + learned positions, normalised: how BERT and its relatives begin (transformers BertEmbeddings, RobertaEmbeddings). B batch, S
 * length, E embedding size.
 */
final class TextEmbeddings {
    /**
     * Sizes and kind.
     *
     * @param vocabSize number of words
     * @param size E
     * @param maxPositions rows of the position table
     * @param types number of segments; 0 for a family without them, which ignores {@code token_type_ids}
     * @param padTokenId the word for padding, whose row does not train; -1 for none
     * @param countPadding whether positions are those of the tensor, 0, 1, ...; otherwise padding stays at {@code padTokenId} and the other tokens
     *     count up from the number after it (RoBERTa)
     * @param normEps epsilon of the LayerNorm
     * @param dropout after the norm
     */
    record Shape(
            int vocabSize,
            int size,
            int maxPositions,
            int types,
            int padTokenId,
            boolean countPadding,
            double normEps,
            double dropout) {
        /** Most tokens a text may have. */
        int maxLength() {
            return countPadding ? maxPositions : maxPositions - padTokenId - 1;
        }
    }

    private final Shape shape;
    private final Embedding word;
    private final Embedding position;
    private final @Nullable Embedding tokenType;
    private final LayerNorm norm;
    private final Dropout dropout;

    TextEmbeddings(Weights w, Shape shape) {
        this(w, shape, null);
    }

    /** @param positions how a new table of positions starts; null for as other tables do */
    TextEmbeddings(Weights w, Shape shape, @Nullable Init positions) {
        this.shape = shape;
        word = w.sub("word_embeddings").embedding(shape.vocabSize, shape.size, shape.padTokenId);
        Weights p = w.sub("position_embeddings");
        position = positions == null
                ? p.embedding(shape.maxPositions, shape.size, shape.countPadding ? -1 : shape.padTokenId)
                : p.embedding(shape.maxPositions, shape.size, positions);
        tokenType = shape.types == 0 ? null : w.sub("token_type_embeddings").embedding(shape.types, shape.size);
        norm = w.sub("LayerNorm").layerNorm(shape.size, shape.normEps);
        dropout = w.dropout(shape.dropout);
    }

    /** @return [B, S, E] */
    Tensor forward(Inputs in) {
        Tensor embeds = in.optional("inputs_embeds"); // [B, S, E]
        Tensor ids = embeds == null ? in.required("input_ids") : null; // [B, S]
        Tensor x = ids == null
                ? in.required("inputs_embeds")
                : word.forward(Checks.ids(ids, "input_ids", shape.vocabSize));
        Tensor types = in.optional("token_type_ids"); // [B, S]
        if (tokenType != null) {
            Tensor segment = types == null
                    ? tokenType.weight().tensor().select(0, 0) // [E]
                    : tokenType.forward(Checks.ids(types, "token_type_ids", shape.types)); // [B, S, E]
            x = x.add(segment);
        }
        return dropout.forward(norm.forward(x.add(place(in.optional("position_ids"), ids, x.size(1)))));
    }

    /** @return [S, E] or [B, S, E] */
    private Tensor place(@Nullable Tensor positions, @Nullable Tensor ids, long s) {
        if (positions != null) {
            return position.forward(Checks.ids(positions, "position_ids", shape.maxPositions));
        }
        Tensor table = position.weight().tensor(); // [P, E]
        if (shape.countPadding) {
            return table.narrow(0, 0, Checks.length(s, shape.maxLength()));
        }
        if (ids == null) {
            return table.narrow(0, shape.padTokenId + 1L, Checks.length(s, shape.maxLength()));
        }
        Tensor real = ids.ne(new Scalar((long) shape.padTokenId)).to(ScalarType.Long); // [B, S]
        Tensor counted = real.cumsum(1).mul(real); // 1, 2, ... at tokens, 0 at padding
        if (s > shape.maxLength()) { // what counts is the number of tokens that are not padding
            Checks.length(counted.max().item_long(), shape.maxLength());
        }
        return position.forward(counted.add(new Scalar((long) shape.padTokenId)));
    }

    /** The table of words, to which an output layer may be tied. */
    Embedding words() {
        return word;
    }

    /** Most tokens a text may have. */
    int maxLength() {
        return shape.maxLength();
    }

    /** E. */
    int size() {
        return shape.size;
    }
}
