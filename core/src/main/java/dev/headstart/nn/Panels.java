package dev.headstart.nn;

import java.util.Arrays;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A weight [out, words] for code of our own, a word being 32 bits: panels of some outputs, a lane each, all words of a panel one after the other, [panels, words, lanes].
 * Outputs are filled up with zeros.
 */
final class Panels {
    /** Words that are laid out at a time. */
    private static final long PIECE = 1 << 16;

    final long count;
    private final int lanes;
    private final long out;
    private final long words;
    private final Tensor values;

    /** Some rows of a weight. */
    interface Rows {
        /** @return int32 [rows, words] */
        Tensor of(long first, long rows);
    }

    /** Some panels. */
    interface Pieces {
        void of(long first, long panels, long rows);
    }

    Panels(long out, long words, int lanes) {
        this.out = out;
        this.words = words;
        this.lanes = lanes;
        count = (out + lanes - 1) / lanes;
        values = Memory.keep(Ops.empty(ScalarType.Int, count, words, lanes));
    }

    /** Outputs with those that fill the last panel. */
    long width() {
        return count * lanes;
    }

    /** A number for each output, and zeros for those that fill the last panel; kept. @param numbers [out]; null for zeros */
    Tensor padded(@Nullable Tensor numbers, ScalarType type) {
        Tensor all = torch.zeros(new long[] {width()}, Ops.options(type));
        if (numbers != null) {
            all.narrow(0, 0, out).copy_(numbers);
        }
        return Memory.keep(all);
    }

    /** Bytes of a panel. */
    long bytes() {
        return words * lanes * Integer.BYTES;
    }

    long address() {
        return values.data_ptr().address();
    }

    /** int32 [panels, words, lanes]. */
    Tensor values() {
        return values;
    }

    /** Lays out all rows, some at a time. */
    void fill(Rows source) {
        inPieces((first, panels, rows) ->
                values.narrow(0, first, panels).copy_(lanes(source.of(first * lanes, rows), panels)));
    }

    void inPieces(Pieces body) {
        long most = Math.max(1, PIECE / words / lanes);
        for (long start = 0; start < count; start += most) {
            long first = start;
            long panels = Math.min(most, count - first);
            Memory.scoped(() -> body.of(first, panels, Math.min(panels * lanes, out - first * lanes)));
        }
    }

    /** @param rows int32 [rows, n], of so many panels or less; @return [panels, n, lanes] */
    Tensor lanes(Tensor rows, long panels) {
        long more = panels * lanes - rows.size(0);
        Tensor all = more == 0 ? rows : torch.constant_pad_nd(rows, new long[] {0, 0, 0, more}, new Scalar(0L));
        return all.view(panels, lanes, rows.size(1)).transpose(1, 2);
    }

    /** The rows again, int32 [out, words]. */
    Tensor plain() {
        return values.transpose(1, 2).reshape(width(), words).narrow(0, 0, out).contiguous();
    }

    /** Some rows, as an embedding reads them. @param ids int64 [...]; @return int32 [..., words] */
    Tensor rows(Tensor ids) {
        Tensor flat = values.view(-1);
        if (ids.numel() == 1 && ids.is_cpu()) {
            long row = ids.item_long();
            long first = row / lanes * lanes * words + row % lanes;
            long[] shape = Arrays.copyOf(ids.shape(), (int) ids.dim() + 1);
            shape[shape.length - 1] = words;
            return flat.as_strided(new long[] {words}, new long[] {lanes}, new LongOptional(first))
                    .contiguous()
                    .view(shape);
        }
        Scalar width = new Scalar((long) lanes);
        Tensor lane = ids.remainder(width); // row r is lane r % lanes of panel r / lanes
        Tensor first = ids.sub(lane).mul(new Scalar(words)).add_(lane).unsqueeze(-1);
        Tensor steps = torch.arange(new Scalar(words)).mul(width).to(ScalarType.Long);
        return flat.take(first.add(steps));
    }

    void close() {
        values.close();
    }
}
