package dev.headstart.nn;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.GenericList;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.Type;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * act(convolution(x) + bias + other) in one pass of oneDNN, with weights in its own order: for inference on the CPU, without gradients. Inputs are
 * channels-last.
 */
final class FusedConv2d {
    private static final OperatorHandle PACK = Ops.find("mkldnn::_reorder_convolution_weight", "");
    private static final OperatorHandle PLAIN = Ops.find("mkldnn::_convolution_pointwise", "");
    private static final OperatorHandle BINARY = Ops.find("mkldnn::_convolution_pointwise", "binary");
    private static final Type.TypePtr INTEGER =
            Memory.keep(PACK.schema().arguments().getPointer(1).type().get().containedType(0));
    private static final IValue NO_SCALARS = Ops.emptyList(PLAIN, 8);
    private static final IValue NONE = Memory.keep(new IValue());

    /** Sizes of input whose weights are kept at a time. */
    private static final int SIZES = 4;

    /** Channels that oneDNN's order puts together; other numbers of channels keep the plain order. */
    private static final long BLOCK = 16;

    private final ScalarType type;
    private final Tensor plain;
    private final IValue plainValue;
    private final boolean packs;
    private final IValue bias;
    private final IValue[] geometry;
    private final List<Packed> packed = new ArrayList<>();

    /** A weight in the order that is best for inputs of one size. */
    private record Packed(long[] size, Tensor weight, IValue value) {}

    /** @param weight [out, in / groups, kernel, kernel], kept @param bias [out], kept */
    FusedConv2d(Tensor weight, Tensor bias, Conv2d.Shape shape, ScalarType type) {
        this.type = type;
        this.packs = shape.groups() == 1 && weight.size(0) % BLOCK == 0 && weight.size(1) % BLOCK == 0;
        this.plain =
                Memory.keep(weight.to(type).contiguous(packs ? MemoryFormat.Contiguous : MemoryFormat.ChannelsLast));
        this.plainValue = Memory.keep(new IValue(plain));
        this.bias = Memory.keep(new IValue(Memory.keep(bias.to(type).contiguous())));
        this.geometry = new IValue[] {
            both(shape.padding()), both(shape.stride()), both(shape.dilation()), Memory.keep(new IValue(shape.groups()))
        };
    }

    private static IValue both(long v) {
        return Memory.keep(longs(v, v));
    }

    private static IValue longs(long... values) {
        GenericList list = new GenericList(INTEGER);
        for (long v : values) {
            list.push_back(new IValue(v));
        }
        return new IValue(list);
    }

    /**
     * @param x [B, in, H, W]
     * @param act applied last; by oneDNN where it can
     * @param other [B, out, H', W'], added before the activation; null for none
     * @return [B, out, H', W'] in this layer's type
     */
    Tensor apply(Tensor x, Activation act, @Nullable Tensor other) {
        Kernels.refuseGradients("fused convolution");
        if (other != null && other.size(2) == 1 && other.size(3) == 1) { // whose order oneDNN cannot tell
            Tensor sum = apply(x, Activation.LINEAR, null).add(Ops.type(other) == type ? other : other.to(type));
            return act.apply(sum);
        }
        Tensor in = arranged(x);
        String fused = act.fused();
        boolean inside = fused != null && (other == null || act == Activation.RELU || act == Activation.LINEAR);
        IValue weight = weightFor(in.shape());
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
                        new IValue("add"),
                        NONE,
                        inside && act != Activation.LINEAR ? new IValue("relu") : NONE,
                        NO_SCALARS,
                        NONE);
        return inside ? y : act.apply(y);
    }

    private Tensor arranged(Tensor x) {
        return (Ops.type(x) == type ? x : x.to(type)).contiguous(MemoryFormat.ChannelsLast);
    }

    private IValue weightFor(long[] size) {
        if (!packs) {
            return plainValue;
        }
        synchronized (packed) {
            for (Packed p : packed) {
                if (java.util.Arrays.equals(p.size, size)) {
                    return p.value;
                }
            }
            Packed made;
            try (PointerScope scope = new PointerScope()) {
                Tensor w = Memory.keep(Ops.call(
                        PACK, new IValue(plain), geometry[0], geometry[1], geometry[2], geometry[3], longs(size)));
                made = new Packed(size, w, Memory.keep(new IValue(w)));
            }
            if (packed.size()
                    >= SIZES) { // sizes come and go; another thread may still use it, so it is left to the garbage
                // collector
                packed.remove(0);
            }
            packed.add(made);
            return made.value;
        }
    }

    void close() {
        synchronized (packed) {
            packed.forEach(p -> {
                p.value.close();
                p.weight.close();
            });
            packed.clear();
        }
        bias.close();
        plainValue.close();
        plain.close();
    }
}
