package dev.headstart.train.pretrain;

import dev.headstart.models.Tensors;
import dev.headstart.nn.Losses;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.Objective;
import dev.headstart.train.TrainingData;
import dev.headstart.train.pretrain.Corpus.Split;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalInt;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;

/** The next token, at every position of packed text; documents are parted by the end token. */
final class CausalGoal extends Goal {
    CausalGoal(PretrainOptions options, Tokenizer tokenizer, int blockSize) {
        super(options, tokenizer, blockSize);
    }

    @Override
    OptionalInt end() {
        return tokenizer.eosId();
    }

    @Override
    TrainingData data(Shards shards, Split split) {
        TokenShard shard = shards.tokens(split);
        int tokens = blockSize + 1;
        int size = blocks(shard, tokens, split);
        return new TrainingData() {
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
                long[][] input = new long[indexes.length][];
                long[][] next = new long[indexes.length][];
                for (int r = 0; r < indexes.length; r++) {
                    long from = start(indexes[r], tokens, shard.length(), split == Split.TRAIN, random);
                    long[] row = shard.read(from, tokens);
                    input[r] = Arrays.copyOf(row, blockSize);
                    next[r] = Arrays.copyOfRange(row, 1, tokens);
                }
                Map<String, Tensor> batch = new LinkedHashMap<>();
                batch.put("input_ids", Tensors.int64(input)); // [B, S]
                batch.put("shift_labels", Tensors.int64(next)); // [B, S]
                return batch;
            }
        };
    }

    @Override
    Map<String, Tensor> inputs(Map<String, Tensor> batch) {
        return Map.of("input_ids", get(batch, "input_ids"));
    }

    @Override
    Objective objective() {
        return (model, batch) ->
                Losses.crossEntropy(get(Objective.forward(model, inputs(batch)), "logits"), get(batch, "shift_labels"));
    }

    @Override
    void measure(Map<String, Tensor> batch, Map<String, Tensor> outputs, Tally tally) {
        Tensor labels = get(batch, "shift_labels");
        double loss = Losses.crossEntropy(get(outputs, "logits"), labels).item_double();
        tally.tokens(loss, labels.numel(), -1);
    }
}
