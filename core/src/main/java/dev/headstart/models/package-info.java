/**
 * Model families, one Java file each, under transformers' class names.
 *
 * <pre>{@code
 * try (var tokenizer = Tokenizer.fromPretrained("bert-base-uncased");
 *      var model = BertModel.fromPretrained("bert-base-uncased");
 *      var outputs = model.forward(tokenizer.encode("Artificial intelligence is revolutionizing industries."))) {
 *   System.out.println(Arrays.toString(outputs.lastHiddenState().shape())); // [1, 9, 768]
 * }
 * }</pre>
 */
@NullMarked
package dev.headstart.models;

import org.jspecify.annotations.NullMarked;
