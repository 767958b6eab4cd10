package dev.headstart.train.pretrain;

import dev.headstart.HeadstartException;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Losses;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.Masking;
import dev.headstart.train.Objective;
import dev.headstart.train.TrainingData;
import dev.headstart.train.pretrain.Corpus.Split;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Tensor;

/** Masked words, and with sentence pairs whether the second text follows the first. Masks and pairs are drawn anew for every batch. */
final class MaskedGoal extends Goal {
    private final boolean pairs;
    private final boolean picks;
    private final Masking masking;
    private final int cls;
    private final int sep;
    private final int pad;

    /** @param picks whether the model computes scores at masked places alone */
    MaskedGoal(PretrainOptions options, Tokenizer tokenizer, int blockSize, boolean picks) {
        super(options, tokenizer, blockSize);
        if (!(options.mlmProbability > 0 && options.mlmProbability < 1)) {
            throw new HeadstartException("--mlm-probability must be between 0 and 1, found " + options.mlmProbability);
        }
        this.pairs = options.objective == PretrainOptions.Objective.MLM_NSP;
        this.picks = picks;
        masking = new Masking(tokenizer, options.mlmProbability);
        cls = tokenizer.clsId().orElseThrow(() -> missing("cls_token"));
        sep = tokenizer.sepId().orElseThrow(() -> missing("sep_token"));
        pad = tokenizer.padId().orElseThrow(() -> missing("pad_token"));
        if (blockSize < 8) {
            throw new HeadstartException("--block-size must be 8 or more for masked words, found " + blockSize);
        }
    }

    private static HeadstartException missing(String what) {
        return new HeadstartException(
                "this tokenizer has no " + what + ": masked language modelling needs one (BERT's" + " has it)");
    }

    @Override
    OptionalInt end() {
        return pairs ? OptionalInt.empty() : OptionalInt.of(sep);
    }

    @Override
    boolean sentences() {
        return pairs;
    }

    /** Tokens of one example before masking. @param next 0 when the second part follows the first, 1 when it is from elsewhere */
    record Example(long[] ids, int secondFrom, long next) {}

    @Override
    TrainingData data(Shards shards, Split split) {
        TokenShard tokens = shards.tokens(split);
        if (pairs) {
            SentencePairs source = new SentencePairs(
                    tokens,
                    shards.sentences(split),
                    shards.documents(split),
                    blockSize - 3,
                    split == Split.TRAIN ? options.shortProbability : 0);
            if (source.size() < 1) {
                throw new HeadstartException("the " + split.name().toLowerCase(java.util.Locale.ROOT)
                        + " split holds no sentences; give more data, or another --validation-split");
            }
            return new Batches(source.size()) {
                @Override
                Example example(int index, SplittableRandom random) {
                    SentencePairs.Pair p = source.draw(index, random);
                    long[] ids = new long[p.first().length + p.second().length + 3];
                    ids[0] = cls;
                    System.arraycopy(p.first(), 0, ids, 1, p.first().length);
                    ids[p.first().length + 1] = sep;
                    System.arraycopy(p.second(), 0, ids, p.first().length + 2, p.second().length);
                    ids[ids.length - 1] = sep;
                    return new Example(ids, p.first().length + 2, p.follows() ? 0 : 1);
                }
            };
        }
        int inner = blockSize - 2;
        return new Batches(blocks(tokens, inner, split)) {
            @Override
            Example example(int index, SplittableRandom random) {
                long[] ids = new long[blockSize];
                ids[0] = cls;
                long from = start(index, inner, tokens.length(), split == Split.TRAIN, random);
                tokens.read(from, inner, ids, 1);
                ids[blockSize - 1] = sep;
                return new Example(ids, blockSize, 0);
            }
        };
    }

    /** Examples, masked and padded to the longest of their batch. */
    private abstract class Batches implements TrainingData {
        private final int size;

        Batches(int size) {
            this.size = size;
        }

        abstract Example example(int index, SplittableRandom random);

        @Override
        public int size() {
            return size;
        }

        @Override
        public int length(int index) {
            return blockSize;
        }

        @Override
        public Map<String, Tensor> batch(int[] indexes, SplittableRandom random) {
            List<Example> examples = new ArrayList<>();
            int width = 0;
            for (int index : indexes) {
                Example e = example(index, random);
                examples.add(e);
                width = Math.max(width, e.ids().length);
            }
            long[][] ids = new long[indexes.length][];
            long[][] types = new long[indexes.length][width];
            long[][] mask = new long[indexes.length][width];
            long[][] labels = new long[indexes.length][];
            long[] next = new long[indexes.length];
            boolean padded = false;
            for (int r = 0; r < indexes.length; r++) {
                Example e = examples.get(r);
                int n = e.ids().length;
                ids[r] = Arrays.copyOf(e.ids(), width);
                Arrays.fill(ids[r], n, width, pad);
                Arrays.fill(types[r], Math.min(n, e.secondFrom()), n, 1);
                Arrays.fill(mask[r], 0, n, 1);
                padded |= n < width;
                labels[r] = masking.mask(ids[r], random);
                next[r] = e.next();
            }
            return tensors(ids, types, padded ? mask : null, labels, next);
        }
    }

    private Map<String, Tensor> tensors(
            long[][] ids,
            long[][] types,
            long @org.jspecify.annotations.Nullable [][] mask,
            long[][] labels,
            long[] next) {
        int width = ids[0].length;
        long[] places = new long[ids.length * width];
        long[] wanted = new long[ids.length * width];
        int n = 0;
        for (int r = 0; r < ids.length; r++) {
            for (int i = 0; i < width; i++) {
                if (labels[r][i] != Masking.IGNORED) {
                    places[n] = (long) r * width + i;
                    wanted[n++] = labels[r][i];
                }
            }
        }
        if (n == 0) { // a tiny batch: one token is predicted as it stands
            labels[0][1] = ids[0][1];
            places[n] = 1;
            wanted[n++] = ids[0][1];
        }
        Map<String, Tensor> batch = new LinkedHashMap<>();
        batch.put("input_ids", Tensors.int64(ids)); // [B, S]
        if (mask != null) {
            batch.put("attention_mask", Tensors.int64(mask)); // [B, S]
        }
        if (picks) {
            batch.put("masked_positions", Tensors.int64(Arrays.copyOf(places, n))); // [M]
            batch.put("labels", Tensors.int64(Arrays.copyOf(wanted, n))); // [M]
        } else {
            batch.put("labels", Tensors.int64(labels)); // [B, S]
        }
        if (pairs) {
            batch.put("token_type_ids", Tensors.int64(types)); // [B, S]
            batch.put("next_sentence_label", Tensors.int64(next)); // [B]
        }
        return batch;
    }

    @Override
    Objective objective() {
        return Objective.ofModel();
    }

    @Override
    void measure(Map<String, Tensor> batch, Map<String, Tensor> outputs, Tally tally) {
        Tensor labels = get(batch, "labels");
        Tensor logits = get(outputs, pairs ? "prediction_logits" : "logits");
        Tensor best = logits.argmax(new LongOptional(-1), false);
        long predicted = labels.ne(new org.bytedeco.pytorch.Scalar(Masking.IGNORED))
                .sum()
                .item_long();
        tally.tokens(
                Losses.crossEntropy(logits, labels).item_double(),
                predicted,
                best.eq(labels).sum().item_long());
        if (pairs) {
            Tensor next = get(batch, "next_sentence_label");
            Tensor scores = get(outputs, "seq_relationship_logits"); // [B, 2]
            tally.pairs(
                    Losses.crossEntropy(scores, next).item_double(),
                    next.numel(),
                    scores.argmax(new LongOptional(-1), false).eq(next).sum().item_long());
        }
    }
}
