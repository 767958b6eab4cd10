package dev.headstart.generation;

import org.bytedeco.pytorch.Tensor;

/** One running generation on the model's side: rows of text with what the model remembers of them. Used by one thread. */
public interface DecodingSession extends AutoCloseable {
    /**
     * Reads more tokens of every row and scores what comes next. Runs in the caller's {@link org.bytedeco.javacpp.PointerScope}, without gradients.
     *
     * @param ids [R, S] int64; row r's new tokens are its first {@code lengths[r]}, the rest is padding on the right, to be ignored
     * @param lengths how many tokens of each row are real, at least one
     * @return logits after the last real token of every row, [R, V]
     */
    Tensor step(Tensor ids, int[] lengths);

    /**
     * Says before the first step how many places of padding stood before each row. The rows come without them; this is for models in whose
     * reference padding takes up positions all the same (BART's decoder alone).
     */
    default void padding(int[] places) {}

    /**
     * Chooses the rows that go on: row i becomes what row {@code rows[i]} was. Rows may repeat (beams), move, and be left out (finished ones).
     * Copies only what differs.
     */
    void select(int[] rows);

    /** Frees what the session holds. */
    @Override
    void close();
}
