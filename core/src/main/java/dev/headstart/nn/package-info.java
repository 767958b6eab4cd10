/**
 * Thin layers over libtorch tensors, and the weights they are built from.
 *
 * <p>A model is built by walking its weights: the path of each weight is spelled where the layer is built.
 *
 * <pre>{@code
 * up = w.sub("intermediate.dense").linear(config.hiddenSize(), config.intermediateSize());
 * norm = w.sub("output.LayerNorm").layerNorm(config.hiddenSize(), config.layerNormEps());
 * }</pre>
 */
@NullMarked
package dev.headstart.nn;

import org.jspecify.annotations.NullMarked;
