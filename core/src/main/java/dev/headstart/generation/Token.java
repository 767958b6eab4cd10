package dev.headstart.generation;

import org.jspecify.annotations.Nullable;

/**
 * One generated token.
 *
 * @param row the row that it continues
 * @param id token id
 * @param logProbability the logarithm of the probability that it was chosen with, after all processors
 * @param finished why the row ends with this token, or null while it goes on
 */
public record Token(
        int row, long id, float logProbability, @Nullable FinishReason finished) {}
