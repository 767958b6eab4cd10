package dev.headstart.nn;

import dev.headstart.nn.TileCode.Form;
import dev.headstart.nn.TileCode.Result;
import dev.headstart.nn.TileCode.Type;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** act(convolution(x) + bias + other) by {@link TileCode}, in fp32 or bfloat16: for inference on the CPU, without gradients. Activations are channels-last. */
final class TileConv2d implements ConvKernel {
    private final Type type;
    private final ScalarType scalar;
    private final TileConvolution convolution;
    private final Tensor bias;
    private final BytePointer zeros;

    /** @param weight [out, in, kernel, kernel] @param bias [out] @param type float or bfloat16 */
    TileConv2d(Tensor weight, Tensor bias, Conv2d.Shape shape, ScalarType type) {
        this.type = of(type);
        scalar = type;
        convolution = new TileConvolution(this.type, weight.to(type), shape);
        this.bias = Memory.keep(bias.to(ScalarType.Float).contiguous().clone());
        zeros = TileConvolution.bytes(weight.size(1) * this.type.bytes(), 0);
    }

    private static Type of(ScalarType type) {
        return type == ScalarType.BFloat16 ? Type.BF16 : Type.FP32;
    }

    /** Whether there is such a kernel for a convolution. @param weight [out, in / groups, kernel, kernel] */
    static boolean fits(Tensor weight, Conv2d.Shape shape, ScalarType type) {
        return TileConvolution.fits(of(type), weight, shape);
    }

    @Override
    public Tensor apply(Tensor x, Activation act, @Nullable Tensor other, boolean mayOverwrite) {
        Kernels.refuseGradients("fused convolution");
        Tensor in = arranged(x);
        Tensor added = other == null ? null : arranged(other);
        boolean relu = act == Activation.RELU;
        // a handle of its own
        Tensor y = added != null && (mayOverwrite || !added.is_same(other))
                ? new Tensor(added)
                : convolution.result(in, scalar);
        convolution.apply(in, ending(relu, added), y);
        return relu || act == Activation.LINEAR ? y : act.apply(y);
    }

    private TileConvolution.Ending ending(boolean relu, @Nullable Tensor added) {
        Form form = new Form(
                type,
                convolution.rows(),
                type == Type.BF16 ? Result.BF16 : Result.FP32,
                added != null,
                relu ? TileActivation.RELU : TileActivation.LINEAR);
        return new TileConvolution.Ending(form, bias, zeros, added);
    }

    @Override
    public @Nullable Tensor record(ConvProgram program, Tensor x, Activation act, @Nullable Tensor other) {
        boolean relu = act == Activation.RELU;
        if (Ops.type(x) != scalar
                || (other != null && Ops.type(other) != scalar)
                || !(relu || act == Activation.LINEAR)) {
            return null;
        }
        Tensor y = other != null ? other : convolution.result(program, x, scalar);
        convolution.record(program.sequence(), x, x.shape(), ending(relu, other), y);
        return y;
    }

    private Tensor arranged(Tensor x) {
        return (Ops.type(x) == scalar ? x : x.to(scalar)).contiguous(MemoryFormat.ChannelsLast);
    }

    @Override
    public void close() {
        convolution.close();
        bias.close();
        zeros.close();
    }
}
