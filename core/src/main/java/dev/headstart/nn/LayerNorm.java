package dev.headstart.nn;

import static java.util.Objects.requireNonNull;
import static org.bytedeco.pytorch.global.torch.layer_norm;

import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** Normalization over the last dimension (Ba et al. 2016), as {@code torch.nn.LayerNorm}. */
public final class LayerNorm {
    private static final TensorOptional NONE = none();
    private static final ThreadLocal<LongPointer> ARGUMENTS =
            ThreadLocal.withInitial(() -> Memory.keep(new LongPointer(NormCode.Argument.values().length)));

    /** Made when it is first asked for. */
    private static final class Made {
        static final @Nullable MachineCode FULL = NormCode.of(false);
        static final @Nullable MachineCode HALF = NormCode.of(true);
    }

    private final Parameter weight;
    private final @Nullable Parameter bias;
    private final double eps;
    private final long[] shape;

    LayerNorm(Parameter weight, @Nullable Parameter bias, double eps) {
        this.weight = weight;
        this.bias = bias;
        this.eps = eps;
        this.shape = new long[] {weight.tensor().size(0)};
    }

    /** @param x [..., d]; @return [..., d] */
    public Tensor forward(Tensor x) {
        MachineCode code = GradMode.is_enabled() ? null : code(x);
        if (code != null) {
            Tensor y = Ops.empty(Ops.type(x), x.shape());
            LongPointer arguments = ARGUMENTS.get();
            put(arguments, x, y);
            code.call(arguments);
            return y;
        }
        if (!GradMode.is_enabled()
                && x.numel() == shape[0]
                && Few.readable(x)
                && Few.readable(weight.tensor())
                && (bias == null || Few.readable(bias.tensor()))) {
            return Few.like(x, normalized(Few.read(x)));
        }
        return layer_norm(x, shape, weight.optional(), bias == null ? NONE : bias.optional(), eps, true);
    }

    /** The code for such rows; null where there is none. */
    private @Nullable MachineCode code(Tensor x) {
        boolean half = Ops.type(x) == ScalarType.BFloat16;
        boolean fits = bias != null
                && shape[0] % RowCode.LANES == 0
                && (half ? Processor.current().features().contains("avx512_bf16") : Ops.type(x) == ScalarType.Float)
                && x.is_cpu()
                && x.is_contiguous()
                && readable(weight.tensor())
                && readable(bias.tensor())
                && MachineCode.available() != null;
        return !fits ? null : half ? Made.HALF : Made.FULL;
    }

    private static boolean readable(Tensor w) {
        return w.is_cpu() && Ops.type(w) == ScalarType.Float && w.is_contiguous();
    }

    /** One row, in place, in Java. */
    private float[] normalized(float[] x) {
        float mean = Few.sum(x) / x.length;
        for (int i = 0; i < x.length; i++) {
            x[i] -= mean;
        }
        float scale = (float) (1 / Math.sqrt(Few.squares(x, 0, x.length) / x.length + eps));
        float[] w = Few.read(weight.tensor());
        float[] b = bias == null ? new float[x.length] : Few.read(bias.tensor());
        for (int i = 0; i < x.length; i++) {
            x[i] = x[i] * scale * w[i] + b[i];
        }
        return x;
    }

    /** Records the normalization. @param x fp32 or bfloat16 [..., d]; @param y as x, or x itself; @return false where it cannot be */
    boolean record(CodeSequence sequence, Tensor x, Tensor y) {
        MachineCode code = code(x);
        if (code == null) {
            return false;
        }
        put(sequence.step(code), x, y);
        return true;
    }

    private void put(LongPointer arguments, Tensor x, Tensor y) {
        long rows = x.numel() / shape[0];
        arguments.put(
                torch.get_num_threads(),
                rows,
                x.data_ptr().address(),
                shape[0] * (Ops.type(x) == ScalarType.Float ? Float.BYTES : Short.BYTES),
                y.data_ptr().address(),
                weight.tensor().data_ptr().address(),
                requireNonNull(bias).tensor().data_ptr().address(),
                shape[0] / RowCode.LANES,
                (long) Float.floatToIntBits((float) eps) << 32 | Float.floatToIntBits(1f / shape[0]));
    }

    private static TensorOptional none() {
        return Memory.keep(new TensorOptional());
    }
}
