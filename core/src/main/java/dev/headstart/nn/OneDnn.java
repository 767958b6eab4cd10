package dev.headstart.nn;

import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** oneDNN's prepacked linear with its activation fused (engine.md: 2 times OpenBLAS in fp32). */
final class OneDnn implements Kernel {
    private static final OperatorHandle PACK = Ops.find("mkldnn::_reorder_linear_weight", "");
    private static final OperatorHandle LINEAR = Ops.find("mkldnn::_linear_pointwise", "");
    private static final OperatorHandle LINEAR_ADD = Ops.find("mkldnn::_linear_pointwise", "binary");
    private static final IValue ADD = Memory.keep(new IValue("add"));
    private static final IValue NO_SCALARS = Ops.emptyList(LINEAR, 4);
    private static final IValue PLAIN = Memory.keep(new IValue("none"));
    private static final IValue NONE = Memory.keep(new IValue());
    private final ScalarType type;
    private final Tensor packed;
    private final IValue weight;
    private final IValue bias;

    OneDnn(Tensor w, @Nullable TensorOptional bias, ScalarType type) {
        this.type = type;
        this.packed = Memory.keep(Ops.call(PACK, new IValue(w.to(type).contiguous()), NONE));
        this.weight = Memory.keep(new IValue(packed));
        this.bias = bias == null
                ? NONE
                : Memory.keep(new IValue(bias.get().detach().to(type).clone()));
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        ScalarType given = Ops.type(x);
        Tensor result = linear(given == type ? x : x.to(type), weight, bias, act);
        return given == type ? result : result.to(given);
    }

    @Override
    public Tensor applyAndAdd(Tensor x, Tensor other) {
        Kernels.refuseGradients(name());
        if (Ops.type(x) != type || Ops.type(other) != type) {
            return Kernel.super.applyAndAdd(x, other);
        }
        return Ops.call(LINEAR_ADD, new IValue(x), new IValue(other), weight, bias, ADD);
    }

    /** act(x w^T + bias) on a plain weight. @param w [out, in], contiguous or the transpose of a contiguous one, of x's type */
    static Tensor plain(Tensor x, Tensor w, @Nullable Tensor bias, Activation act) {
        return linear(x, new IValue(w), bias == null ? NONE : new IValue(bias), act);
    }

    private static Tensor linear(Tensor x, IValue w, IValue bias, Activation act) {
        String fused = act.fused();
        String algorithm = act.algorithm();
        Tensor y = Ops.call(
                LINEAR,
                new IValue(x),
                w,
                bias,
                fused == null ? PLAIN : new IValue(fused),
                NO_SCALARS,
                algorithm == null ? NONE : new IValue(algorithm));
        return fused == null ? act.apply(y) : y;
    }

    @Override
    public String name() {
        return type == ScalarType.Float ? "packed-fp32" : "packed-bf16";
    }

    @Override
    public Tensor weight() {
        return Memory.scoped(() -> packed.to_dense().to(ScalarType.Float));
    }

    @Override
    public void close() {
        weight.close();
        packed.close();
        if (bias != NONE) {
            bias.close();
        }
    }
}
