package dev.headstart.hub;

import java.nio.file.Path;

/**
 * A model's files on this machine, in Hugging Face layout.
 *
 * @param id the id that was asked for
 * @param path folder with config.json, weights, tokenizer files
 * @param immutable whether the files are never rewritten in place (our caches, the shared Hugging Face cache), so that they may be mapped
 */
public record ModelFolder(String id, Path path, boolean immutable) {}
