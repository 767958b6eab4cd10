package dev.headstart.nn;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Texts of different lengths without their padding: one text's positions after the other's, [T, H]. Linears and norms see real positions alone; attention
 * is that of neighbours of a like length together. B batch, S length of the longest, T positions of all texts, H hidden size, h heads, d head size.
 */
public final class Packing {
    /** Attention of one group of texts. */
    interface GroupAttention {
        /** @param q [texts, h, length, d], as k and v; @param mask added to the scores, broadcastable to [texts, h, length, length]; @return as q */
        Tensor of(Tensor q, Tensor k, Tensor v, @Nullable Tensor mask);
    }

    private final int[] lengths;
    private final int longest;
    private final int heads;
    private final Tensor places; // of the T positions among B * S, int64 [T]

    private Packing(int[] lengths, int longest, int heads) {
        this.lengths = lengths;
        this.longest = longest;
        this.heads = heads;
        int[] at = new int[Arrays.stream(lengths).sum()];
        for (int b = 0, next = 0; b < lengths.length; b++) {
            for (int s = 0; s < lengths[b]; s++) {
                at[next++] = b * longest + s;
            }
        }
        places = ints(at).to(ScalarType.Long);
    }

    /**
     * How to leave out the padding of a batch.
     *
     * @param lengths positions of each text, [B]; best in order, so that those of a like length are neighbours
     * @param longest S
     * @param heads h
     * @return null where nothing is padded
     */
    public static @Nullable Packing of(int[] lengths, int longest, int heads) {
        return Arrays.stream(lengths).allMatch(n -> n == longest) ? null : new Packing(lengths.clone(), longest, heads);
    }

    /** How attention sees the texts: each itself alone, by code of our own, or group by group, with what is added to the scores of each. */
    public static final class View {
        private final @Nullable Tensor bounds;
        private final List<Group> groups;
        private final List<@Nullable Tensor> masks;

        private View(@Nullable Tensor bounds, List<Group> groups, List<@Nullable Tensor> masks) {
            this.bounds = bounds;
            this.groups = groups;
            this.masks = masks;
        }

        /** As {@link TextAttention#bounds}; null where attention goes group by group. */
        @Nullable
        Tensor bounds() {
            return bounds;
        }
    }

    /**
     * How the layers' attention sees the texts.
     *
     * @param bias added to the scores, [1, h, S, S]; null for none
     * @param x the first layer's input, [T, H] or [B, S, H]
     */
    public View view(@Nullable Tensor bias, Tensor x) {
        ScalarType type = Ops.type(x);
        if (bias == null && TextAttention.fits(x.size(-1) / heads, type, longest)) {
            return new View(TextAttention.bounds(lengths), List.of(), List.of());
        }
        List<Group> groups = groups();
        List<@Nullable Tensor> masks = new ArrayList<>();
        for (Group g : groups) {
            Tensor own = bias == null ? null : bias.narrow(2, 0, g.length).narrow(3, 0, g.length);
            Tensor padding = g.padding(type);
            masks.add(own == null ? padding : padding == null ? own : own.add(padding));
        }
        return new View(null, groups, masks);
    }

    private List<Group> groups() {
        List<Group> groups = new ArrayList<>();
        int start = 0;
        for (int first = 0, end; first < lengths.length; first = end) {
            end = first + 1;
            int tokens = lengths[first];
            // an eighth of padding costs less than the calls that another group takes
            while (end < lengths.length && lengths[end] <= lengths[first] && 8 * lengths[end] >= 7 * lengths[first]) {
                tokens += lengths[end++];
            }
            groups.add(new Group(start, tokens, first, end));
            start += tokens;
        }
        return groups;
    }

    /** @param x [B, S, H]; @return [T, H] */
    public Tensor pack(Tensor x) {
        return x.reshape(-1, x.size(2)).index_select(0, places);
    }

    /** @param x [T, H]; @return [B, S, H], zero at the padding */
    public Tensor unpack(Tensor x) {
        Tensor all = torch.zeros(new long[] {(long) lengths.length * longest, x.size(1)}, Ops.options(Ops.type(x)));
        return all.index_copy_(0, places, x).view(lengths.length, longest, x.size(1));
    }

    /**
     * Attention of all texts.
     *
     * @param qkv query, key and value side by side, [T, 3 h d]
     * @param scale of the scores
     * @param attention of a group
     * @return [T, h d]
     */
    Tensor attend(Tensor qkv, View view, double scale, GroupAttention attention) {
        if (view.bounds != null) {
            return TextAttention.attend(qkv, view.bounds, longest, heads, scale);
        }
        Tensor[] parts = new Tensor[view.groups.size()];
        for (int i = 0; i < parts.length; i++) {
            Group group = view.groups.get(i);
            Tensor mask = view.masks.get(i);
            parts[i] = Memory.local(() -> group.attend(qkv, mask, attention));
        }
        return parts.length == 1 ? parts[0] : torch.cat(new TensorVector(parts), 0); // [T, h d]
    }

    /** S. */
    int longest() {
        return longest;
    }

    /** Neighbours of a like length, the first of which is the longest. */
    private final class Group {
        private final int start;
        private final int tokens;
        private final int first;
        private final int texts;
        private final int length;
        private final Tensor in; // of [tokens * 3 * h, d] those that become [3, texts, h, length, d]
        private final Tensor out; // of [texts * h * length, d] those that become [tokens, h, d]

        /** @param start the first text's place among T; @param first the first text; @param end the text after the last */
        Group(int start, int tokens, int first, int end) {
            this.start = start;
            this.tokens = tokens;
            this.first = first;
            texts = end - first;
            length = lengths[first];
            int[] from = new int[3 * texts * heads * length];
            int[] back = new int[tokens * heads];
            int at = 0;
            for (int part = 0; part < 3; part++) {
                for (int b = 0, text = 0; b < texts; text += lengths[first + b++]) {
                    for (int h = 0; h < heads; h++) {
                        for (int s = 0; s < length; s++, at++) {
                            boolean real = s < lengths[first + b];
                            from[at] = ((real ? text + s : text) * 3 + part) * heads + h; // padding: any number
                            if (real && part == 0) {
                                back[(text + s) * heads + h] = at;
                            }
                        }
                    }
                }
            }
            in = ints(from);
            out = ints(back);
        }

        /** 0 where a key may be seen, the type's lowest value where not, [texts, 1, 1, length]; null where all may be. */
        @Nullable
        Tensor padding(ScalarType type) {
            if (tokens == texts * length) {
                return null;
            }
            float[] hidden = new float[texts * length];
            for (int b = 0; b < texts; b++) {
                for (int s = lengths[first + b]; s < length; s++) {
                    hidden[b * length + s] = (float) Attention.lowest(type);
                }
            }
            return Tensor.create(hidden, texts, 1, 1, length).to(type);
        }

        /** @param qkv [T, 3 h d]; @return [tokens, h d] */
        Tensor attend(Tensor qkv, @Nullable Tensor mask, GroupAttention attention) {
            long d = qkv.size(1) / 3 / heads;
            Tensor all = qkv.narrow(0, start, tokens)
                    .view(3L * tokens * heads, d)
                    .index_select(0, in)
                    .view(3, texts, heads, length, d);
            Tensor y =
                    attention.of(all.select(0, 0), all.select(0, 1), all.select(0, 2), mask); // [texts, h, length, d]
            return y.reshape((long) texts * heads * length, d)
                    .index_select(0, out)
                    .view(tokens, heads * d);
        }
    }

    private static Tensor ints(int[] values) {
        Tensor t = Ops.empty(ScalarType.Int, values.length);
        new IntPointer(t.data_ptr_int()).put(values);
        return t;
    }
}
