package dev.headstart.nn;

import static java.util.Objects.requireNonNull;

import dev.headstart.nn.MachineCode.Body;
import dev.headstart.nn.SequenceCode.Argument;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * What layers do with one row, recorded once and run for one token after the other in a single call ({@link SequenceCode}): between two weights nothing but a barrier. Rows
 * are fp32. Belongs to one thread at a time.
 */
public final class RowProgram implements AutoCloseable {
    private final List<Long> words = new ArrayList<>();
    private final List<Tensor> rows = new ArrayList<>();
    private final List<Pointer> held = new ArrayList<>();
    private final List<RowAttention.Recorded> attentions = new ArrayList<>();
    private final LongPointer unused;
    private final Tensor x;
    private LongPointer arguments = new LongPointer();

    /** Made when it is first asked for. */
    private static final class Made {
        static final @Nullable MachineCode SEQUENCE = SequenceCode.of();
    }

    private RowProgram(long size) {
        unused = hold(new LongPointer(1));
        x = row(size);
    }

    /**
     * @param size of the row that goes in and comes out
     * @param recorder adds the steps, which change {@link #x}; says whether it could
     * @return null where there are no such programs, or it could not
     */
    public static @Nullable RowProgram of(long size, Predicate<RowProgram> recorder) {
        if (MachineCode.available() == null || Made.SEQUENCE == null) {
            return null;
        }
        RowProgram program = new RowProgram(size);
        if (!recorder.test(program)) {
            program.close();
            return null;
        }
        program.end();
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

    /** Adds y = norm(x). @return false where it cannot */
    public boolean norm(LayerNorm norm, Tensor from, Tensor y) {
        return norm.record(this, from, y);
    }

    /** Adds y = act(x W^T + b). @return false where it cannot */
    public boolean linear(Linear layer, Tensor from, Activation act, Tensor y) {
        return layer.record(this, from, act, null, y);
    }

    /** Adds y += x W^T + b. @return false where it cannot */
    public boolean linearAndAdd(Linear layer, Tensor from, Tensor y) {
        return layer.record(this, from, Activation.LINEAR, y, y);
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
        RowAttention.Recorded recorded = RowAttention.record(this, qkv, k, v, scale, y);
        return recorded != null && attentions.add(recorded);
    }

    /** Adds the phases of a code. @return its arguments, to be filled in */
    LongPointer step(MachineCode code, int count) {
        LongPointer of = hold(new LongPointer(count));
        for (Body body : code.bodies()) {
            words.add(code.address(body));
            words.add(of.address());
            words.add((body.next() < 0 ? unused.address() : of.address() + 8L * body.next()));
        }
        return of;
    }

    /** Where there is room for so many bytes. */
    long room(long bytes) {
        return bytes == 0 ? 0 : hold(new BytePointer(bytes)).address();
    }

    private <P extends Pointer> P hold(P p) {
        held.add(Memory.keep(p));
        return p;
    }

    private void end() {
        long[] all = new long[words.size() + 1];
        for (int i = 0; i < words.size(); i++) {
            all[i] = words.get(i);
        }
        arguments = hold(new LongPointer(Argument.values().length));
        arguments.put(Argument.STEPS.ordinal(), hold(new LongPointer(all)).address());
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
        arguments.put(Argument.THREADS.ordinal(), torch.get_num_threads());
        requireNonNull(Made.SEQUENCE).call(arguments);
        return x.view(1, 1, -1);
    }

    @Override
    public void close() {
        rows.forEach(Tensor::close);
        held.forEach(Pointer::close);
    }
}
