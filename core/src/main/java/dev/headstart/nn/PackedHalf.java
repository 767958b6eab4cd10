package dev.headstart.nn;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * 16-bit weights for models that generate, packed twice: half precision for few rows (one token, beams), which read them at the speed of memory and compute in fp32,
 * and bfloat16 for many rows (prompts), through oneDNN. For weights so small that the fixed cost of calls counts, where it is a fifth faster than {@link HalfDecode}.
 */
final class PackedHalf implements Kernel {
    private final long in;
    private final HalfRows few;
    private final OneDnn many;

    /** @param w [out, in] */
    PackedHalf(Tensor w, @Nullable TensorOptional bias) {
        in = w.size(1);
        few = new HalfRows(w, bias == null ? null : bias.get());
        many = new OneDnn(w, bias, ScalarType.BFloat16);
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        if (x.numel() / in > HalfRows.FEW) {
            return many.apply(x, act);
        }
        Tensor y = act.apply(few.multiply(x));
        ScalarType given = Ops.type(x);
        return given == ScalarType.Float ? y : y.to(given);
    }

    @Override
    public String name() {
        return "decode-bf16";
    }

    @Override
    public Tensor weight() {
        return few.weight();
    }

    @Override
    public void close() {
        few.close();
        many.close();
    }
}
