package dev.headstart.nn;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Texts of different lengths without their padding: one text's positions after the other's, [T, H]. Linears and norms see real positions alone, and
 * neighbours of equal length share one attention without a mask. B batch, S length of the longest, T positions of all texts, H hidden size.
 */
public final class Packing {
    /**
     * Neighbours of equal length.
     *
     * @param start position of the first among T
     * @param texts how many
     * @param length positions of each
     */
    record Run(long start, long texts, long length) {}

    /** Attention of one run. */
    interface RunAttention {
        /** @param run its place among the runs; @param q [texts, h, length, d], as k and v; @return as q */
        Tensor of(int run, Tensor q, Tensor k, Tensor v);
    }

    private final int[] lengths;
    private final int longest;
    private final List<Run> runs = new ArrayList<>();

    /** @param lengths positions of each text, [B]; best in order, so that equal ones are neighbours; @param longest S */
    public Packing(int[] lengths, int longest) {
        this.lengths = lengths.clone();
        this.longest = longest;
        long start = 0;
        for (int i = 0; i < lengths.length; ) {
            int end = i;
            while (end < lengths.length && lengths[end] == lengths[i]) {
                end++;
            }
            runs.add(new Run(start, end - i, lengths[i]));
            start += (long) (end - i) * lengths[i];
            i = end;
        }
    }

    /** Whether there is any padding to leave out. */
    public boolean saves() {
        return runs.size() > 1 || (!runs.isEmpty() && runs.get(0).length() < longest);
    }

    /** What is added to the scores, cut to each run's length. @param bias [1, h, S, S]; @return one [1, h, length, length] a run */
    public List<Tensor> cut(Tensor bias) {
        return runs.stream()
                .map(r -> bias.narrow(2, 0, r.length()).narrow(3, 0, r.length()))
                .toList();
    }

    /** @param x [B, S, H]; @return [T, H] */
    public Tensor pack(Tensor x) {
        return x.reshape(-1, x.size(2)).index_select(0, places());
    }

    /** @param x [T, H]; @return [B, S, H], zero at the padding */
    public Tensor unpack(Tensor x) {
        Tensor all = torch.zeros(new long[] {(long) lengths.length * longest, x.size(1)}, Ops.options(Ops.type(x)));
        return all.index_copy_(0, places(), x).view(lengths.length, longest, x.size(1));
    }

    /** Attention run by run. @param q [T, h * d], as k and v; @return [T, h * d] */
    Tensor attend(Tensor q, Tensor k, Tensor v, long heads, RunAttention attention) {
        Tensor[] parts = new Tensor[runs.size()];
        for (int i = 0; i < parts.length; i++) {
            Run r = runs.get(i);
            int run = i;
            parts[i] = Memory.local(() -> Attention.mergeHeads(
                            attention.of(run, heads(q, r, heads), heads(k, r, heads), heads(v, r, heads)))
                    .view(r.texts() * r.length(), q.size(1)));
        }
        return parts.length == 1 ? parts[0] : torch.cat(new TensorVector(parts), 0); // [T, h * d]
    }

    private static Tensor heads(Tensor x, Run r, long heads) {
        return Attention.splitHeads(
                x.narrow(0, r.start(), r.texts() * r.length()).view(r.texts(), r.length(), x.size(1)), heads);
    }

    /** The places of the T positions among B * S, int64 [T]. */
    private Tensor places() {
        long count = 0;
        for (int length : lengths) {
            count += length;
        }
        long[] places = new long[Math.toIntExact(count)];
        int at = 0;
        for (int b = 0; b < lengths.length; b++) {
            for (int s = 0; s < lengths[b]; s++) {
                places[at++] = (long) b * longest + s;
            }
        }
        Tensor t = Ops.empty(ScalarType.Long, count);
        new LongPointer(t.data_ptr_long()).put(places);
        return t;
    }
}
