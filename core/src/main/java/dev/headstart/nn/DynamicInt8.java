package dev.headstart.nn;

import java.util.Locale;
import java.util.Set;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * 8-bit weights with a scale a channel, times activations that are rounded to 8 bits in the call. Every row has its own scale, so that a result does not
 * depend on what else is in the batch.
 */
final class DynamicInt8 implements Kernel {
    private static final OperatorHandle MAKE = Ops.find("aten::_make_per_channel_quantized_tensor", "");
    private static final OperatorHandle PACK = Ops.find("quantized::linear_prepack", "");
    private static final OperatorHandle LINEAR = Ops.find("quantized::linear_dynamic", "");
    private static final OperatorHandle UNPACK = Ops.find("quantized::linear_unpack", "");
    private static final long[] LAST = {-1};
    private static final double LEAST = 1e-12;
    private static final Scalar TINY = Memory.keep(new Scalar(LEAST));

    /** Without VNNI two products are added in 16 bits and may saturate; activations of 7 bits cannot. */
    private static final IValue REDUCE_RANGE = Memory.keep(new IValue(!hasVnni()));

    private final IValue packed;
    private final long in;
    private final @Nullable Tensor bias;
    private final @Nullable QuantizedRows rows;

    /** @param table whether an embedding reads rows of this weight, in 8 bits too */
    DynamicInt8(QuantizedWeight w, @Nullable TensorOptional bias, boolean table) {
        rows = table ? new QuantizedRows(w) : null;
        in = w.in();
        Tensor scales = w.scales().to(ScalarType.Double);
        Tensor q = Ops.call(
                MAKE,
                new IValue(w.values()),
                new IValue(scales),
                new IValue(torch.zeros(scales.shape()).to(ScalarType.Long)),
                new IValue(0L));
        IValueVector stack = new IValueVector(new IValue(q), new IValue());
        PACK.callBoxed(stack);
        packed = Memory.keep(new IValue(stack.get(0)));
        this.bias = bias == null
                ? null
                : Memory.keep(bias.get().detach().to(ScalarType.Float).clone());
    }

    /** Whether products of 8 bits are added in 32; not where oneDNN's own variable keeps it to older instructions. */
    static boolean hasVnni() {
        return Processor.current().features().contains("avx512_vnni")
                && !Set.of("SSE41", "AVX", "AVX2", "AVX512_CORE").contains(oneDnnLimit());
    }

    private static String oneDnnLimit() {
        String limit = System.getenv("ONEDNN_MAX_CPU_ISA");
        String former = System.getenv("DNNL_MAX_CPU_ISA");
        return (limit != null ? limit : former != null ? former : "").toUpperCase(Locale.ROOT);
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        ScalarType given = Ops.type(x);
        Tensor wide = given == ScalarType.Float ? x : x.to(ScalarType.Float);
        Tensor y = x.numel() == in ? multiply(wide) : byRow(wide);
        y = act.apply(bias == null ? y : y.add_(bias));
        return given == ScalarType.Float ? y : y.to(given);
    }

    /** The kernel has one scale for all activations: rows are brought to the same size first. */
    private Tensor byRow(Tensor x) {
        if (Few.readable(x)) {
            float[] values = Few.read(x);
            float[] sizes = divideRows(values);
            long[] shape = x.shape();
            shape[shape.length - 1] = 1;
            return multiply(Few.like(x, values)).mul_(Tensor.create(sizes, shape));
        }
        Tensor largest = x.abs().amax(LAST, true).clamp_min(TINY); // [..., 1]
        return multiply(x.div(largest)).mul_(largest);
    }

    /** Divides each row by its largest absolute value, in place. @return those values */
    private float[] divideRows(float[] x) {
        int d = (int) in;
        float[] sizes = new float[x.length / d];
        for (int r = 0; r < sizes.length; r++) {
            float largest = (float) LEAST;
            for (int i = r * d; i < (r + 1) * d; i++) {
                largest = Math.max(largest, Math.abs(x[i]));
            }
            for (int i = r * d; i < (r + 1) * d; i++) {
                x[i] /= largest;
            }
            sizes[r] = largest;
        }
        return sizes;
    }

    private Tensor multiply(Tensor x) {
        return Ops.call(LINEAR, new IValue(x), packed, REDUCE_RANGE);
    }

    @Override
    public @Nullable RowSource table() {
        return rows;
    }

    @Override
    public String name() {
        return "int8";
    }

    @Override
    public Tensor weight() {
        return Memory.scoped(() -> {
            IValueVector stack = new IValueVector(packed);
            UNPACK.callBoxed(stack);
            return new Tensor(stack.get(0).toTensor()).dequantize();
        });
    }

    @Override
    public void close() {
        packed.close();
        Memory.close(bias);
        if (rows != null) {
            rows.close();
        }
    }
}
