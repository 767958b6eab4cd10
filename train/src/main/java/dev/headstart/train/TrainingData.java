package dev.headstart.train;

import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;

/** What a model is trained on: examples by index, made into batches on demand. */
public interface TrainingData {
    /** Number of examples. */
    int size();

    /** Number of tokens of an example, for batches of similar length; 1 where all are alike. */
    default int length(int index) {
        return 1;
    }

    /**
     * The tensors of a batch under the names of transformers' forward arguments, labels included. They are made in the caller's scope.
     *
     * @param indexes which examples
     * @param random for what is drawn anew each time (masks); depends on the seed and the step alone
     */
    Map<String, Tensor> batch(int[] indexes, SplittableRandom random);

    /**
     * Says what the next step will ask for, so that it can be prepared while this one runs. Does nothing unless overridden.
     *
     * @param batches the next step's, in order
     * @param random in the state in which {@link #batch} will get it
     */
    default void announce(List<int[]> batches, SplittableRandom random) {}
}
