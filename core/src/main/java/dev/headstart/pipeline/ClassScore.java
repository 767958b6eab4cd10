package dev.headstart.pipeline;

/**
 * One class and its score.
 *
 * @param label name from config.json's id2label
 * @param score probability, or the raw value for regression
 */
public record ClassScore(String label, double score) {}
