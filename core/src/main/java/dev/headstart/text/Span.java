package dev.headstart.text;

/**
 * A piece of a text, half open.
 *
 * @param start first index
 * @param end index after the last
 */
public record Span(int start, int end) {}
