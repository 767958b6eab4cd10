package dev.headstart.generation;

import static org.bytedeco.pytorch.global.torch.empty;

import dev.headstart.nn.Attention;
import dev.headstart.nn.Ops;
import dev.headstart.nn.RowProgram;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * Keys and values of the tokens that were read, one pair of buffers a layer, [R, H, capacity, D], reserved at the first use. Rows have their own
 * lengths, so that prompts of different lengths need no padding, and can join, leave, repeat and move. Belongs to one call.
 *
 * <p>A step: {@link #begin}, then in every layer {@link #update} and attention under {@link #mask}, then {@link #end}.
 */
public final class KvCache implements AutoCloseable {
    /** Keys and values of all tokens so far, both [R, H, L, D]; views of the cache. */
    public record KeysValues(Tensor keys, Tensor values) {}

    private final @Nullable Tensor[] keys;
    private final @Nullable Tensor[] values;
    private final int capacity;
    private int[] lengths;
    private int[][] shared; // shared[i][j]: how many leading tokens of rows i and j are the same by history
    private int reservedRows;

    // --- of the running step
    private int[] added = new int[0];
    private int width;
    private int total;
    private boolean aligned;
    private @Nullable Tensor positions;
    private final Map<Integer, Tensor> masks = new HashMap<>();

    private @Nullable RowProgram program;
    private @Nullable Tensor[] recorded = new Tensor[0]; // the buffers that it reads
    private boolean unrecordable;

    /**
     * @param layers number of decoder layers
     * @param rows rows to begin with
     * @param capacity most tokens a row will hold
     */
    public KvCache(int layers, int rows, int capacity) {
        this.keys = new Tensor[layers];
        this.values = new Tensor[layers];
        this.capacity = capacity;
        this.lengths = new int[rows];
        this.shared = new int[rows][rows];
        this.reservedRows = rows;
    }

    /** Rows in use. */
    public int rows() {
        return lengths.length;
    }

    /** Tokens that each row holds. */
    public int[] lengths() {
        return lengths.clone();
    }

    /** Tokens of the longest row. */
    public int longest() {
        return Arrays.stream(lengths).max().orElse(0);
    }

    /**
     * Begins a step.
     *
     * @param added real new tokens of each row
     * @param width tokens a row in the step's tensors, padding on the right included
     * @param device where the step's positions and masks are made
     */
    public void begin(int[] added, int width, Device device) {
        if (added.length != rows()) {
            throw new IllegalArgumentException("a step of " + added.length + " rows, but the cache holds " + rows());
        }
        this.added = added.clone();
        this.width = width;
        int longest = longest();
        total = longest + width;
        aligned = Arrays.stream(lengths).allMatch(n -> n == longest);
        if (longest + Arrays.stream(added).max().orElse(0) > capacity) {
            throw new IllegalStateException("the cache holds " + capacity + " tokens a row and is full");
        }
        masks.clear();
        long[] start = aligned
                ? new long[] {longest}
                : Arrays.stream(lengths).asLongStream().toArray();
        Tensor first = Tensor.create(start, start.length, 1).to(device, torch.ScalarType.Long); // [R or 1, 1]
        positions = width == 1 ? first : first.add(Ops.upTo(width, device)); // [R or 1, S]
    }

    /** Position of each token of the step, [R, S], or [1, S] where it is the same for all rows. */
    public Tensor positions() {
        return begun(positions);
    }

    /**
     * Adds a layer's keys and values of the step.
     *
     * @param k [R, H, S, D]
     * @param v [R, H, S, D]
     * @return those of all tokens so far; in places that {@link #mask} hides, what lies there is of no meaning
     */
    public KeysValues update(int layer, Tensor k, Tensor v) {
        return new KeysValues(put(keys, layer, k), put(values, layer, v));
    }

    /**
     * Adds a layer's key and value of a step of one token in the only row, and attends to all so far.
     *
     * @param qkv query, key and value side by side, [1, 1, 3 H D]
     * @param scale of the scores
     * @return [1, 1, H D]; null where this is not that case: then nothing is added
     */
    public @Nullable Tensor attend(int layer, Tensor qkv, double scale) {
        Tensor k = keys[layer];
        Tensor v = values[layer];
        if (width != 1 || rows() != 1 || k == null || v == null || k.size(2) < total) {
            return null;
        }
        return Attention.step(qkv, k, v, total, scale);
    }

    /** Says how a model's layers treat a step's only row, the keys and values of before in {@link #reserved}; and whether it could. */
    public interface Recorder {
        /** @param program whose row goes through the layers */
        boolean record(RowProgram program);
    }

    /**
     * Runs a step of one token in the only row as one program, which is recorded at the first such step.
     *
     * @param x [1, 1, E]
     * @return the row when it went through the layers, [1, 1, E], good until the next step; null where the layers must be run one by one
     */
    public @Nullable Tensor run(Tensor x, Recorder recorder) {
        if (width != 1 || rows() != 1 || unrecordable) {
            return null;
        }
        RowProgram p = program;
        if (p == null || !sameBuffers()) {
            forgetProgram();
            if (!reservedFor(Math.max(capacity, total))) {
                return null;
            }
            p = RowProgram.of(x.numel(), recorder::record);
            program = p;
            unrecordable = p == null;
            recorded = concat(keys, values);
        }
        return p == null ? null : p.run(x, total);
    }

    /** The buffers of a layer, [R, H, capacity, D]; there is one after the first step. */
    public KeysValues reserved(int layer) {
        return new KeysValues(Objects.requireNonNull(keys[layer]), Objects.requireNonNull(values[layer]));
    }

    private boolean reservedFor(int tokens) {
        return Stream.concat(Arrays.stream(keys), Arrays.stream(values))
                .allMatch(b -> b != null && b.size(2) >= tokens);
    }

    private boolean sameBuffers() {
        @Nullable Tensor[] now = concat(keys, values);
        return IntStream.range(0, now.length).allMatch(i -> now[i] == recorded[i]);
    }

    private static @Nullable Tensor[] concat(@Nullable Tensor[] a, @Nullable Tensor[] b) {
        return Stream.concat(Arrays.stream(a), Arrays.stream(b)).toArray(Tensor[]::new);
    }

    private void forgetProgram() {
        if (program != null) {
            program.close();
            program = null;
        }
    }

    /** Whether the step's tokens are the first ones of all rows. */
    public boolean beginsRows() {
        return total == width;
    }

    private Tensor put(@Nullable Tensor[] buffers, int layer, Tensor x) {
        Tensor buffer = buffers[layer];
        if (buffer == null || buffer.size(1) != x.size(1) || buffer.size(3) != x.size(3)) { // not yet, or as for others
            // padding of a ragged step may lie beyond the last real token, hence the margin of one step's width
            buffer = reserveLayers(buffers, layer, x, Math.max(capacity, total));
        }
        int longest = total - width;
        if (buffer.size(2) < total) {
            Tensor wider = reserve(x.size(1), total, x.size(3), x);
            wider.narrow(2, 0, longest).copy_(buffer.narrow(2, 0, longest));
            buffer.close();
            buffer = wider;
            buffers[layer] = wider;
        }
        Tensor rows = buffer.size(0) == rows() ? buffer : buffer.narrow(0, 0, rows());
        if (aligned) {
            rows.narrow(2, longest, width).copy_(x);
        } else {
            rows.narrow(2, longest, width)
                    .zero_(); // shorter rows do not reach here; what a mask hides is multiplied by 0 and must be a
            // number
            Tensor index = begun(positions).view(rows(), 1, width, 1).expand(x.sizes()); // [R, H, S, D]
            rows.scatter_(2, index, x);
        }
        return rows.narrow(2, 0, total); // [R, H, L, D]
    }

    /**
     * Reserves a layer's buffer, and with it those of the layers after it, as they are mostly alike: one piece of memory. As many pieces, between what layers compute,
     * they would keep what those give back from being used again.
     */
    private Tensor reserveLayers(@Nullable Tensor[] buffers, int layer, Tensor x, int tokens) {
        int layers = buffers.length - layer;
        Tensor all = empty(new long[] {layers, reservedRows, x.size(1), tokens, x.size(3)}, options(x), null);
        for (int i = 0; i < layers; i++) {
            Tensor one = all.select(0, i);
            one.retainReference();
            if (buffers[layer + i] != null) {
                buffers[layer + i].close();
            }
            buffers[layer + i] = one;
        }
        return Objects.requireNonNull(buffers[layer]);
    }

    private Tensor reserve(long heads, long tokens, long size, Tensor like) {
        Tensor t = empty(new long[] {reservedRows, heads, tokens, size}, options(like), null);
        t.retainReference();
        return t;
    }

    private static TensorOptions options(Tensor like) {
        return like.options().requires_grad(new BoolOptional(false));
    }

    /**
     * Which tokens each new token may see: an additive mask, 0 or minus infinity, [R or 1, 1, S, L], or null when every new token sees all.
     *
     * @param window tokens that a sliding window lets a token see, itself included; 0 for all
     * @param dtype the type of the attention scores
     */
    public @Nullable Tensor mask(int window, torch.ScalarType dtype) {
        boolean everything = width == 1 && aligned && (window == 0 || total <= window);
        return everything ? null : masks.computeIfAbsent(window, w -> makeMask(w, dtype));
    }

    /** Whether {@link #mask} hides what comes after each token and nothing else, on a GPU, whose kernels know that by themselves. */
    public boolean causal(int window) {
        return begun(positions).is_cuda() && width > 1 && total == width && (window == 0 || total <= window);
    }

    private Tensor makeMask(int window, torch.ScalarType dtype) {
        Tensor query = begun(positions).unsqueeze(-1); // [R, S, 1]
        Tensor key = Ops.upTo(total, query.device()).view(1, 1, -1); // [1, 1, L]
        Tensor hidden = key.gt(query); // [R, S, L]
        if (window > 0) {
            hidden = hidden.logical_or(key.le(query.sub(new Scalar(window))));
        }
        return torch.zeros(hidden.shape(), Ops.options(dtype.intern(), query.device()))
                .masked_fill(hidden, new Scalar(Double.NEGATIVE_INFINITY))
                .unsqueeze(1); // [R, 1, S, L]
    }

    /**
     * The hidden states of the last real token of each row.
     *
     * @param hidden [R, S, E]
     * @return [R, E]
     */
    public Tensor last(Tensor hidden) {
        return last(hidden, added);
    }

    /** The hidden states at the last of each row's {@code lengths} tokens; from [R, S, E] to [R, E]. */
    public static Tensor last(Tensor hidden, int[] lengths) {
        long width = hidden.size(1);
        if (Arrays.stream(lengths).allMatch(n -> n == width)) {
            return hidden.select(1, width - 1);
        }
        long[] at = Arrays.stream(lengths).mapToLong(n -> n - 1).toArray();
        Tensor index = Tensor.create(at, at.length, 1, 1)
                .to(hidden.device(), torch.ScalarType.Long)
                .expand(hidden.size(0), 1, hidden.size(2));
        return hidden.gather(1, index).squeeze(1);
    }

    /** Ends a step: its tokens count from now on. */
    public void end() {
        for (int r = 0; r < lengths.length; r++) {
            lengths[r] += added[r];
            shared[r][r] = lengths[r];
        }
        positions = null;
        masks.clear();
    }

    /**
     * Chooses the rows that go on: row i becomes what row {@code sources[i]} was. Of rows with a common history only what differs is copied.
     */
    public void select(int[] sources) {
        int count = sources.length;
        int[] from = new int[count];
        int first = Integer.MAX_VALUE;
        int end = 0;
        int changed = 0;
        for (int i = 0; i < count; i++) {
            int s = sources[i];
            from[i] = i < lengths.length ? (i == s ? lengths[s] : Math.min(shared[i][s], lengths[s])) : 0;
            if (i != s && from[i] < lengths[s]) {
                changed++;
                first = Math.min(first, from[i]);
                end = Math.max(end, lengths[s]);
            }
        }
        if (changed > 0 || count > lengths.length) {
            long[] to = new long[changed];
            long[] source = new long[changed];
            for (int i = 0, n = 0; i < count; i++) {
                if (i != sources[i] && from[i] < lengths[sources[i]]) {
                    to[n] = i;
                    source[n++] = sources[i];
                }
            }
            int begin = Math.min(first, end);
            int tokens = end - begin;
            try (PointerScope scope = new PointerScope()) {
                for (@Nullable Tensor[] buffers : List.of(keys, values)) {
                    for (int layer = 0; layer < buffers.length; layer++) {
                        if (buffers[layer] != null) {
                            buffers[layer] = move(buffers[layer], count, to, source, begin, tokens);
                        }
                    }
                }
            }
            reservedRows = Math.max(reservedRows, count);
        }
        int[] newLengths = new int[count];
        int[][] newShared = new int[count][count];
        for (int i = 0; i < count; i++) {
            newLengths[i] = lengths[sources[i]];
            for (int j = 0; j < count; j++) {
                newShared[i][j] = sources[i] == sources[j] ? lengths[sources[i]] : shared[sources[i]][sources[j]];
            }
        }
        lengths = newLengths;
        shared = newShared;
    }

    private Tensor move(Tensor buffer, int count, long[] to, long[] source, int begin, int tokens) {
        int old = rows();
        int longest = longest();
        Tensor target = buffer;
        if (count > buffer.size(0)) { // more rows than there were: the fork of beams
            long[] shape = {count, buffer.size(1), buffer.size(2), buffer.size(3)};
            target = empty(shape, options(buffer), null);
            target.retainReference();
            target.narrow(0, 0, old)
                    .narrow(2, 0, longest)
                    .copy_(buffer.narrow(0, 0, old).narrow(2, 0, longest));
        }
        if (count > old) {
            target.narrow(0, old, count - old).narrow(2, 0, longest).zero_();
        }
        if (to.length > 0 && tokens > 0) {
            Device device = buffer.device();
            Tensor sources = Tensor.create(source).to(device, torch.ScalarType.Long);
            Tensor taken = buffer.narrow(2, begin, tokens).index_select(0, sources); // [changed, H, tokens, D]
            target.narrow(2, begin, tokens).index_copy_(0, Tensor.create(to).to(device, torch.ScalarType.Long), taken);
        }
        if (target != buffer) {
            buffer.close();
        }
        return target;
    }

    /**
     * Lets one row of another cache join this one, as its last row.
     *
     * @param other a cache of the same model
     */
    public void join(KvCache other, int row) {
        int at = rows();
        grow(at + 1);
        try (PointerScope scope = new PointerScope()) {
            for (int layer = 0; layer < keys.length; layer++) {
                copyRow(keys, other.keys[layer], layer, row, at, other.lengths[row]);
                copyRow(values, other.values[layer], layer, row, at, other.lengths[row]);
            }
        }
        lengths[at] = other.lengths[row];
        shared[at][at] = lengths[at];
    }

    private void grow(int count) {
        int[][] wider = new int[count][count];
        for (int i = 0; i < lengths.length; i++) {
            System.arraycopy(shared[i], 0, wider[i], 0, lengths.length);
        }
        shared = wider;
        lengths = Arrays.copyOf(lengths, count);
        reservedRows = Math.max(reservedRows, count);
    }

    private void copyRow(@Nullable Tensor[] buffers, @Nullable Tensor from, int layer, int row, int at, int tokens) {
        if (from == null) {
            return;
        }
        Tensor buffer = buffers[layer];
        if (buffer == null) {
            buffer = reserve(from.size(1), Math.max(capacity, tokens), from.size(3), from);
        } else if (buffer.size(0) <= at || buffer.size(2) < tokens) {
            Tensor wider = reserve(from.size(1), Math.max(buffer.size(2), tokens), from.size(3), from);
            wider.narrow(0, 0, at)
                    .narrow(2, 0, longest())
                    .copy_(buffer.narrow(0, 0, at).narrow(2, 0, longest()));
            buffer.close();
            buffer = wider;
        }
        buffers[layer] = buffer;
        buffer.select(0, at).narrow(1, 0, Math.max(longest(), tokens)).zero_();
        buffer.select(0, at).narrow(1, 0, tokens).copy_(from.select(0, row).narrow(1, 0, tokens));
    }

    /** Forgets all but the first {@code tokens} of the only row, so that a chat can go on from a common beginning. */
    public void truncate(int tokens) {
        for (int r = 0; r < lengths.length; r++) {
            lengths[r] = Math.min(lengths[r], tokens);
            for (int j = 0; j < lengths.length; j++) {
                shared[r][j] = Math.min(shared[r][j], tokens);
            }
        }
    }

    private static Tensor begun(@Nullable Tensor t) {
        if (t == null) {
            throw new IllegalStateException("no step has begun");
        }
        return t;
    }

    @Override
    public void close() {
        forgetProgram();
        for (@Nullable Tensor[] buffers : List.of(keys, values)) {
            for (int i = 0; i < buffers.length; i++) {
                if (buffers[i] != null) {
                    buffers[i].close();
                    buffers[i] = null;
                }
            }
        }
    }
}
