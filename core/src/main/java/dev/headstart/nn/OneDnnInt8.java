package dev.headstart.nn;

import java.lang.ref.Reference;
import java.util.Set;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Many rows at once times 8-bit weights with a scale a channel; activations are rounded to 8 bits in the call. Rows of a like size (what a norm wrote) share
 * one scale and zero, so that oneDNN adds bias and activation while it writes the result. Other rows have their own scale: with one for all, a single
 * large token (BERT's separators in the feed-forward's middle) takes the bits of all others (cosine to fp32 0.92 instead of 0.99).
 */
final class OneDnnInt8 implements Kernel {
    /** Whether this processor adds products of 8 bits in 32, as oneDNN's kernel needs; without, sums of two may saturate in 16. */
    static final boolean SUPPORTED = DynamicInt8.hasVnni();

    private static final OperatorHandle PACK = Ops.find("onednn::qlinear_prepack", "");
    private static final OperatorHandle LINEAR = Ops.find("onednn::qlinear_pointwise", "");
    private static final Set<String> FUSED = Set.of("gelu", "relu");
    private static final IValue NO_SCALARS = Ops.emptyList(LINEAR, 11);
    private static final IValue PLAIN = Memory.keep(new IValue("none"));
    private static final IValue NONE = Memory.keep(new IValue());
    private static final long[] LAST = {-1};
    private static final Scalar TINY = Memory.keep(new Scalar(1e-12));
    private static final IValue ONE = Memory.keep(new IValue(1.0));
    private static final IValue ZERO = Memory.keep(new IValue(0L));
    private static final IValue BFLOAT16 = Memory.keep(new IValue((long) ScalarType.BFloat16.value));
    private static final IValue FLOAT = Memory.keep(new IValue((long) ScalarType.Float.value));

    private final Tensor values;
    private final Tensor scales;
    private final IValue packed;
    private final IValue scale;
    private final IValue zeros;
    private final IValue bias;
    private final @Nullable Tensor plainBias;
    private final boolean even;

    /** @param even whether all rows of the input are of a like size */
    OneDnnInt8(QuantizedWeight w, @Nullable TensorOptional bias, boolean even) {
        this.even = even;
        values = Memory.keep(Ops.call(PACK, new IValue(w.values()), NONE));
        packed = Memory.keep(new IValue(values));
        scales = Memory.keep(w.scales().to(ScalarType.Float));
        scale = Memory.keep(new IValue(scales));
        zeros = Memory.keep(new IValue(torch.zeros(scales.shape()).to(ScalarType.Long)));
        plainBias = bias == null
                ? null
                : Memory.keep(bias.get().detach().to(ScalarType.Float).clone());
        this.bias = plainBias == null ? NONE : Memory.keep(new IValue(plainBias));
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        return apply(x, act, Ops.type(x));
    }

    @Override
    public Tensor apply(Tensor x, Activation act, ScalarType type) {
        Kernels.refuseGradients(name());
        ScalarType given = Ops.type(x);
        Tensor wide = (given == ScalarType.Float ? x : x.to(ScalarType.Float)).contiguous();
        Tensor result;
        if (even) {
            boolean fuses = FUSED.contains(String.valueOf(act.fused()));
            Tensor y = product(
                    roundedTogether(wide),
                    bias,
                    fuses ? act : Activation.LINEAR,
                    type == ScalarType.BFloat16 ? BFLOAT16 : FLOAT);
            result = fuses ? y : act.apply(y);
        } else {
            Tensor sizes = sizes(wide); // [..., 1]
            Tensor y = rounded(wide, sizes).mul_(sizes);
            result = act.apply(plainBias == null ? y : y.add_(plainBias));
        }
        return Ops.type(result) == type ? result : result.to(type);
    }

    @Override
    public Tensor applyAndAdd(Tensor x, Tensor other) {
        if (even || Ops.type(other) != ScalarType.Float) {
            return Kernel.super.applyAndAdd(x, other);
        }
        Kernels.refuseGradients(name());
        Tensor wide = (Ops.type(x) == ScalarType.Float ? x : x.to(ScalarType.Float)).contiguous();
        Tensor sizes = sizes(wide); // [..., 1]
        return torch.addcmul(plainBias == null ? other : other.add(plainBias), rounded(wide, sizes), sizes);
    }

    /** The largest absolute value of each row; by two reductions, which are many times faster than the norm. */
    private static Tensor sizes(Tensor x) {
        return torch.maximum(x.amax(LAST, true), x.amin(LAST, true).neg_()).clamp_min_(TINY);
    }

    /** All rows with one scale and zero; zero itself is exact. */
    private static Tensor roundedTogether(Tensor x) {
        T_TensorTensor_T range = torch.aminmax(x);
        double least = Math.min(0, range.get0().item_double());
        double scale = Math.max((Math.max(0, range.get1().item_double()) - least) / 255, 1e-12);
        return torch.quantize_per_tensor(x, scale, Math.round(-least / scale), ScalarType.QUInt8);
    }

    /** The product for rows that are brought to the same size, without bias. */
    private Tensor rounded(Tensor x, Tensor sizes) {
        return product(
                torch.quantize_per_tensor(x.div(sizes), 1.0 / 127, 128, ScalarType.QUInt8),
                NONE,
                Activation.LINEAR,
                FLOAT);
    }

    private Tensor product(Tensor x, IValue added, Activation act, IValue type) {
        Tensor bytes = torch.from_blob(x.data_ptr(), x.shape(), Ops.options(ScalarType.Byte)); // the same memory
        String fused = act.fused();
        String algorithm = act.algorithm();
        Tensor y = Ops.call(
                LINEAR,
                new IValue(bytes),
                new IValue(x.q_scale()),
                new IValue(x.q_zero_point()),
                packed,
                scale,
                zeros,
                added,
                ONE,
                ZERO,
                type,
                fused == null ? PLAIN : new IValue(fused),
                NO_SCALARS,
                new IValue(algorithm == null ? "" : algorithm));
        Reference.reachabilityFence(x);
        return y;
    }

    @Override
    public boolean halves() {
        return true;
    }

    @Override
    public String name() {
        return "int8";
    }

    @Override
    public Tensor weight() {
        // packed as [in, out]
        return Memory.scoped(() -> values.to_dense()
                .transpose(0, 1)
                .to(ScalarType.Float)
                .mul(scales.unsqueeze(1))
                .contiguous());
    }

    @Override
    public void close() {
        packed.close();
        values.close();
        scale.close();
        scales.close();
        zeros.close();
        if (bias != NONE) {
            bias.close();
        }
        Memory.close(plainBias);
    }
}
