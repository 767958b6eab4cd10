package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.arange;
import static org.bytedeco.pytorch.global.torch.embedding_bag;

import java.util.Objects;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * fp32 for models that generate. One token at a time reads every weight once, so the speed of memory is what counts: the product of a row x and the
 * weight is a weighted sum of the weight's columns, and torch's sum of embeddings reads its table a quarter to a half faster than oneDNN's and OpenBLAS'
 * products of one row do (benchmarks/README.md, Decoders). The table lies in blocks of outputs that stay in registers while all inputs are added, each block
 * contiguous, and threads share the blocks. Many rows (prompts) go through oneDNN on the plain weight, which is laid out for the call; small batches
 * (beams, several texts) that come one after the other make a prepacked copy.
 */
final class DecodeFp32 implements Kernel {
    /** Outputs a block: 24 registers of 16. */
    private static final long WIDEST = 384;

    /** Rows from which laying out the weight pays for itself within one call. */
    private static final long LARGE = 64;

    /** Elements of a weight below which it stays in the processor's cache and oneDNN is as fast. */
    private static final long SMALL = 1L << 18;

    private final long in;
    private final long out;
    private final long blocks;
    private final long width;
    private final Tensor
            table; // [blocks * in, width]: row b * in + i holds what input i adds to the outputs of block b
    private final Tensor inputs; // int32 [blocks * in]
    private final Tensor firsts; // int32 [blocks]
    private final Tensor steps; // int64 [in], where a row of the weight lies
    private final Scalar divisor;
    private final Scalar step;
    private final @Nullable Tensor bias;
    private volatile @Nullable OneDnn packed;
    private int smallBatches; // a hint: races only make the copy a call earlier or later

    /** @param w [out, in], any strides */
    DecodeFp32(Tensor w, @Nullable TensorOptional bias) {
        out = w.size(0);
        in = w.size(1);
        blocks = blocks(out);
        width = width(out, blocks);
        Tensor t = Ops.empty(ScalarType.Float, blocks, in, width);
        for (long b = 0; b < blocks; b++) {
            long outputs = Math.min(width, out - b * width);
            Tensor block = t.select(0, b); // [in, width]
            block.narrow(1, 0, outputs).copy_(w.narrow(0, b * width, outputs).t());
            if (outputs < width) {
                block.narrow(1, outputs, width - outputs).zero_();
            }
        }
        table = Memory.keep(t.view(blocks * in, width));
        inputs = Memory.keep(arange(new Scalar(blocks * in)).to(ScalarType.Int));
        firsts = Memory.keep(arange(new Scalar(blocks)).mul(new Scalar(in)).to(ScalarType.Int));
        steps = Memory.keep(arange(new Scalar(in)).mul(new Scalar(width)).to(ScalarType.Long));
        divisor = Memory.keep(new Scalar(width));
        step = Memory.keep(new Scalar(width * (in - 1)));
        this.bias = bias == null
                ? null
                : Memory.keep(bias.get().detach().to(ScalarType.Float).clone());
    }

    /** Whether this kernel is the fast one here: weights beyond the cache, and a processor that torch's kernel is written for. @param w [out, in] */
    static boolean pays(Tensor w) {
        long out = w.size(0);
        long in = w.size(1);
        return in * out >= SMALL
                && in * (out + WIDEST) < Integer.MAX_VALUE
                && out >= WIDEST
                && Natives.platform().endsWith("x86_64");
    }

    /** An even number of blocks, for two threads, that leaves the least padding; of large weights one block more or less is nothing. */
    private static long blocks(long out) {
        long least = (out + WIDEST - 1) / WIDEST;
        if (least > 16) {
            return least;
        }
        long best = least + least % 2;
        for (long b = best; b <= 2 * least; b += 2) {
            if (b * width(out, b) < best * width(out, best)) {
                best = b;
            }
        }
        return best;
    }

    private static long width(long out, long blocks) {
        return ((out + blocks - 1) / blocks + 15) / 16 * 16;
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        Kernels.refuseGradients(name());
        ScalarType given = Ops.type(x);
        Tensor wide = given == ScalarType.Float ? x : x.to(ScalarType.Float);
        Tensor y = x.numel() == in ? row(wide, act) : batch(wide, act);
        return given == ScalarType.Float ? y : y.to(given);
    }

    private Tensor row(Tensor x, Activation act) {
        smallBatches = 0;
        long[] shape = x.shape();
        shape[0] = blocks; // [blocks, 1, .., in]
        Tensor repeated = (shape.length == 1 ? x.expand(blocks, in) : x.expand(shape)).reshape(-1); // [blocks * in]
        Tensor sums = embedding_bag(table, inputs, firsts, false, 0, false, new TensorOptional(repeated), false)
                .get0(); // [blocks, width]
        shape[0] = 1;
        shape[shape.length - 1] = out;
        Tensor y = blocks * width == out
                ? sums.view(shape)
                : sums.view(-1).narrow(0, 0, out).view(shape);
        return act.apply(bias == null ? y : y.add_(bias));
    }

    private Tensor batch(Tensor x, Activation act) {
        OneDnn fast = packed;
        if (fast == null && x.numel() / in < LARGE && ++smallBatches > 1) {
            fast = pack();
        }
        // the laid out weight goes back at once
        return fast != null ? fast.apply(x, act) : Memory.local(() -> OneDnn.plain(x, plain(), bias, act));
    }

    private synchronized OneDnn pack() {
        OneDnn made = packed;
        if (made == null) {
            Memory.scoped(() -> {
                packed = new OneDnn(plain(), bias == null ? null : new TensorOptional(bias), ScalarType.Float);
            });
            made = Objects.requireNonNull(packed);
        }
        return made;
    }

    /** [out, in], the transpose of a contiguous tensor. */
    private Tensor plain() {
        Tensor t = table.view(blocks, in, width).transpose(0, 1).reshape(in, blocks * width); // [in, blocks * width]
        return (blocks * width == out ? t : t.narrow(1, 0, out).contiguous()).t();
    }

    @Override
    public RowSource table() {
        return this::rows;
    }

    private Tensor rows(Tensor ids) {
        // row r of the weight is column r % width of block r / width
        Tensor first = ids.add(ids.floor_divide(divisor).mul(step)); // r / width * in * width + r % width
        return table.take(first.unsqueeze(-1).add(steps));
    }

    @Override
    public String name() {
        return "decode-fp32";
    }

    @Override
    public Tensor weight() {
        return Memory.scoped(() -> plain().contiguous());
    }

    @Override
    public void close() {
        table.close();
        inputs.close();
        firsts.close();
        steps.close();
        divisor.close();
        step.close();
        Memory.close(bias);
        OneDnn made = packed;
        if (made != null) {
            made.close();
        }
    }
}
