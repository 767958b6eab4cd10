package dev.headstart.nn;

import org.bytedeco.javacpp.Pointer;
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
 * is the one that was measured on examples; where there is none, the call's own. Between two such convolutions with measured ranges the activations stay 8-bit.
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
    private static final int MIDDLE = 128;

    private final ActivationRange range;
    private final @Nullable ActivationRange next;
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

    /**
     * @param weight [out, in, kernel, kernel]
     * @param bias [out]
     * @param range of the input
     * @param next range of the input of the one convolution that alone reads the result; null for none
     */
    Int8Conv2d(Tensor weight, Tensor bias, Conv2d.Shape shape, ActivationRange range, @Nullable ActivationRange next) {
        this.range = range;
        this.next = next;
        QuantizedWeight q = QuantizedWeight.convolution(weight);
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
                PACK,
                new IValue(values),
                scalesValue,
                ONE,
                new IValue(zero),
                stride,
                padding,
                dilation,
                new IValue(1L),
                size);
    }

    @Override
    public Tensor apply(Tensor x, Activation act, @Nullable Tensor other, boolean mayOverwrite) {
        Kernels.refuseGradients("int8 convolution");
        ActivationRange r = range.measured() || Ops.type(x) == ScalarType.Byte ? range : ActivationRange.of(x);
        Tensor in = Ops.type(x) == ScalarType.Byte ? x : bytes(x, r);
        IValue weight = (r.zero() == 0 ? unsigned : signed).of(in.shape(), NONE);
        boolean relu = act == Activation.RELU;
        boolean inside = relu || act == Activation.LINEAR;
        ActivationRange after = next;
        if (other == null) {
            boolean narrow = relu && after != null && after.measured() && after.zero() == 0;
            Tensor y = Ops.call(
                    PLAIN,
                    new IValue(in),
                    new IValue(r.scale()),
                    new IValue((long) r.zero()),
                    weight,
                    scalesValue,
                    zerosValue,
                    bias,
                    stride,
                    padding,
                    dilation,
                    new IValue(1L),
                    narrow && after != null ? new IValue(after.scale()) : ONE,
                    ZERO,
                    narrow ? BYTE : FLOAT,
                    relu ? RELU : NO_ACT,
                    NO_SCALARS,
                    NONE);
            return inside ? y : act.apply(y);
        }
        Tensor wide = other.to(ScalarType.Float).contiguous(MemoryFormat.ChannelsLast);
        Tensor sum = mayOverwrite || !wide.is_same(other) ? wide : wide.clone();
        Tensor y = Ops.call(
                BINARY,
                new IValue(in),
                new IValue(r.scale()),
                new IValue((long) r.zero()),
                weight,
                scalesValue,
                zerosValue,
                new IValue(sum),
                bias,
                stride,
                padding,
                dilation,
                new IValue(1L),
                ONE,
                ZERO,
                FLOAT,
                ONE,
                ZERO,
                SUM,
                ALPHA,
                relu ? RELU : NO_ACT,
                NO_SCALARS,
                NONE);
        return inside ? y : act.apply(y);
    }

    /** The activations in 8 bits, channels-last, [B, C, H, W] uint8. */
    private static Tensor bytes(Tensor x, ActivationRange r) {
        Tensor wide = x.to(ScalarType.Float).contiguous(MemoryFormat.ChannelsLast);
        Tensor q = torch.quantize_per_tensor(wide, r.scale(), r.zero(), ScalarType.QUInt8);
        Pointer memory = q.data_ptr();
        long[] strides = new long[4];
        for (int i = 0; i < strides.length; i++) {
            strides[i] = q.stride(i);
        }
        return torch.from_blob(
                memory, q.shape(), strides, Ops.options(ScalarType.Byte)); // q lives as long, in the same scope
    }

    @Override
    public void close() {
        signed.close();
        unsigned.close();
        bias.close();
        zerosValue.close();
        scalesValue.close();
        zeros.close();
        scales.close();
        values.close();
    }
}
