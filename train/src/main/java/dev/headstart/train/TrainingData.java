package dev.headstart.train;

import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
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
     * The examples of one pass over the data, {@link #size} of them, in any order: each once unless overridden (a mixture of tasks draws some again
     * before others).
     *
     * @param pass from 0
     * @param seed of the training; what is drawn depends on both alone, so that a resumed run sees what an unbroken one sees
     */
    default int[] pass(long pass, long seed) {
        return IntStream.range(0, size()).toArray();
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

    /** Whether it prepares what is announced itself; training on a GPU otherwise makes the next step's batches on a thread of its own. */
    default boolean preparesItself() {
        return false;
    }
}
