package dev.headstart.models;

/**
 * A task model whose head can run alone: given an input {@code features}, [B, H] (the first position of the body's last hidden state), it leaves the
 * body out. Features can so be computed once and the head trained on them.
 */
public interface FeatureHead {}
