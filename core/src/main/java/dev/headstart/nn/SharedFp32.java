package dev.headstart.nn;

import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * fp32 on a weight that stays as it is because an embedding shares it: one token at a time, which reads every weight once, and long texts are about as fast
 * through oneDNN on the plain weight as on a prepacked one, and nothing is copied. Small batches (beams, several texts) that come one after the other
 * make a prepacked copy.
 */
final class SharedFp32 implements Kernel {
    /** From here on oneDNN's blocking pays for itself within one call. */
    private static final long LARGE = 64;

    private final Parameter stored;
    private final boolean transposed;
    private final @Nullable Parameter bias;
    private volatile @Nullable Kernel packed;
    private int smallBatches; // a hint: races only make the copy a call earlier or later

    SharedFp32(Parameter stored, boolean transposed, @Nullable Parameter bias) {
        this.stored = stored;
        this.transposed = transposed;
        this.bias = bias;
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        Tensor w = transposed ? stored.tensor().t() : stored.tensor(); // [out, in]
        long in = w.size(1);
        long rows = x.numel() / in;
        if (rows == 1) {
            smallBatches = 0;
        }
        Kernel fast = packed;
        if (fast == null && rows > 1 && rows < LARGE && ++smallBatches > 1) {
            fast = pack();
        }
        return fast != null && rows > 1
                ? fast.apply(x, act)
                : OneDnn.plain(x, w, bias == null ? null : bias.tensor(), act);
    }

    private synchronized Kernel pack() {
        Kernel made = packed;
        if (made == null) {
            Memory.scoped(() -> {
                packed = new OneDnn(weight(), bias == null ? null : bias.optional(), ScalarType.Float);
            });
            made = Objects.requireNonNull(packed);
        }
        return made;
    }

    @Override
    public String name() {
        return "plain-fp32";
    }

    @Override
    public Tensor weight() {
        return transposed ? stored.tensor().t() : stored.tensor();
    }

    @Override
    public void close() {
        Kernel made = packed;
        if (made != null) {
            made.close();
        }
    }
}
