package dev.headstart.train.finetune;

import dev.headstart.models.Tensors;
import dev.headstart.text.Encoding;
import dev.headstart.text.Side;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.TrainingData;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;

/** Tokenized texts, padded to the longest of their batch. Subclasses add labels. */
abstract class TextData implements TrainingData {
    private final List<long[]> ids = new ArrayList<>();
    private final List<long[]> types = new ArrayList<>();
    private final long padId;
    private final boolean withTypes;
    private final boolean left;

    TextData(Tokenizer tokenizer) {
        padId = tokenizer.padId().orElse(0);
        withTypes = tokenizer.modelInputNames().contains("token_type_ids");
        left = tokenizer.paddingSide() == Side.LEFT;
    }

    final void add(Encoding encoding) {
        ids.add(encoding.ids());
        if (withTypes) {
            types.add(encoding.typeIds());
        }
    }

    /** Token ids without segments. */
    final void add(long[] tokens) {
        ids.add(tokens);
        if (withTypes) {
            types.add(new long[tokens.length]);
        }
    }

    final long[] ids(int index) {
        return ids.get(index);
    }

    @Override
    public int size() {
        return ids.size();
    }

    @Override
    public int length(int index) {
        return ids.get(index).length;
    }

    @Override
    public Map<String, Tensor> batch(int[] indexes, SplittableRandom random) {
        int width = Arrays.stream(indexes).map(this::textLength).max().orElse(0);
        long[][] rows = new long[indexes.length][];
        long[][] mask = new long[indexes.length][];
        for (int r = 0; r < rows.length; r++) {
            rows[r] = padded(ids.get(indexes[r]), width, padId);
            mask[r] = padded(ones(textLength(indexes[r])), width, 0);
        }
        Map<String, Tensor> batch = new LinkedHashMap<>();
        labels(batch, rows, indexes, random);
        batch.put("input_ids", Tensors.int64(rows)); // [B, S]
        batch.put("attention_mask", Tensors.int64(mask)); // [B, S]
        if (withTypes) {
            long[][] segments = new long[indexes.length][];
            for (int r = 0; r < rows.length; r++) {
                segments[r] = padded(types.get(indexes[r]), width, 0);
            }
            batch.put("token_type_ids", Tensors.int64(segments)); // [B, S]
        }
        return batch;
    }

    /** Tokens of one text: what {@link #length} is where an example is one text. */
    int textLength(int text) {
        return ids.get(text).length;
    }

    /** Puts the labels of a batch in. @param rows the padded ids, [B, S]; may be changed (masks) */
    abstract void labels(Map<String, Tensor> batch, long[][] rows, int[] indexes, SplittableRandom random);

    final long[] padded(long[] values, int width, long pad) {
        long[] out = new long[width];
        Arrays.fill(out, pad);
        System.arraycopy(values, 0, out, left ? width - values.length : 0, values.length);
        return out;
    }

    private static long[] ones(int n) {
        long[] out = new long[n];
        Arrays.fill(out, 1);
        return out;
    }

    /** Every example once, in batches of similar length. */
    final List<int[]> inOrderOfLength(int batchSize) {
        Integer[] order = new Integer[size()];
        Arrays.setAll(order, i -> i);
        Arrays.sort(order, Comparator.comparingInt((Integer i) -> length(i)).reversed());
        List<int[]> all = new ArrayList<>();
        for (int from = 0; from < order.length; from += batchSize) {
            int[] one = new int[Math.min(batchSize, order.length - from)];
            for (int i = 0; i < one.length; i++) {
                one[i] = order[from + i];
            }
            all.add(one);
        }
        return all;
    }
}
