package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.arange;

import java.util.Arrays;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.UnaryOperator;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A weight [out, in] as a table of its columns, for torch's sums of embeddings: the product with one row x is the sum of the columns, each times an element of x.
 * The table lies in blocks of outputs that stay in registers while all inputs are added, each block contiguous, and threads share the blocks: row b * in + i
 * of the table holds what input i adds to the outputs of block b.
 */
final class ColumnBlocks {
    /** Elements of a weight below which it stays in the processor's cache and other kernels are as fast. */
    static final long SMALL = 1L << 18;

    final long in;
    final long out;
    final long blocks;
    final long width;
    private final Tensor inputs; // int32 [blocks * in]
    private final Tensor firsts; // int32 [blocks]
    private final Tensor steps; // int64 [in], where a row of the weight lies
    private final Tensor factors; // fp32 [blocks * in]
    private final AtomicReference<@Nullable Tensor> spare;
    private final Scalar divisor;
    private final Scalar step;

    /** @param widest outputs a block, at most; @param more elements that lie behind the outputs in each row of the table */
    ColumnBlocks(long in, long out, long widest, long more) {
        this.in = in;
        this.out = out;
        blocks = blocks(out, widest);
        width = width(out, blocks);
        long stride = width + more;
        inputs = Memory.keep(arange(new Scalar(blocks * in)).to(ScalarType.Int));
        firsts = Memory.keep(arange(new Scalar(blocks)).mul(new Scalar(in)).to(ScalarType.Int));
        steps = Memory.keep(arange(new Scalar(in)).mul(new Scalar(stride)).to(ScalarType.Long));
        factors = Memory.keep(Ops.empty(ScalarType.Float, blocks * in));
        spare = new AtomicReference<>(factors);
        divisor = Memory.keep(new Scalar(width));
        step = Memory.keep(new Scalar(stride * in - width));
    }

    /** Whether the sum is the fastest product here: weights beyond the cache, and a processor that torch's kernel is written for. @param w [out, in] */
    static boolean pays(long in, long out, long widest) {
        return in * out >= SMALL
                && in * (out + widest) < Integer.MAX_VALUE
                && out >= widest
                && Natives.platform().endsWith("x86_64");
    }

    /** An even number of blocks, for two threads, that leaves the least padding; of large weights one block more or less is nothing. */
    private static long blocks(long out, long widest) {
        long least = (out + widest - 1) / widest;
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

    /** Fills the outputs of a table. @param table [blocks, in, width and more]; @param w [out, in], any strides, of its type */
    void fill(Tensor table, Tensor w) {
        for (long b = 0; b < blocks; b++) {
            long outputs = Math.min(width, out - b * width);
            Tensor block = table.select(0, b); // [in, width and more]
            block.narrow(1, 0, outputs).copy_(w.narrow(0, b * width, outputs).t());
            if (outputs < width) {
                block.narrow(1, outputs, width - outputs).zero_();
            }
        }
    }

    /** The weight again, the transpose of a contiguous tensor. @param table [blocks * in, width and more]; @return [out, in] */
    Tensor plain(Tensor table) {
        Tensor t = table.view(blocks, in, -1)
                .narrow(2, 0, width)
                .transpose(0, 1)
                .reshape(in, blocks * width); // [in, blocks * width]
        return (blocks * width == out ? t : t.narrow(1, 0, out).contiguous()).t();
    }

    /** The table's rows to be added. */
    Tensor inputs() {
        return inputs;
    }

    /** The first of {@link #inputs} of each block. */
    Tensor firsts() {
        return firsts;
    }

    /** What {@link #sums} multiplies by, unless another thread is at it. */
    Tensor factors() {
        return factors;
    }

    /**
     * The sums for one row.
     *
     * @param x fp32 [..., in]
     * @param sum the sums of the table's rows {@link #inputs} from {@link #firsts} on, [blocks, width], each row times one of the factors [blocks * in]
     */
    Tensor sums(Tensor x, UnaryOperator<Tensor> sum) {
        Tensor kept = spare.getAndSet(null); // fresh memory for every token costs more than filling it
        if (kept == null) { // another thread is at it
            return sum.apply(x.reshape(1, in).expand(blocks, in).reshape(-1));
        }
        try {
            repeat(x, kept);
            return sum.apply(kept);
        } finally {
            spare.set(kept);
        }
    }

    private void repeat(Tensor x, Tensor factors) {
        if (!Few.readable(x)) {
            factors.view(blocks, in).copy_(x.reshape(1, in));
            return;
        }
        float[] row = Few.read(x);
        FloatPointer target = factors.data_ptr_float();
        for (long b = 0; b < blocks; b++) {
            target.position(b * in).put(row);
        }
    }

    /** @param sums [blocks, width]; @param x the row that was multiplied, [..., in]; @return [..., out] */
    Tensor result(Tensor sums, Tensor x) {
        long[] shape = x.shape();
        shape[shape.length - 1] = out;
        if (blocks * width == out) {
            return sums.view(shape);
        }
        long[] strides = new long[shape.length];
        Arrays.fill(strides, out);
        strides[shape.length - 1] = 1;
        return sums.as_strided(shape, strides);
    }

    /** Rows of the weight. @param table [blocks * in, width and more]; @param ids int64 [...]; @return [..., in] */
    Tensor rows(Tensor table, Tensor ids) {
        // row r of the weight is column r % width of block r / width: its first element is the table's element
        // r / width * in * stride + r % width
        if (ids.numel() == 1 && ids.is_cpu()) {
            return row(table, ids);
        }
        Tensor first = ids.add(ids.floor_divide(divisor).mul(step));
        return table.take(first.unsqueeze(-1).add(steps));
    }

    private Tensor row(Tensor table, Tensor id) {
        long r = id.item_long();
        long[] shape = Arrays.copyOf(id.shape(), (int) id.dim() + 1);
        shape[shape.length - 1] = in;
        long[] strides = new long[shape.length];
        strides[shape.length - 1] = table.size(1);
        long first = r / width * in * table.size(1) + r % width;
        return table.as_strided(shape, strides, new LongOptional(first)).contiguous();
    }

    void close() {
        inputs.close();
        firsts.close();
        steps.close();
        factors.close();
        divisor.close();
        step.close();
    }
}
