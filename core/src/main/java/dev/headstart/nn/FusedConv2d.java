package dev.headstart.nn;

import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * act(convolution(x) + bias + other) in one pass of oneDNN, with weights in its own order: for inference on the CPU, without gradients. Inputs are
 * channels-last.
 */
final class FusedConv2d implements ConvKernel {
    static final OperatorHandle PACK = Ops.find("mkldnn::_reorder_convolution_weight", "");
    static final OperatorHandle PLAIN = Ops.find("mkldnn::_convolution_pointwise", "");
    private static final OperatorHandle BINARY = Ops.find("mkldnn::_convolution_pointwise", "binary");
    private static final OperatorHandle INTO = Ops.find("mkldnn::_convolution_pointwise_", "binary");
    private static final IValue ADD = Memory.keep(new IValue("add"));
    private static final IValue RELU = Memory.keep(new IValue("relu"));
    static final IValue NO_SCALARS = Ops.emptyList(PLAIN, 8);
    static final IValue NONE = Memory.keep(new IValue());

    /** Channels that oneDNN's order puts together; other numbers of channels keep the plain order. */
    private static final long BLOCK = 16;

    private final ScalarType type;
    private final Tensor plain;
    private final IValue plainValue;
    private final IValue bias;
    private final IValue[] geometry;
    private final PackedWeights packed;

    /** @param weight [out, in / groups, kernel, kernel], kept @param bias [out], kept */
    FusedConv2d(Tensor weight, Tensor bias, Conv2d.Shape shape, ScalarType type) {
        this.type = type;
        boolean packs = shape.groups() == 1 && weight.size(0) % BLOCK == 0 && weight.size(1) % BLOCK == 0;
        this.plain =
                Memory.keep(weight.to(type).contiguous(packs ? MemoryFormat.Contiguous : MemoryFormat.ChannelsLast));
        this.plainValue = Memory.keep(new IValue(plain));
        this.bias = Memory.keep(new IValue(Memory.keep(bias.to(type).contiguous())));
        this.geometry = new IValue[] {
            PackedWeights.both(shape.padding()),
            PackedWeights.both(shape.stride()),
            PackedWeights.both(shape.dilation()),
            Memory.keep(new IValue(shape.groups()))
        };
        this.packed = new PackedWeights(
                packs
                        ? size -> Ops.call(PACK, plainValue, geometry[0], geometry[1], geometry[2], geometry[3], size)
                        : null);
    }

    @Override
    public Tensor apply(Tensor x, Activation act, @Nullable Tensor other, boolean mayOverwrite) {
        Kernels.refuseGradients("fused convolution");
        if (other != null && other.size(2) == 1 && other.size(3) == 1) { // whose order oneDNN cannot tell
            Tensor sum = apply(x, Activation.LINEAR, null, false).add(Ops.type(other) == type ? other : other.to(type));
            return act.apply(sum);
        }
        Tensor in = arranged(x);
        String fused = act.fused();
        boolean inside = fused != null && (other == null || act == Activation.RELU || act == Activation.LINEAR);
        IValue weight = packed.of(in.shape(), plainValue);
        if (other != null && mayOverwrite && Ops.type(other) == type) {
            Tensor sum = Ops.call(
                    INTO,
                    new IValue(arranged(other)),
                    new IValue(in),
                    weight,
                    bias,
                    geometry[0],
                    geometry[1],
                    geometry[2],
                    geometry[3],
                    ADD,
                    NONE,
                    inside && act != Activation.LINEAR ? RELU : NONE,
                    NO_SCALARS,
                    NONE);
            return inside ? sum : act.apply(sum);
        }
        Tensor y = other == null
                ? Ops.call(
                        PLAIN,
                        new IValue(in),
                        weight,
                        bias,
                        geometry[0],
                        geometry[1],
                        geometry[2],
                        geometry[3],
                        new IValue(inside && fused != null ? fused : "none"),
                        NO_SCALARS,
                        inside && act.algorithm() != null ? new IValue(act.algorithm()) : NONE)
                : Ops.call(
                        BINARY,
                        new IValue(in),
                        new IValue(arranged(other)),
                        weight,
                        bias,
                        geometry[0],
                        geometry[1],
                        geometry[2],
                        geometry[3],
                        ADD,
                        NONE,
                        inside && act != Activation.LINEAR ? RELU : NONE,
                        NO_SCALARS,
                        NONE);
        return inside ? y : act.apply(y);
    }

    /** In the kernel's type, channels last. */
    Tensor arranged(Tensor x) {
        return (Ops.type(x) == type ? x : x.to(type)).contiguous(MemoryFormat.ChannelsLast);
    }

    @Override
    public void close() {
        packed.close();
        bias.close();
        plainValue.close();
        plain.close();
    }
}
