package dev.headstart.generation;

import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What was generated.
 *
 * @param sequences [B * num_return_sequences, L]: prompt (padding included) and result; rows that ended early are filled with {@code pad_token_id}
 * @param promptLength tokens of each row that are the prompt
 * @param generatedLengths new tokens of each row, without what fills it after its end
 * @param sequencesScores of beam search: the score of each sequence, by which they are ordered; else null
 * @param tokenLogProbabilities of greedy search and sampling, when {@code output_scores} is set: the logarithm of the probability that each new
 *     token was chosen with, after all processors; else null
 * @param reasons why each row ended
 */
public record GenerationOutput(
        long[][] sequences,
        int promptLength,
        int[] generatedLengths,
        float @Nullable [] sequencesScores,
        float @Nullable [][] tokenLogProbabilities,
        List<FinishReason> reasons) {
    /** The new tokens of one row, without what fills it after its end. */
    public long[] generated(int row) {
        return Arrays.copyOfRange(sequences[row], promptLength, promptLength + generatedLengths[row]);
    }
}
