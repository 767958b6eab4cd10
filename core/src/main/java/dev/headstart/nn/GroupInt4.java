package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.constant_pad_nd;
import static org.bytedeco.pytorch.global.torch.stack;

import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * 4-bit weights in groups: few rows through torch's packed kernel, many on weights that are brought back to bfloat16 for the call. Where the packed layout is
 * known, the values are kept in it alone.
 */
final class GroupInt4 implements Kernel {
    private static final OperatorHandle PACK = Ops.find("aten::_convert_weight_to_int4pack_for_cpu", "");
    private static final OperatorHandle LINEAR = Ops.find("aten::_weight_int4pack_mm_for_cpu", "");
    private static final long BLOCK = 64; // rows that the packed kernel takes at a time, on any processor
    private static final long PIECE = 1 << 16; // elements
    private static final long FEW = 48;
    private static final long PANEL = panel();

    private final long out;
    private final IValue packed;
    private final IValue group;
    private final IValue scalesAndZeros; // [in / group, out and padding, 2]
    private final @Nullable Tensor plain; // uint8 [out, in / 2], where the packed values cannot be read
    private final @Nullable Tensor bias;

    GroupInt4(QuantizedWeight w, @Nullable TensorOptional bias) {
        Tensor zeros = w.zeros();
        if (zeros == null) {
            throw new IllegalArgumentException("not 4 bits");
        }
        out = w.out();
        plain = PANEL > 0 ? null : Memory.keep(w.values());
        packed = Memory.keep(new IValue(pack(w)));
        group = Memory.keep(new IValue(w.group()));
        long more = (BLOCK - out % BLOCK) % BLOCK;
        Tensor both = stack(new TensorVector(below(w.scales(), more), below(zeros, more)), 2); // [out, in / group, 2]
        scalesAndZeros = Memory.keep(new IValue(both.transpose(0, 1).contiguous()));
        this.bias = bias == null
                ? null
                : Memory.keep(bias.get().detach().to(ScalarType.Float).clone());
    }

    /** In pieces: the values one by one take eight times the memory. @return uint8 [out and padding, in / 2] */
    private static Tensor pack(QuantizedWeight w) {
        long blocks = (w.out() + BLOCK - 1) / BLOCK;
        Tensor all = Ops.empty(ScalarType.Byte, blocks * BLOCK, w.in() / 2);
        long most = Math.max(1, PIECE / w.in() / BLOCK) * BLOCK;
        for (long start = 0; start < w.out(); start += most) {
            long from = start;
            long rows = Math.min(most, w.out() - start);
            Memory.scoped(() -> {
                long more = (BLOCK - rows % BLOCK) % BLOCK;
                Tensor codes = below(w.rows(from, rows).codes(), more).to(ScalarType.Int);
                all.narrow(0, from, rows + more).copy_(Ops.call(PACK, new IValue(codes), new IValue(1L)));
            });
        }
        return all;
    }

    private static Tensor below(Tensor t, long rows) {
        return rows == 0 ? t : constant_pad_nd(t, new long[] {0, 0, 0, rows}, new Scalar(0L));
    }

    /** Rows of a panel, whose values lie input by input, those of its second half above those of its first; 0 where the layout is another. */
    private static long panel() {
        try (PointerScope scope = new PointerScope()) {
            Tensor codes = torch.arange(new Scalar(BLOCK * 32))
                    .mul(new Scalar(13))
                    .floor_divide(new Scalar(5)) // no two rows and no two columns alike
                    .remainder(new Scalar(16))
                    .to(ScalarType.Int)
                    .view(BLOCK, 32);
            Tensor packed = Ops.call(PACK, new IValue(codes), new IValue(1L));
            for (long rows : new long[] {BLOCK, BLOCK / 2}) { // AVX-512, AVX2
                if (unpacked(packed, 32, rows).to(ScalarType.Int).equal(codes)) {
                    return rows;
                }
            }
        }
        return 0;
    }

    /** @return uint8 [out and padding, in] */
    private static Tensor unpacked(Tensor packed, long in, long panel) {
        Tensor pairs = packed.view(-1, in, panel / 2);
        Tensor low = pairs.bitwise_and(new Scalar(15L));
        Tensor high = pairs.__rshift__(new Scalar(4L));
        return cat(new TensorVector(low, high), 2).transpose(1, 2).reshape(-1, in);
    }

    /** [out, in]. */
    private Tensor dequantized(ScalarType type) {
        Tensor both = scalesAndZeros.toTensor().narrow(1, 0, out); // [in / group, out, 2]
        Tensor scales = both.select(2, 0).t(); // [out, in / group]
        Tensor zeros = both.select(2, 1).t();
        if (plain != null) {
            return new QuantizedWeight(plain, scales, zeros).dequantized(type);
        }
        Tensor codes = unpacked(packed.toTensor(), scales.size(1) * group.toInt(), PANEL)
                .narrow(0, 0, out);
        return QuantizedWeight.dequantized(codes, scales, zeros, type);
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
            y = y.size(1) == out ? y : y.narrow(1, 0, out);
        } else {
            y = OneDnn.plain(rows, dequantized(ScalarType.BFloat16), null, Activation.LINEAR);
        }
        shape[shape.length - 1] = out;
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
        return Memory.scoped(() -> dequantized(ScalarType.Float));
    }

    @Override
    public void close() {
        packed.close();
        group.close();
        scalesAndZeros.close();
        Memory.close(plain);
        Memory.close(bias);
    }
}
