package dev.headstart.nn;

import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** The one place that decides which kernel a {@link Linear} uses, by device, precision and mode, and builds it. */
public final class Kernels {
    private Kernels() {}

    /**
     * Packs a Linear for inference on the CPU at the given precision: fp32 and bf16 through oneDNN's prepacked linear, int8 with per-channel weights
     * and dynamic activations. On other devices the plain kernel is the fast one, so nothing happens.
     *
     * @param shared whether an embedding shares the weight, which then stays
     */
    public static void pack(Linear layer, Precision precision, boolean shared) {
        if (layer.weight().tensor().is_cuda()) {
            return;
        }
        Memory.scoped(() -> {
            layer.unpack();
            Tensor stored = layer.weight().tensor().detach();
            Tensor w = layer.transposed() ? stored.transpose(0, 1).contiguous() : stored; // [out, in]
            layer.pack(build(w, layer.biasOrNull(), precision), shared);
        });
    }

    private static Kernel build(Tensor w, @Nullable TensorOptional bias, Precision precision) {
        return switch (precision) {
            case FP32 -> new OneDnn(w, bias, ScalarType.Float);
            case BF16 -> new OneDnn(w, bias, ScalarType.BFloat16);
        };
    }

    static void refuseGradients(String kernel) {
        if (GradMode.is_enabled()) {
            throw new IllegalStateException(
                    "the " + kernel
                            + " kernel has no gradient: use torch's NoGradGuard around the call, or train() the model, which returns to the plain kernel");
        }
    }

    static Tensor empty() {
        return torch.empty(0);
    }

    /** oneDNN's prepacked linear with its activation fused (engine.md: 2 times OpenBLAS in fp32). */
    private static final class OneDnn implements Kernel {
        private static final OperatorHandle PACK = Ops.find("mkldnn::_reorder_linear_weight", "");
        private static final OperatorHandle LINEAR = Ops.find("mkldnn::_linear_pointwise", "");
        private static final IValue NO_SCALARS = Ops.emptyList(LINEAR, 4);
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
            refuseGradients(name());
            String fused = act.fused();
            String algorithm = act.algorithm();
            ScalarType given = Ops.type(x);
            Tensor y = Ops.call(
                    LINEAR,
                    new IValue(given == type ? x : x.to(type)),
                    weight,
                    bias,
                    new IValue(fused == null ? "none" : fused),
                    NO_SCALARS,
                    algorithm == null ? NONE : new IValue(algorithm));
            Tensor result = fused == null ? act.apply(y) : y;
            return given == type ? result : result.to(given);
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
}
