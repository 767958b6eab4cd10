package dev.headstart.nn;

import java.util.function.Supplier;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The two rules of native memory: what is made during a call belongs to the call's {@link PointerScope}, and what outlives it is {@linkplain
 * #keep kept}. JavaCPP counts references: a scope holds one for what was made inside it and gives it back when it closes; {@code keep} takes
 * another, which {@link Pointer#close()} gives back.
 */
public final class Memory {
    private Memory() {}

    /** Takes a reference of its own: {@code p} outlives every open scope until {@link Pointer#close()}. */
    public static <P extends Pointer> P keep(P p) {
        p.retainReference();
        return p;
    }

    /** Runs {@code body} in a scope of its own; everything it makes is freed but the result, which the caller closes. */
    public static <P extends Pointer> P scoped(Supplier<P> body) {
        try (PointerScope scope = new PointerScope()) {
            return keep(body.get());
        }
    }

    /**
     * Runs {@code body} in a scope of its own; everything it makes is freed but the result, which belongs to the caller's scope. A layer that runs
     * so gives its intermediate results back at once: memory stays small and warm.
     */
    public static Tensor local(Supplier<Tensor> body) {
        return handOver(scoped(body));
    }

    /** Gives a kept tensor to the innermost open scope, which frees it; without one it stays the caller's to close. */
    static Tensor handOver(Tensor kept) {
        PointerScope scope = PointerScope.getInnerScope();
        if (scope != null) {
            scope.attach(kept);
            kept.releaseReference();
        }
        return kept;
    }

    /** Runs {@code body} in a scope of its own; everything it makes is freed. */
    public static void scoped(Runnable body) {
        try (PointerScope scope = new PointerScope()) {
            body.run();
        }
    }

    /** Runs {@code body} in a scope of its own; everything native that it makes and does not {@link #keep} is freed. */
    static <T> T made(Supplier<T> body) {
        try (PointerScope scope = new PointerScope()) {
            return body.get();
        }
    }

    /** Closes what is there. */
    public static void close(@Nullable Pointer p) {
        if (p != null) {
            p.close();
        }
    }

    /**
     * Gives what loading has freed back to the system from time to time: between what was packed meanwhile lie holes of the size of a weight, which would count as
     * this process's memory until something fits into them.
     */
    public static final class Trim {
        private static final long ELEMENTS = 1 << 22;
        private long since;

        /** To be called before a weight of so many elements is packed. */
        public void before(long elements) {
            since += elements;
            if (since >= ELEMENTS) {
                Pointer.trimMemory();
                since = 0;
            }
        }
    }
}
