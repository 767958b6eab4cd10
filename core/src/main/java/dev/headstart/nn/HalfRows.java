package dev.headstart.nn;

import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** A few rows times a half-precision weight, computed in fp32, by FBGEMM's packed product. */
final class HalfRows {
    private static final OperatorHandle PACK = Ops.find("quantized::linear_prepack_fp16", "");
    private static final OperatorHandle LINEAR = Ops.find("quantized::linear_dynamic_fp16", "");
    private static final OperatorHandle UNPACK = Ops.find("quantized::linear_unpack_fp16", "");

    /** Rows up to which it is the fastest product here. */
    static final long FEW = 8;

    /** Whether this platform's quantized engine has the product. */
    static final boolean SUPPORTED = supported();

    private final IValue packed;

    /** @param w [out, in]; @param bias [out] */
    HalfRows(Tensor w, @Nullable Tensor bias) {
        packed = Memory.scoped(() -> pack(w, bias));
    }

    private static IValue pack(Tensor w, @Nullable Tensor bias) {
        IValueVector stack = new IValueVector(
                new IValue(w.to(ScalarType.Float).contiguous()),
                bias == null
                        ? new IValue()
                        : new IValue(bias.detach().to(ScalarType.Float).clone()));
        PACK.callBoxed(stack);
        return new IValue(stack.get(0));
    }

    private static boolean supported() {
        try {
            Memory.scoped((Runnable) () -> pack(torch.zeros(1, 1), null));
            return true;
        } catch (RuntimeException e) {
            return false;
        }
    }

    /** @param x [..., in]; @return fp32 [..., out] */
    Tensor multiply(Tensor x) {
        return Ops.call(LINEAR, new IValue(Ops.type(x) == ScalarType.Float ? x : x.to(ScalarType.Float)), packed);
    }

    /** The weight in fp32, [out, in]. */
    Tensor weight() {
        return Memory.scoped(() -> {
            IValueVector stack = new IValueVector(packed);
            UNPACK.callBoxed(stack);
            return new Tensor(stack.get(0).toTensor()).to(ScalarType.Float).clone();
        });
    }

    void close() {
        packed.close();
    }
}
