package dev.headstart.nn;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * What layers do with one row, recorded once and run for one token after the other in a single call ({@link CodeSequence}): between two weights nothing but a barrier. Rows
 * are fp32. Belongs to one thread at a time.
 */
public final class RowProgram implements AutoCloseable {
    private final CodeSequence sequence = new CodeSequence();
    private final List<Tensor> rows = new ArrayList<>();
    private final List<RowAttention.Recorded> attentions = new ArrayList<>();
    private final Tensor x;

    private RowProgram(long size) {
        x = row(size);
    }

    /**
     * @param size of the row that goes in and comes out
     * @param recorder adds the steps, which change {@link #x}; says whether it could
     * @return null where there are no such programs, or it could not
     */
    public static @Nullable RowProgram of(long size, Predicate<RowProgram> recorder) {
        if (!CodeSequence.available()) {
            return null;
        }
        RowProgram program = new RowProgram(size);
        if (!recorder.test(program)) {
            program.close();
            return null;
        }
        return program;
    }

    /** The row that goes in and, changed, comes out, [size]. */
    public Tensor x() {
        return x;
    }

    /** A row for what steps leave to later ones, fp32 [n]. */
    public Tensor row(long n) {
        Tensor row = Memory.keep(Ops.empty(ScalarType.Float, n));
        rows.add(row);
        return row;
    }

    /** Adds y = norm(x), which may be one row. @return false where it cannot */
    public boolean norm(LayerNorm norm, Tensor from, Tensor y) {
        return norm.record(sequence, from, y);
    }

    /** Adds y = act(x W^T + b). @return false where it cannot */
    public boolean linear(Linear layer, Tensor from, Activation act, Tensor y) {
        return layer.record(sequence, from, act, null, y);
    }

    /** Adds y += x W^T + b. @return false where it cannot */
    public boolean linearAndAdd(Linear layer, Tensor from, Tensor y) {
        return layer.record(sequence, from, Activation.LINEAR, y, y);
    }

    /**
     * Adds the attention of {@link Attention#step}.
     *
     * @param qkv [3 h d]
     * @param k [R, h, capacity, d], which must stay where it is
     * @param v as k
     * @param y [h d]
     * @return false where it cannot
     */
    public boolean attend(Tensor qkv, Tensor k, Tensor v, double scale, Tensor y) {
        RowAttention.Recorded recorded = RowAttention.record(sequence, qkv, k, v, scale, y);
        return recorded != null && attentions.add(recorded);
    }

    /**
     * Runs it.
     *
     * @param row [1, 1, size]
     * @param length keys that the query sees, its own among them
     * @return [1, 1, size], good until it runs again; null where it cannot be run on such a row
     */
    public @Nullable Tensor run(Tensor row, long length) {
        if (GradMode.is_enabled() || !Few.readable(row) || row.numel() != x.numel()) {
            return null;
        }
        x.copy_(row.view(-1));
        attentions.forEach(a -> a.length(length));
        sequence.run();
        return x.view(1, 1, -1);
    }

    @Override
    public void close() {
        rows.forEach(Tensor::close);
        sequence.close();
    }
}
