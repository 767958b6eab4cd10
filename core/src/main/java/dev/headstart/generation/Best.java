package dev.headstart.generation;

import static org.bytedeco.pytorch.global.torch.arange;
import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.topk;

import java.util.stream.IntStream;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The best continuations of each prompt, from the best to the least. B prompts, k candidates of each, V vocabulary.
 *
 * @param values scores, [B, k] in one row
 * @param indices beam * V + token, likewise
 */
record Best(float[] values, long[] indices) {
    /** Tokens a block: the k best of a row lie in the k blocks whose best are the best, so that few of them are sorted. */
    private static final int BLOCK = 64;

    /** Blocks for each one that is looked into, from which on this pays. */
    private static final int PAYS = 4;

    private static final long[] LAST = {-1};

    /**
     * The best of all sums of a row's score and one of its log-probabilities.
     *
     * @param logProbabilities [B beams, V], fp32, on the CPU; may be overwritten
     * @param scores [B beams]
     * @param k at most beams V
     */
    static Best of(Tensor logProbabilities, float[] scores, int beams, int k) {
        if (logProbabilities.size(1) / BLOCK >= (long) PAYS * k) {
            Best best = byRows(logProbabilities, scores, beams, k);
            if (best.finite()) {
                return best;
            } // where many are minus infinity, it is torch's topk of all that says which of them
        }
        T_TensorTensor_T top = topk(
                logProbabilities.add_(Tensor.create(scores, scores.length, 1)).view(scores.length / beams, -1), k);
        return new Best(Decoding.floats(top.get0()), Decoding.longs(top.get1()));
    }

    private boolean finite() {
        for (float v : values) {
            if (!Float.isFinite(v)) {
                return false;
            }
        }
        return true;
    }

    /** The k best of each row first, then of these. */
    private static Best byRows(Tensor logProbabilities, float[] scores, int beams, int k) {
        T_TensorTensor_T top = byBlocks(logProbabilities, k);
        float[] values = Decoding.floats(top.get0()); // [B beams, k]
        long[] tokens = Decoding.longs(top.get1());
        for (int i = 0; i < values.length; i++) {
            values[i] += scores[i / k];
        }
        int prompts = scores.length / beams;
        float[] best = new float[prompts * k];
        long[] indices = new long[prompts * k];
        for (int p = 0; p < prompts; p++) {
            int first = p * beams * k;
            int[] order = IntStream.range(first, first + beams * k)
                    .boxed()
                    .sorted((a, b) -> Float.compare(values[b], values[a])) // equal ones stay in order
                    .mapToInt(Integer::intValue)
                    .limit(k)
                    .toArray();
            for (int c = 0; c < k; c++) {
                best[p * k + c] = values[order[c]];
                indices[p * k + c] = (order[c] - first) / k * logProbabilities.size(1) + tokens[order[c]];
            }
        }
        return new Best(best, indices);
    }

    /** topk of each row of x, [R, V]: values and tokens, [R, k]. */
    private static T_TensorTensor_T byBlocks(Tensor x, int k) {
        long v = x.size(1);
        long blocks = v / BLOCK;
        long rest = v - blocks * BLOCK;
        Tensor most = x.narrow(1, 0, blocks * BLOCK).unflatten(1, blocks, BLOCK).amax(LAST, false); // [R, blocks]
        Tensor starts = topk(most, k).get1().unsqueeze(-1).mul(new Scalar((long) BLOCK)); // [R, k, 1]
        Tensor tokens = starts.add(arange(new Scalar((long) BLOCK))).view(x.size(0), (long) k * BLOCK);
        if (rest > 0) {
            Tensor last = arange(new Scalar(v - rest), new Scalar(v)).expand(x.size(0), rest);
            tokens = cat(new TensorVector(tokens, last.to(ScalarType.Long)), 1);
        }
        T_TensorTensor_T top = topk(x.gather(1, tokens), k);
        return new T_TensorTensor_T(top.get0(), tokens.gather(1, top.get1()));
    }
}
