package dev.headstart.train.pretrain;

import dev.headstart.HeadstartException;
import dev.headstart.models.Tensors;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.Objective;
import dev.headstart.train.TrainingData;
import dev.headstart.train.pretrain.Corpus.Split;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalInt;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Tensor;

/** Missing spans: each is replaced by a sentinel, the target names the sentinels and what they stand for. All examples have the same lengths. */
final class SpanGoal extends Goal {
    private final SpanMask.Lengths lengths;
    private final long[] sentinels;
    private final int eos;

    SpanGoal(PretrainOptions options, Tokenizer tokenizer, int blockSize) {
        super(options, tokenizer, blockSize);
        if (!(options.noiseDensity > 0 && options.noiseDensity < 1 && options.meanSpan >= 1)) {
            throw new HeadstartException("--noise-density must be between 0 and 1 and --mean-noise-span-length at least"
                    + " 1, found " + options.noiseDensity + " and " + options.meanSpan);
        }
        lengths = SpanMask.fitting(blockSize, options.noiseDensity, options.meanSpan);
        int spans = SpanMask.spans(lengths.raw(), options.noiseDensity, options.meanSpan);
        sentinels = new long[spans];
        for (int i = 0; i < spans; i++) {
            String name = "<extra_id_" + i + ">";
            int n = i;
            sentinels[i] = tokenizer
                    .tokenToId(name)
                    .orElseThrow(() -> new HeadstartException("examples of " + blockSize + " tokens need " + spans
                            + " sentinels, the tokenizer has " + n + " (" + name
                            + " is missing); use a T5 tokenizer, or a smaller --block-size"));
        }
        eos = tokenizer
                .eosId()
                .orElseThrow(() -> new HeadstartException(
                        "span corruption needs a tokenizer with an end token (eos_token), as T5's </s>"));
    }

    @Override
    OptionalInt end() {
        return OptionalInt.of(eos);
    }

    /** The missing spans' or the kept text's side of an example: runs that belong to the other side become sentinels. */
    private long[] side(long[] row, boolean[] mask, boolean missing, int length) {
        long[] out = new long[length];
        int n = 0;
        int run = 0;
        for (int i = 0; i < row.length; i++) {
            if (mask[i] == missing) {
                out[n++] = row[i];
            } else if (i == 0 || mask[i - 1] == missing) {
                out[n++] = sentinels[run++];
            }
        }
        out[n++] = eos;
        if (n != length) {
            throw new IllegalStateException(n + " tokens, expected " + length);
        }
        return out;
    }

    /** @return input and target of a piece of text */
    long[][] corrupt(long[] row, SplittableRandom random) {
        boolean[] mask = SpanMask.draw(row.length, options.noiseDensity, options.meanSpan, random);
        return new long[][] {side(row, mask, false, lengths.input()), side(row, mask, true, lengths.target())};
    }

    SpanMask.Lengths lengths() {
        return lengths;
    }

    @Override
    TrainingData data(Shards shards, Split split) {
        TokenShard shard = shards.tokens(split);
        int size = blocks(shard, lengths.raw(), split);
        return new TrainingData() {
            @Override
            public int size() {
                return size;
            }

            @Override
            public int length(int index) {
                return lengths.raw();
            }

            @Override
            public Map<String, Tensor> batch(int[] indexes, SplittableRandom random) {
                long[][] input = new long[indexes.length][];
                long[][] target = new long[indexes.length][];
                for (int r = 0; r < indexes.length; r++) {
                    long from = start(indexes[r], lengths.raw(), shard.length(), split == Split.TRAIN, random);
                    long[][] both = corrupt(shard.read(from, lengths.raw()), random);
                    input[r] = both[0];
                    target[r] = both[1];
                }
                Map<String, Tensor> batch = new LinkedHashMap<>();
                batch.put("input_ids", Tensors.int64(input)); // [B, S]
                batch.put("labels", Tensors.int64(target)); // [B, T]
                return batch;
            }
        };
    }

    @Override
    Objective objective() {
        return Objective.ofModel();
    }

    @Override
    void measure(Map<String, Tensor> batch, Map<String, Tensor> outputs, Tally tally) {
        Tensor labels = get(batch, "labels");
        Tensor best = get(outputs, "logits").argmax(new LongOptional(-1), false); // [B, T]
        tally.tokens(
                get(outputs, "loss").item_double(),
                labels.numel(),
                best.eq(labels).sum().item_long());
    }
}
