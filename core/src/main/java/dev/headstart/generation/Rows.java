package dev.headstart.generation;

import java.util.Arrays;

/**
 * The tokens so far of the rows whose scores are being processed: prompt (padding included) and what was generated.
 *
 * @param ids one array a row, of at least {@code length} tokens
 * @param length tokens in use, the same for every row
 * @param prompts which prompt of the batch each row continues
 */
public record Rows(long[][] ids, int length, int[] prompts) {
    /** Number of rows. */
    public int count() {
        return ids.length;
    }

    /** The tokens in use of one row. */
    public long[] row(int i) {
        return Arrays.copyOf(ids[i], length);
    }
}
