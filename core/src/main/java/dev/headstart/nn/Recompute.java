package dev.headstart.nn;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.jspecify.annotations.Nullable;

/**
 * Gradient checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"; transformers' {@code gradient_checkpointing}): while one
 * is open on a thread, every layer that runs through {@link #layer} keeps its input and its output alone, and is computed again for the backward
 * pass with the random numbers of the first time, so that losses and gradients are the same as without.
 *
 * <p>The bindings have no autograd functions of one's own, so the graph is cut at every layer, and the pieces are joined by {@link #backward}: the
 * loss's own {@code backward()} would reach the last layer's output and no further.
 *
 * <pre>{@code
 * try (Recompute segments = Recompute.open()) {
 *     Tensor loss = ...;         // forward
 *     segments.backward(loss);
 * }
 * }</pre>
 */
public final class Recompute implements AutoCloseable {
    private static final ThreadLocal<@Nullable Recompute> CURRENT = new ThreadLocal<>();
    private static final BoolOptional NO_CHOICE = Memory.keep(new BoolOptional());
    private static final TensorArrayRefOptional ALL = Memory.keep(new TensorArrayRefOptional());

    /**
     * Elements that layers of one forward pass have as inputs between two trims: some three layers of BERT-base and 32 x 128 tokens, half a second or more of
     * training. A smaller batch keeps its memory from step to step, which saves the system's work for its pages.
     */
    private static final long TRIM = 1 << 23;

    private static final ThreadLocal<long[]> SINCE_TRIM = ThreadLocal.withInitial(() -> new long[1]);

    /** What {@link #backward} goes through, last first. */
    private interface Piece {
        void backward();

        void close();
    }

    private final Deque<Piece> pieces = new ArrayDeque<>();
    private final IdentityHashMap<Tensor, Tensor> cuts = new IdentityHashMap<>();

    private Recompute() {}

    /** Begins on this thread; the calls of the model until {@link #close} run inside. */
    public static Recompute open() {
        if (CURRENT.get() != null) {
            throw new IllegalStateException("gradient checkpointing is open on this thread already");
        }
        Recompute r = new Recompute();
        CURRENT.set(r);
        return r;
    }

    /** Whether layers on this thread are to be computed again; models then leave what they make to the caller's scope. */
    public static boolean active() {
        return CURRENT.get() != null && GradMode.is_enabled();
    }

    /** To be called before the forward pass of a batch. */
    public static void begin() {
        SINCE_TRIM.get()[0] = 0;
    }

    /** Runs a layer; computed again for its gradients where this thread has asked for it. @param x its input */
    public static Tensor layer(Tensor x, UnaryOperator<Tensor> body) {
        return active() ? layer(List.of(x), in -> body.apply(in.get(0))) : trimmed(x, body.apply(x));
    }

    /**
     * To be called after a layer whose intermediate results are kept for its gradient. Between these lie holes of what the layer has freed, into which little of
     * the next layers' fits: a third of the process's memory, which goes back to the system every few layers of a large batch.
     */
    private static Tensor trimmed(Tensor x, Tensor out) {
        if (GradMode.is_enabled() && !x.is_cuda()) {
            long[] since = SINCE_TRIM.get();
            since[0] += x.numel();
            if (since[0] >= TRIM) {
                Pointer.trimMemory();
                since[0] = 0;
            }
        }
        return out;
    }

    /** What a layer computes from its input and what is added to its scores. */
    public interface Masked {
        /** @param x [B, S, H]; @param mask additive, or null; @return [B, S, H] */
        Tensor apply(Tensor x, @Nullable Tensor mask);
    }

    /** Runs a layer with a mask that may be learnt (a bias by distance). */
    public static Tensor layer(Tensor x, @Nullable Tensor mask, Masked body) {
        if (!active()) {
            return trimmed(x, body.apply(x, mask));
        }
        return mask == null
                ? layer(List.of(x), in -> body.apply(in.get(0), null))
                : layer(List.of(x, mask), in -> body.apply(in.get(0), in.get(1)));
    }

    /**
     * Runs a layer with several inputs that gradients flow into.
     *
     * @param inputs through which gradients flow (hidden states, an encoder's output, position biases); others are captured by the body, belong
     *     to the model's call and must not need gradients
     * @param body from as many tensors to its output; called once or twice
     */
    public static Tensor layer(List<Tensor> inputs, Function<List<Tensor>, Tensor> body) {
        Recompute current = CURRENT.get();
        return current == null || !GradMode.is_enabled()
                ? trimmed(inputs.get(0), body.apply(inputs))
                : current.segment(inputs, body);
    }

    private Tensor segment(List<Tensor> inputs, Function<List<Tensor>, Tensor> body) {
        List<Tensor> leaves = new ArrayList<>();
        inputs.forEach(t -> leaves.add(cut(t)));
        boolean cuda = inputs.get(0).is_cuda();
        DeviceType device = cuda ? DeviceType.CUDA : DeviceType.CPU;
        boolean autocast = torch.is_autocast_enabled(device);
        Generator generator =
                cuda ? torch.globalContext().defaultGenerator(inputs.get(0).device()) : torch.getDefaultCPUGenerator();
        Tensor random = Memory.scoped(generator::get_state);
        Tensor out = Memory.scoped(() -> {
            try (NoGradGuard guard = new NoGradGuard()) {
                return body.apply(leaves).detach();
            }
        });
        out.set_requires_grad(true);
        pieces.push(new Piece() {
            @Override
            public void backward() {
                if (!out.grad().defined()) {
                    return; // nothing that the loss depends on
                }
                generator.set_state(random);
                Tensor again;
                try (@Nullable Autocast cast = autocast ? new Autocast(device) : null) {
                    again = body.apply(leaves);
                }
                if (again.requires_grad()) {
                    again.backward(out.grad(), NO_CHOICE, false, ALL);
                }
            }

            @Override
            public void close() {
                out.mutable_grad().reset();
                out.close();
                random.close();
            }
        });
        cuts.put(out, out);
        return out;
    }

    /** The leaf that stands for a tensor inside the layers: the same for all of them, so that its gradient is the sum of theirs. */
    private Tensor cut(Tensor t) {
        Tensor known = cuts.get(t);
        if (known != null) {
            return known;
        }
        Tensor original = Memory.keep(t);
        Tensor leaf = Memory.scoped(() -> t.detach());
        leaf.set_requires_grad(t.requires_grad());
        cuts.put(original, leaf);
        pieces.push(new Piece() {
            @Override
            public void backward() {
                if (leaf.requires_grad() && leaf.grad().defined()) {
                    original.backward(leaf.grad(), NO_CHOICE, false, ALL);
                }
            }

            @Override
            public void close() {
                if (leaf.requires_grad()) {
                    leaf.mutable_grad().reset();
                }
                leaf.close();
                original.close();
            }
        });
        return leaf;
    }

    /**
     * Computes the gradients of all parameters that the loss depends on, as {@code loss.backward()} does without checkpointing. Random numbers that
     * are drawn afterwards are those that would have been drawn without.
     *
     * @param loss a scalar
     */
    public void backward(Tensor loss) {
        Generator generator =
                loss.is_cuda() ? torch.globalContext().defaultGenerator(loss.device()) : torch.getDefaultCPUGenerator();
        try (PointerScope outer = new PointerScope()) {
            Tensor after = generator.get_state();
            loss.backward();
            while (!pieces.isEmpty()) {
                Piece piece = pieces.pop();
                try (PointerScope scope = new PointerScope()) {
                    piece.backward();
                } finally {
                    piece.close();
                }
            }
            cuts.clear();
            generator.set_state(after);
        }
    }

    /** Ends it; what was not taken backwards is forgotten. */
    @Override
    public void close() {
        CURRENT.remove();
        pieces.forEach(Piece::close);
        pieces.clear();
        cuts.clear();
    }
}
