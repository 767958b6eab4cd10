/**
 * Task pipelines: text or files in, plain Java values out, in the shape of the Hugging Face pipeline of the same name.
 *
 * <pre>{@code
 * try (var fill = Pipeline.fillMask("bert-base-uncased")) {
 *   fill.apply("The capital of France is [MASK].").get(0).get(0).tokenStr(); // paris
 * }
 * }</pre>
 */
@NullMarked
package dev.headstart.pipeline;

import org.jspecify.annotations.NullMarked;
