package dev.headstart.nn;

import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A convolution of 8-bit activations (a scale for all) and 8-bit weights (a scale a channel) through oneDNN, for inference on the CPU. The activations' range
 * is the one that was measured on examples; where there is none, the call's own. Between such convolutions with measured ranges the activations stay 8-bit,
 * sums of residual connections too.
 */
final class Int8Conv2d implements ConvKernel {
    private static final OperatorHandle PACK = Ops.find("onednn::qconv_prepack", "");
    private static final OperatorHandle PLAIN = Ops.find("onednn::qconv2d_pointwise", "");
    private static final OperatorHandle BINARY = Ops.find("onednn::qconv2d_pointwise", "binary");
    private static final IValue NO_SCALARS = Ops.emptyList(PLAIN, 15);
    private static final IValue NONE = Memory.keep(new IValue());
    private static final IValue FLOAT = Memory.keep(new IValue((long) ScalarType.Float.value));
    private static final IValue BYTE = Memory.keep(new IValue((long) ScalarType.Byte.value));
    private static final IValue ONE = Memory.keep(new IValue(1.0));
    private static final IValue ZERO = Memory.keep(new IValue(0L));
    private static final IValue NO_ACT = Memory.keep(new IValue("none"));
    private static final IValue RELU = Memory.keep(new IValue("relu"));
    private static final IValue SUM = Memory.keep(new IValue("sum"));
    private static final IValue ALPHA = Memory.keep(new IValue(new Scalar(1.0)));
    private static final IValue GROUPS = Memory.keep(new IValue(1L));
    private static final int MIDDLE = 128;

    /** Without VNNI oneDNN adds two products in 16 bits: 2 x 255 x 64 fits, 2 x 255 x 127 saturates. */
    private static final int MOST = OneDnnInt8.SUPPORTED ? 127 : 64;

    private final ActivationRange range;
    private final Steps in;
    private final @Nullable ActivationRange out;
    private final Steps outSteps;
    private final ActivationRange added;
    private final Steps addedSteps;
    private final Tensor values;
    private final Tensor scales;
    private final Tensor zeros;
    private final IValue scalesValue;
    private final IValue zerosValue;
    private final IValue bias;
    private final IValue padding;
    private final IValue stride;
    private final IValue dilation;
    private final PackedWeights signed;
    private final PackedWeights unsigned;

    /** A range as the operators take it. */
    private record Steps(IValue scale, IValue zero) {
        private static final Steps FP32 = new Steps(ONE, ZERO);

        static Steps of(ActivationRange r) {
            return new Steps(new IValue(r.scale()), new IValue((long) r.zero()));
        }

        static Steps kept(@Nullable ActivationRange r) {
            if (r == null || !r.measured()) {
                return FP32;
            }
            Steps s = of(r);
            return new Steps(Memory.keep(s.scale), Memory.keep(s.zero));
        }

        void close() {
            if (this != FP32) {
                scale.close();
                zero.close();
            }
        }
    }

    /**
     * @param weight [out, in, kernel, kernel]
     * @param bias [out]
     * @param range of the input
     * @param out range of the result, where all who read it take it in 8 bits; null or not measured for fp32
     * @param added range of what is added to the result, where it comes in 8 bits
     */
    Int8Conv2d(
            Tensor weight,
            Tensor bias,
            Conv2d.Shape shape,
            ActivationRange range,
            @Nullable ActivationRange out,
            ActivationRange added) {
        this.range = range;
        this.out = out == null || !out.measured() ? null : out;
        this.added = added;
        in = Steps.kept(range);
        outSteps = Steps.kept(out);
        addedSteps = Steps.kept(added);
        QuantizedWeight q = QuantizedWeight.convolution(weight, MOST);
        values = Memory.keep(q.values());
        scales = Memory.keep(q.scales().contiguous());
        zeros = Memory.keep(torch.zeros(scales.shape()).to(ScalarType.Int));
        scalesValue = Memory.keep(new IValue(scales));
        zerosValue = Memory.keep(new IValue(zeros));
        this.bias = Memory.keep(
                new IValue(Memory.keep(bias.to(ScalarType.Float).contiguous().clone())));
        padding = PackedWeights.both(shape.padding());
        stride = PackedWeights.both(shape.stride());
        dilation = PackedWeights.both(shape.dilation());
        unsigned = new PackedWeights(size -> pack(0, size));
        signed = new PackedWeights(size -> pack(MIDDLE, size));
    }

    /** Whether there is such a kernel for a convolution. @param weight [out, in / groups, kernel, kernel] */
    static boolean fits(Tensor weight, Conv2d.Shape shape) {
        return shape.groups() == 1 && weight.size(0) % 16 == 0;
    }

    private Tensor pack(long zero, IValue size) {
        return Ops.call(
                PACK, new IValue(values), scalesValue, ONE, new IValue(zero), stride, padding, dilation, GROUPS, size);
    }

    @Override
    public Tensor apply(Tensor x, Activation act, @Nullable Tensor other, boolean mayOverwrite) {
        Kernels.refuseGradients("int8 convolution");
        boolean given = Ops.type(x) == ScalarType.Byte;
        ActivationRange r = range.measured() || given ? range : ActivationRange.of(x);
        Tensor bytes = given ? x : r.passingBytes(x);
        Steps steps = r == range ? in : Steps.of(r);
        IValue weight = (r.zero() == 0 ? unsigned : signed).of(bytes.shape(), NONE);
        boolean relu = act == Activation.RELU;
        boolean inside = relu || act == Activation.LINEAR;
        // what is rectified has no negative values, which a range with a zero in the middle would give half of its
        // steps
        boolean narrow = out != null
                && (relu ? out.zero() == 0 : inside)
                && (other == null || Ops.type(other) == ScalarType.Byte);
        Tensor y = other == null
                ? plain(bytes, steps, weight, relu, narrow)
                : sum(bytes, steps, weight, relu, narrow, accumulator(other, narrow, mayOverwrite));
        return inside ? y : act.apply(y);
    }

    private Tensor plain(Tensor bytes, Steps steps, IValue weight, boolean relu, boolean narrow) {
        return Ops.call(
                PLAIN,
                new IValue(bytes),
                steps.scale,
                steps.zero,
                weight,
                scalesValue,
                zerosValue,
                bias,
                stride,
                padding,
                dilation,
                GROUPS,
                narrow ? outSteps.scale : ONE,
                narrow ? outSteps.zero : ZERO,
                narrow ? BYTE : FLOAT,
                relu ? RELU : NO_ACT,
                NO_SCALARS,
                NONE);
    }

    /** @param sum what is added; takes the result */
    private Tensor sum(Tensor bytes, Steps steps, IValue weight, boolean relu, boolean narrow, Tensor sum) {
        return Ops.call(
                BINARY,
                new IValue(bytes),
                steps.scale,
                steps.zero,
                weight,
                scalesValue,
                zerosValue,
                new IValue(sum),
                bias,
                stride,
                padding,
                dilation,
                GROUPS,
                narrow ? outSteps.scale : ONE,
                narrow ? outSteps.zero : ZERO,
                narrow ? BYTE : FLOAT,
                narrow ? addedSteps.scale : ONE,
                narrow ? addedSteps.zero : ZERO,
                SUM,
                ALPHA,
                relu ? RELU : NO_ACT,
                NO_SCALARS,
                NONE);
    }

    /** What is added, in memory that the result may take and in the result's type. */
    private Tensor accumulator(Tensor other, boolean narrow, boolean mayOverwrite) {
        Tensor right = narrow ? other : added.values(other).to(ScalarType.Float);
        Tensor arranged = right.contiguous(MemoryFormat.ChannelsLast);
        return mayOverwrite || !arranged.is_same(other) ? arranged : arranged.clone();
    }

    @Override
    public boolean takesBytes() {
        return true;
    }

    @Override
    public void close() {
        signed.close();
        unsigned.close();
        in.close();
        outSteps.close();
        addedSteps.close();
        bias.close();
        zerosValue.close();
        scalesValue.close();
        zeros.close();
        scales.close();
        values.close();
    }
}
