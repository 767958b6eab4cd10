package dev.headstart.train.finetune;

import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.ReadOptions;
import dev.headstart.data.Row;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.text.BatchEncoding;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import dev.headstart.train.Masking;
import dev.headstart.train.Objective;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Words put back where they were masked (Devlin et al. 2019, section 3.1): 15 % of the tokens are predicted, of these 80 % are replaced by the mask,
 * 10 % by a random token, 10 % left; drawn anew for every batch. Long texts become several examples.
 */
final class MaskedLmTask extends FineTuneTask {
    private static final long IGNORED = Masking.IGNORED;
    private @Nullable Columns columns;

    MaskedLmTask(FineTuneOptions options) {
        super(options);
        if (!(options.mlmProbability > 0 && options.mlmProbability < 1)) {
            throw new HeadstartException("--mlm-probability must be between 0 and 1, found " + options.mlmProbability);
        }
    }

    @Override
    String head() {
        return "ForMaskedLM";
    }

    @Override
    String peftTask() {
        return "FEATURE_EXTRACTION";
    }

    @Override
    List<Role> required() {
        return List.of(Role.TEXT);
    }

    @Override
    void read(List<Row> train, List<Row> validation, List<Row> test, Columns found) {
        columns = found;
    }

    @Override
    String mainMetric() {
        return "loss";
    }

    @Override
    boolean greaterIsBetter() {
        return false;
    }

    @Override
    ReadOptions.EmptyRows emptyRows() {
        return ReadOptions.EmptyRows.DROP;
    }

    @Override
    String key(Row row, Columns c) {
        return row.text(c.get(Role.TEXT));
    }

    /** Texts whose tokens are masked when a batch is made. */
    static final class Examples extends TextData {
        private final Masking masking;

        Examples(Tokenizer tokenizer, double probability) {
            super(tokenizer);
            this.masking = new Masking(tokenizer, probability);
        }

        @Override
        void labels(Map<String, Tensor> batch, long[][] rows, int[] indexes, SplittableRandom random) {
            long[][] labels = new long[rows.length][];
            for (int r = 0; r < rows.length; r++) {
                labels[r] = masking.mask(rows[r], random);
            }
            batch.put("labels", Tensors.int64(labels)); // [B, S]
        }
    }

    @Override
    TextData examples(List<Row> rows, Tokenizer tokenizer, int maxLength) {
        Columns c = columns;
        if (c == null) {
            throw new IllegalStateException("nothing read yet");
        }
        Examples examples = new Examples(tokenizer, options.mlmProbability);
        EncodeOptions how = EncodeOptions.DEFAULT
                .withTruncation(Truncation.LONGEST_FIRST)
                .withMaxLength(maxLength)
                .withOverflow(0);
        int chunk = 200;
        for (int from = 0; from < rows.size(); from += chunk) {
            List<String> texts =
                    map(rows.subList(from, Math.min(rows.size(), from + chunk)), r -> r.text(c.get(Role.TEXT)));
            BatchEncoding encoded = tokenizer.encode(texts, how);
            for (Encoding e : encoded.encodings()) {
                examples.add(e);
            }
        }
        return examples;
    }

    /** The masks of an evaluation are always the same. */
    @Override
    Map<String, Double> evaluate(PreTrainedModel<?> model, TextData data) {
        double loss = 0;
        long right = 0;
        long all = 0;
        SplittableRandom random = new SplittableRandom(7);
        for (int[] indexes : data.inOrderOfLength(options.evalBatchSize)) {
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> batch = data.batch(indexes, random);
                Map<String, Tensor> out = Objective.forward(model, batch);
                Tensor labels = batch.get("labels");
                long[] want = labels == null ? new long[0] : Tensors.longs(labels);
                long[] best = Tensors.longs(
                        SequenceClassificationTask.logits(out).argmax(new LongOptional(-1), false)); // [B, S]
                long masked = 0;
                for (int i = 0; i < want.length; i++) {
                    masked += want[i] == IGNORED ? 0 : 1;
                    right += want[i] == best[i] ? 1 : 0;
                }
                Tensor l = out.get("loss");
                if (masked > 0 && l != null) {
                    loss += l.item_double() * masked;
                    all += masked;
                }
            }
        }
        Map<String, Double> metrics = new LinkedHashMap<>();
        metrics.put("loss", all == 0 ? Double.NaN : loss / all);
        metrics.put("perplexity", all == 0 ? Double.NaN : Math.exp(loss / all));
        metrics.put("accuracy", all == 0 ? Double.NaN : (double) right / all);
        return metrics;
    }
}
