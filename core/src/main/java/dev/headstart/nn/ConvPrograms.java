package dev.headstart.nn;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.function.ToIntFunction;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** A network's {@link ConvProgram}s for inputs of the sizes that were seen last; a call takes one for itself. */
public final class ConvPrograms implements AutoCloseable {
    private static final int KEPT = 4;

    /** Images from which on a convolution takes so long that setting it up does not count. */
    private static final long MANY = 4;

    private final Deque<ConvProgram> free = new ArrayDeque<>();
    private boolean closed;

    /**
     * What the first layers made of x.
     *
     * @param y of the last one of them, in memory of its own
     * @param layers how many they are
     */
    public record Result(Tensor y, int layers) {}

    /**
     * Runs as many layers as can be recorded.
     *
     * @param x [B, C, H, W], channels last
     * @param recorder adds layers from the first on, and says how many it could add; it always does the same
     * @return null where there are none
     */
    public @Nullable Result run(Tensor x, ToIntFunction<ConvProgram> recorder) {
        if (!CodeSequence.available() || GradMode.is_enabled() || !x.is_cpu() || x.size(0) >= MANY) {
            return null;
        }
        ConvProgram program = take(x);
        if (program == null) {
            program = ConvProgram.of(x, recorder);
        }
        if (program == null) {
            return null;
        }
        try {
            Tensor y = program.run(x);
            return new Result(y.clone(), program.recorded());
        } finally {
            give(program);
        }
    }

    private synchronized @Nullable ConvProgram take(Tensor x) {
        for (Iterator<ConvProgram> i = free.iterator(); i.hasNext(); ) {
            ConvProgram p = i.next();
            if (p.fits(x)) {
                i.remove();
                return p;
            }
        }
        return null;
    }

    private synchronized void give(ConvProgram program) {
        if (closed) {
            program.close();
            return;
        }
        free.addFirst(program);
        if (free.size() > KEPT) {
            free.removeLast().close();
        }
    }

    @Override
    public synchronized void close() {
        closed = true;
        free.forEach(ConvProgram::close);
        free.clear();
    }
}
