package dev.headstart.train.pretrain;

import dev.headstart.HeadstartException;
import dev.headstart.models.Bert.BertForPreTraining;
import dev.headstart.models.EncoderModels;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.Objective;
import dev.headstart.train.Placement;
import dev.headstart.train.TrainingData;
import dev.headstart.train.pretrain.Corpus.Split;
import java.util.Map;
import java.util.OptionalInt;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/** What a model is pre-trained to do: examples from shards, a loss, measures on held-out text. */
abstract class Goal {
    final PretrainOptions options;
    final Tokenizer tokenizer;
    final int blockSize;

    Goal(PretrainOptions options, Tokenizer tokenizer, int blockSize) {
        this.options = options;
        this.tokenizer = tokenizer;
        this.blockSize = blockSize;
    }

    static Goal of(PretrainOptions options, Tokenizer tokenizer, int blockSize, PreTrainedModel<?> model) {
        return switch (options.objective) {
            case CLM -> new CausalGoal(options, tokenizer, blockSize);
            case MLM, MLM_NSP ->
                new MaskedGoal(
                        options,
                        tokenizer,
                        blockSize,
                        model instanceof BertForPreTraining || model instanceof EncoderModels.EncoderMaskedLM);
            case SPAN_CORRUPTION -> new SpanGoal(options, tokenizer, blockSize);
        };
    }

    /** The token between documents, if there is one. */
    abstract OptionalInt end();

    /** Whether sentences are told apart. */
    boolean sentences() {
        return false;
    }

    /** Examples of a split; those of the training split are another cut of the text each time they are asked for. */
    abstract TrainingData data(Shards shards, Split split);

    abstract Objective objective();

    /** Counts what one batch of held-out text gives. */
    abstract void measure(Map<String, Tensor> batch, Map<String, Tensor> outputs, Tally tally);

    /** The masks and pairs of an evaluation are always the same. */
    final Map<String, Double> evaluate(PreTrainedModel<?> model, TrainingData data) {
        Tally tally = new Tally();
        SplittableRandom random = new SplittableRandom(7);
        long most = Math.max(1, options.evalTokens / blockSize);
        double stride = Math.max(1, (double) data.size() / most);
        int n = (int) Math.min(data.size(), most);
        for (int from = 0; from < n; from += options.evalBatchSize) {
            int[] indexes = new int[Math.min(options.evalBatchSize, n - from)];
            for (int i = 0; i < indexes.length; i++) {
                indexes[i] = (int) ((from + i) * stride);
            }
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> batch = Placement.of(model, data.batch(indexes, random));
                measure(batch, Objective.forward(model, inputs(batch)), tally);
            }
        }
        return tally.metrics();
    }

    /** What of a batch the model takes. */
    Map<String, Tensor> inputs(Map<String, Tensor> batch) {
        return batch;
    }

    static Tensor get(Map<String, Tensor> tensors, String name) {
        Tensor t = tensors.get(name);
        if (t == null) {
            throw new IllegalStateException("no " + name + " among " + tensors.keySet());
        }
        return t;
    }

    /** Number of examples of n tokens in a split, at least one. */
    final int blocks(TokenShard shard, int tokens, Split split) {
        long n = shard.length() / tokens;
        if (n < 1) {
            throw new HeadstartException("the " + split.name().toLowerCase(java.util.Locale.ROOT) + " split has "
                    + shard.length() + " tokens, an example needs " + tokens
                    + "; give more data, a smaller --block-size, or another --validation-split");
        }
        return Math.toIntExact(Math.min(n, Integer.MAX_VALUE - 8));
    }

    /** Where an example begins: evenly over the shard, moved at random in training. */
    static long start(int index, int tokens, long length, boolean moved, SplittableRandom random) {
        long at = (long) index * tokens + (moved ? random.nextInt(tokens) : 0);
        return Math.min(at, length - tokens);
    }
}
