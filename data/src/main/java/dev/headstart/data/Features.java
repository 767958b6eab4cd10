package dev.headstart.data;

import org.jspecify.annotations.Nullable;

/**
 * Features of one input row.
 *
 * @param row the row's number in the input, from 1
 * @param id the row's id, where the input has one
 * @param values pooled: [dimension]; per token: [tokens x dimension], one token after the other
 * @param tokens number of tokens in {@code values}; 1 when pooled
 */
public record Features(long row, @Nullable String id, float[] values, int tokens) {}
