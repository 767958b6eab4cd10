package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.constant_pad_nd;
import static org.bytedeco.pytorch.global.torch.stack;

import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** 4-bit weights in groups: few rows through torch's packed kernel, many on weights that are brought back to bfloat16 for the call. */
final class GroupInt4 implements Kernel {
    private static final OperatorHandle PACK = Ops.find("aten::_convert_weight_to_int4pack_for_cpu", "");
    private static final OperatorHandle LINEAR = Ops.find("aten::_weight_int4pack_mm_for_cpu", "");
    private static final long BLOCK = 64; // the packed layout's rows
    private static final long FEW = 48;

    private final QuantizedWeight stored;
    private final IValue packed;
    private final IValue group;
    private final IValue scalesAndZeros;
    private final @Nullable Tensor bias;

    GroupInt4(QuantizedWeight w, @Nullable TensorOptional bias) {
        Tensor zeros = w.zeros();
        if (zeros == null) {
            throw new IllegalArgumentException("not 4 bits");
        }
        stored = new QuantizedWeight(Memory.keep(w.values()), Memory.keep(w.scales()), Memory.keep(zeros));
        long more = (BLOCK - w.out() % BLOCK) % BLOCK;
        Tensor codes = below(w.codes(), more).to(ScalarType.Int);
        packed = Memory.keep(new IValue(Ops.call(PACK, new IValue(codes), new IValue(1L))));
        group = Memory.keep(new IValue(w.group()));
        Tensor both = stack(new TensorVector(below(w.scales(), more), below(zeros, more)), 2); // [out, in / group, 2]
        scalesAndZeros = Memory.keep(new IValue(both.transpose(0, 1).contiguous()));
        this.bias = bias == null
                ? null
                : Memory.keep(bias.get().detach().to(ScalarType.Float).clone());
    }

    private static Tensor below(Tensor t, long rows) {
        return rows == 0 ? t : constant_pad_nd(t, new long[] {0, 0, 0, rows}, new Scalar(0L));
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        ScalarType given = Ops.type(x);
        Tensor half = given == ScalarType.BFloat16 ? x : x.to(ScalarType.BFloat16);
        long[] shape = x.shape();
        long in = shape[shape.length - 1];
        Tensor rows = half.reshape(-1, in); // [M, in]
        Tensor y;
        if (rows.size(0) <= FEW) {
            y = Ops.call(LINEAR, new IValue(rows), packed, group, scalesAndZeros);
            y = y.size(1) == stored.out() ? y : y.narrow(1, 0, stored.out());
        } else {
            y = OneDnn.plain(rows, stored.dequantized(ScalarType.BFloat16), null, Activation.LINEAR);
        }
        shape[shape.length - 1] = stored.out();
        y = y.to(ScalarType.Float).reshape(shape);
        y = act.apply(bias == null ? y : y.add_(bias));
        return given == ScalarType.Float ? y : y.to(given);
    }

    @Override
    public String name() {
        return "int4";
    }

    @Override
    public Tensor weight() {
        return Memory.scoped(() -> stored.dequantized(ScalarType.Float));
    }

    @Override
    public void close() {
        packed.close();
        group.close();
        scalesAndZeros.close();
        stored.values().close();
        stored.scales().close();
        Memory.close(stored.zeros());
        Memory.close(bias);
    }
}
