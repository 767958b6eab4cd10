package dev.headstart.generation;

import org.bytedeco.pytorch.Tensor;

/**
 * Changes the scores of the next token before one is chosen (transformers' {@code LogitsProcessor}). Runs inside the step's
 * {@link org.bytedeco.javacpp.PointerScope}: what it makes needs no closing. It must not keep tensors.
 */
@FunctionalInterface
public interface LogitsProcessor {
    /**
     * @param rows the tokens so far
     * @param scores [R, V], fp32: logits when sampling or greedy, log-probabilities in beam search; not to be changed in place
     * @return the new scores, [R, V], or {@code scores} itself
     */
    Tensor process(Rows rows, Tensor scores);
}
