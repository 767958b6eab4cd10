package dev.headstart.nn;

import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * 16-bit weights for models that generate. Few rows (one token, beams) read half-precision weights at the speed of memory and compute in fp32, which is
 * faster and more exact than bfloat16; many rows (prompts) go through oneDNN in bfloat16.
 */
final class HalfDecode implements Kernel {
    private static final long FEW = 8;
    private static final double LARGEST = 65504;
    private static final OperatorHandle PACK = Ops.find("quantized::linear_prepack_fp16", "");
    private static final OperatorHandle LINEAR = Ops.find("quantized::linear_dynamic_fp16", "");
    private static final OperatorHandle UNPACK = Ops.find("quantized::linear_unpack_fp16", "");
    private static volatile @Nullable Boolean works;

    private final long in;
    private final IValue few;
    private final @Nullable OneDnn many;
    private final @Nullable Tensor table;

    /** @param w [out, in]; @param table whether an embedding reads rows of this weight, in 16 bits too; such an output layer sees few rows, which saves a copy */
    HalfDecode(Tensor w, @Nullable TensorOptional bias, boolean table) {
        in = w.size(1);
        IValueVector stack = new IValueVector(
                new IValue(w.to(ScalarType.Float).contiguous()),
                bias == null
                        ? new IValue()
                        : new IValue(bias.get().detach().to(ScalarType.Float).clone()));
        PACK.callBoxed(stack);
        few = Memory.keep(new IValue(stack.get(0)));
        many = table ? null : new OneDnn(w, bias, ScalarType.BFloat16);
        this.table = table ? Memory.keep(w.to(ScalarType.Half)) : null;
    }

    /** Whether this processor's library has the kernel and the weights lie inside the range of half precision. */
    static boolean supported(Tensor w) {
        Boolean known = works;
        if (known == null) {
            try {
                IValueVector stack = new IValueVector(
                        new IValue(w.narrow(0, 0, 1).to(ScalarType.Float).contiguous()), new IValue());
                PACK.callBoxed(stack);
                known = true;
            } catch (RuntimeException e) { // not in this platform's quantized engine
                known = false;
            }
            works = known;
        }
        return known && w.abs().max().item_double() < LARGEST;
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        if (many != null && x.numel() / in > FEW) {
            return many.apply(x, act);
        }
        ScalarType given = Ops.type(x);
        Tensor y = act.apply(Ops.call(LINEAR, new IValue(given == ScalarType.Float ? x : x.to(ScalarType.Float)), few));
        return given == ScalarType.Float ? y : y.to(given);
    }

    @Override
    public @Nullable RowSource table() {
        Tensor t = table;
        return t == null ? null : ids -> torch.embedding(t, ids).to(ScalarType.Float);
    }

    @Override
    public String name() {
        return "decode-bf16";
    }

    @Override
    public Tensor weight() {
        return Memory.scoped(() -> {
            IValueVector stack = new IValueVector(few);
            UNPACK.callBoxed(stack);
            return new Tensor(stack.get(0).toTensor()).to(ScalarType.Float).clone();
        });
    }

    @Override
    public void close() {
        few.close();
        if (many != null) {
            many.close();
        }
        Memory.close(table);
    }
}
