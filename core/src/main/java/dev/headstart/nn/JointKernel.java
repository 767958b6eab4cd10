package dev.headstart.nn;

import java.util.concurrent.atomic.AtomicInteger;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * One packed product for several Linears over the same input (query, key, value): the input is read, and where needed rounded, once. Each Linear has its
 * {@link Part}; the last one that is closed frees the whole.
 */
final class JointKernel {
    private final Kernel whole;
    private final AtomicInteger parts = new AtomicInteger();

    /** @param whole over the parts' weights, one below the other */
    JointKernel(Kernel whole) {
        this.whole = whole;
    }

    /** @return [..., sum of the parts' out] */
    Tensor apply(Tensor x) {
        return whole.apply(x, Activation.LINEAR);
    }

    /** The same in another type. */
    Tensor apply(Tensor x, ScalarType type) {
        return whole.apply(x, Activation.LINEAR, type);
    }

    /** As {@link Kernel#record}, of all parts. */
    boolean record(CodeSequence sequence, Tensor x, Tensor y) {
        return whole.record(sequence, x, Activation.LINEAR, null, y);
    }

    boolean halves() {
        return whole.halves();
    }

    /** The part of one Linear. @param start its first row of the whole weight; @param rows how many */
    Part part(long start, long rows) {
        parts.incrementAndGet();
        return new Part(this, start, rows);
    }

    /** What one Linear sees. */
    record Part(JointKernel joint, long start, long rows) implements Kernel {
        @Override
        public Tensor apply(Tensor x, Activation act) {
            return act.apply(joint.apply(x).narrow(-1, start, rows));
        }

        @Override
        public String name() {
            return joint.whole.name();
        }

        @Override
        public Tensor weight() {
            return Memory.scoped(() ->
                    Memory.handOver(joint.whole.weight()).narrow(0, start, rows).clone());
        }

        @Override
        public void close() {
            if (joint.parts.decrementAndGet() == 0) {
                joint.whole.close();
            }
        }
    }
}
