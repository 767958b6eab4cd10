package dev.headstart.nn;

import dev.headstart.nn.TileCode.Form;
import dev.headstart.nn.TileCode.Result;
import dev.headstart.nn.TileCode.Type;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** What {@link Int8Conv2d} computes, by {@link TileCode}. */
final class TileInt8Conv2d implements ConvKernel {
    private static final int MIDDLE = 128;

    private final ActivationRange range;
    private final @Nullable ActivationRange out;
    private final ActivationRange added;
    private final TileConvolution convolution;
    private final Tensor scales; // of the weights, fp32 [N]
    private final Tensor sums; // of the weights, int32 [N]
    private final Tensor bias; // fp32 [N]
    private final BytePointer zeros;
    private final BytePointer middles;
    private final @Nullable Numbers wide;
    private final @Nullable Numbers narrow;
    private final @Nullable Numbers narrowSum;

    /** From sums of whole numbers to a result: fp32 [N], int32 [N], fp32 [N], fp32 [1]. */
    private record Numbers(Tensor scales, Tensor begin, Tensor bias, Tensor added) {
        Numbers keep() {
            return new Numbers(Memory.keep(scales), Memory.keep(begin), Memory.keep(bias), Memory.keep(added));
        }

        void close() {
            scales.close();
            begin.close();
            bias.close();
            added.close();
        }
    }

    /** As {@link Int8Conv2d}'s. */
    TileInt8Conv2d(
            Tensor weight,
            Tensor bias,
            Conv2d.Shape shape,
            ActivationRange range,
            @Nullable ActivationRange out,
            ActivationRange added) {
        this.range = range;
        this.out = out == null || !out.measured() ? null : out;
        this.added = added;
        QuantizedWeight q = QuantizedWeight.convolution(weight);
        convolution = new TileConvolution(Type.INT8, q.values(), shape);
        scales = Memory.keep(q.scales().contiguous());
        sums = Memory.keep(q.values().to(ScalarType.Int).flatten(1, -1).sum(1).to(ScalarType.Int));
        this.bias = Memory.keep(bias.to(ScalarType.Float).contiguous().clone());
        zeros = TileConvolution.bytes(weight.size(1), 0);
        middles = TileConvolution.bytes(weight.size(1), MIDDLE);
        boolean known = range.measured();
        wide = known ? numbers(range, null, false).keep() : null;
        narrow = known && this.out != null ? numbers(range, this.out, false).keep() : null;
        narrowSum = known && this.out != null ? numbers(range, this.out, true).keep() : null;
    }

    /** Whether there is such a kernel for a convolution. @param weight [out, in / groups, kernel, kernel] */
    static boolean fits(Tensor weight, Conv2d.Shape shape) {
        return TileConvolution.fits(Type.INT8, weight, shape);
    }

    private Numbers numbers(ActivationRange in, @Nullable ActivationRange to, boolean adds) {
        double step = to == null ? 1 : to.scale();
        double shift = (to == null ? 0 : to.zero()) - (adds ? added.zero() * added.scale() / step : 0);
        return new Numbers(
                scales.mul(new Scalar(in.scale() / step)),
                sums.mul(new Scalar((long) -in.zero())),
                bias.div(new Scalar(step)).add(new Scalar(shift)),
                torch.ones(1).mul(new Scalar(added.scale() / step)));
    }

    @Override
    public Tensor apply(Tensor x, Activation act, @Nullable Tensor other, boolean mayOverwrite) {
        Kernels.refuseGradients("int8 convolution");
        boolean given = Ops.type(x) == ScalarType.Byte;
        ActivationRange r = range.measured() || given ? range : ActivationRange.of(x);
        Tensor bytes = given ? x.contiguous(MemoryFormat.ChannelsLast) : r.passingBytes(x);
        boolean relu = act == Activation.RELU;
        boolean inside = relu || act == Activation.LINEAR;
        boolean small = small(act, other);
        Tensor sum = other == null
                ? null
                : (small ? other : added.values(other).to(ScalarType.Float)).contiguous(MemoryFormat.ChannelsLast);
        Tensor y = sum != null && (mayOverwrite || !sum.is_same(other))
                ? new Tensor(sum) // a handle of its own
                : convolution.result(bytes, small ? ScalarType.Byte : ScalarType.Float);
        Numbers n = r == range ? (small ? sum == null ? narrow : narrowSum : wide) : null;
        if (n == null) {
            n = numbers(r, small ? out : null, small && sum != null);
        }
        Tensor rows = small ? n.added : torch.ones(y.numel() / y.size(1));
        convolution.apply(bytes, ending(n, rows, small, relu, r.zero() == 0 ? zeros : middles, sum), y);
        return inside ? y : act.apply(y);
    }

    /** Whether the result is in 8 bits, as in {@link Int8Conv2d}. */
    private boolean small(Activation act, @Nullable Tensor other) {
        return out != null
                && (act == Activation.RELU ? out.zero() == 0 : act == Activation.LINEAR)
                && (other == null || Ops.type(other) == ScalarType.Byte);
    }

    private TileConvolution.Ending ending(
            Numbers n, Tensor rows, boolean small, boolean relu, BytePointer outside, @Nullable Tensor sum) {
        Form form = new Form(
                Type.INT8,
                convolution.rows(),
                small ? Result.UINT8 : Result.FP32,
                sum != null,
                relu && !small ? TileActivation.RELU : TileActivation.LINEAR);
        return new TileConvolution.Ending(form, rows, n.scales, n.begin, n.bias, outside, sum);
    }

    @Override
    public @Nullable Tensor record(ConvProgram program, Tensor x, Activation act, @Nullable Tensor other) {
        Numbers n = other == null ? narrow : narrowSum;
        if (Ops.type(x) != ScalarType.Byte || n == null || !small(act, other)) {
            return null;
        }
        Tensor y = other != null ? other : convolution.result(program, x, ScalarType.Byte);
        BytePointer outside = range.zero() == 0 ? zeros : middles;
        TileConvolution.Ending end = ending(n, n.added, true, act == Activation.RELU, outside, other);
        convolution.record(program.sequence(), x, x.shape(), end, y);
        return y;
    }

    @Override
    public boolean takesBytes() {
        return true;
    }

    @Override
    public void close() {
        convolution.close();
        scales.close();
        sums.close();
        bias.close();
        zeros.close();
        middles.close();
        for (Numbers n : new Numbers[] {wide, narrow, narrowSum}) {
            if (n != null) {
                n.close();
            }
        }
    }
}
