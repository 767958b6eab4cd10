package dev.headstart.train.finetune;

import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.ReadOptions;
import dev.headstart.data.Row;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.text.ChatTemplate;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Span;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import dev.headstart.train.Objective;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The next token (Radford et al. 2019). Three forms of data: a column of texts, every token of which is learnt; prompt and completion, of which the
 * completion alone is learnt; conversations ({@code messages}) through the checkpoint's chat template, of which the assistant's answers alone are
 * learnt. Every text ends with the end-of-text token; long plain texts become several examples.
 */
final class CausalLmTask extends FineTuneTask {
    private static final long IGNORED = -100;
    private @Nullable Columns columns;

    CausalLmTask(FineTuneOptions options) {
        super(options);
    }

    @Override
    String head() {
        return "ForCausalLM";
    }

    @Override
    String peftTask() {
        return "CAUSAL_LM";
    }

    @Override
    List<Role> required() {
        return List.of();
    }

    @Override
    List<Role> optional() {
        return List.of(Role.MESSAGES, Role.PROMPT, Role.COMPLETION, Role.TEXT);
    }

    @Override
    void read(List<Row> train, List<Row> validation, List<Row> test, Columns found) {
        columns = found;
        boolean pairs = found.has(Role.PROMPT) && found.has(Role.COMPLETION);
        if (!found.has(Role.MESSAGES) && !pairs && !found.has(Role.TEXT)) {
            throw new HeadstartException(options.train
                    + ": no column to learn from; expected text, or prompt and completion, or messages; name them with"
                    + " --column text=NAME or --column prompt=NAME --column completion=NAME");
        }
    }

    private Columns known() {
        if (columns == null) {
            throw new IllegalStateException("nothing read yet");
        }
        return columns;
    }

    @Override
    ReadOptions.EmptyRows emptyRows() {
        return ReadOptions.EmptyRows.DROP;
    }

    @Override
    String key(Row row, Columns c) {
        if (c.has(Role.MESSAGES)) {
            return String.valueOf(row.values().get(c.get(Role.MESSAGES)));
        }
        return c.has(Role.PROMPT) && c.has(Role.COMPLETION)
                ? row.text(c.get(Role.PROMPT)) + "\t" + row.text(c.get(Role.COMPLETION))
                : row.text(c.get(Role.TEXT));
    }

    @Override
    String mainMetric() {
        return "loss";
    }

    @Override
    boolean greaterIsBetter() {
        return false;
    }

    /** Token ids, and which of them are learnt. */
    static final class Examples extends TextData {
        private final List<boolean[]> learnt = new ArrayList<>();

        Examples(Tokenizer tokenizer) {
            super(tokenizer);
        }

        void add(long[] tokens, boolean[] which) {
            add(tokens);
            learnt.add(which);
        }

        @Override
        void labels(Map<String, Tensor> batch, long[][] rows, int[] indexes, SplittableRandom random) {
            long[][] labels = new long[rows.length][];
            for (int r = 0; r < rows.length; r++) {
                long[] own = ids(indexes[r]).clone();
                boolean[] which = learnt.get(indexes[r]);
                for (int i = 0; i < own.length; i++) {
                    own[i] = which[i] ? own[i] : IGNORED;
                }
                labels[r] = padded(own, rows[r].length, IGNORED);
            }
            batch.put("labels", Tensors.int64(labels)); // [B, S]
        }
    }

    @Override
    TextData examples(List<Row> rows, Tokenizer tokenizer, int maxLength) {
        Examples examples = new Examples(tokenizer);
        Columns c = known();
        int cut = 0;
        for (Row row : rows) {
            if (c.has(Role.MESSAGES)) {
                cut += chat(row, messages(row, c.get(Role.MESSAGES)), tokenizer, maxLength, examples);
            } else if (c.has(Role.PROMPT) && c.has(Role.COMPLETION)) {
                cut += pair(row, tokenizer, maxLength, examples);
            } else {
                plain(row.text(c.get(Role.TEXT)), tokenizer, maxLength, examples);
            }
        }
        if (cut > 0) {
            LOG.warn("{} examples were longer than {} tokens and have been cut at the end", cut, maxLength);
        }
        return examples;
    }

    private static void plain(String text, Tokenizer tokenizer, int maxLength, Examples into) {
        if (text.isBlank()) {
            return;
        }
        long[] ids = withEnd(tokenizer.encode(text).ids(), tokenizer);
        for (int from = 0; from < ids.length; from += maxLength) {
            long[] part = Arrays.copyOfRange(ids, from, Math.min(ids.length, from + maxLength));
            if (part.length > 1) { // one token alone predicts nothing
                boolean[] all = new boolean[part.length];
                Arrays.fill(all, true);
                into.add(part, all);
            }
        }
    }

    private int pair(Row row, Tokenizer tokenizer, int maxLength, Examples into) {
        long[] prompt =
                withoutEnd(tokenizer.encode(row.text(known().get(Role.PROMPT))).ids(), tokenizer);
        long[] answer = withEnd(
                tokenizer
                        .encode(
                                row.text(known().get(Role.COMPLETION)),
                                null,
                                EncodeOptions.DEFAULT.withSpecialTokens(false))
                        .ids(),
                tokenizer);
        long[] ids = Arrays.copyOf(prompt, prompt.length + answer.length);
        System.arraycopy(answer, 0, ids, prompt.length, answer.length);
        boolean[] which = new boolean[ids.length];
        Arrays.fill(which, prompt.length, ids.length, true);
        return cut(row, ids, which, maxLength, into);
    }

    /** Cuts an example to the limit. @return 1 when something was cut */
    private static int cut(Row row, long[] ids, boolean[] which, int maxLength, Examples into) {
        boolean[] kept = Arrays.copyOf(which, Math.min(which.length, maxLength));
        boolean any = false;
        for (int i = 1; i < kept.length; i++) {
            any |= kept[i];
        }
        if (!any) {
            throw new HeadstartException(row.where() + ": the prompt alone fills the limit of " + maxLength
                    + " tokens, nothing of the answer is left to learn; raise --max-length or shorten the prompt");
        }
        into.add(Arrays.copyOf(ids, kept.length), kept);
        return ids.length > maxLength ? 1 : 0;
    }

    private static List<Map<String, Object>> messages(Row row, String column) {
        List<Map<String, Object>> all = new ArrayList<>();
        if (row.values().get(column) instanceof List<?> list) {
            for (Object o : list) {
                if (o instanceof Map<?, ?> m && m.get("role") instanceof String && m.get("content") != null) {
                    Map<String, Object> message = new LinkedHashMap<>();
                    m.forEach((k, v) -> message.put(String.valueOf(k), v));
                    all.add(message);
                } else {
                    throw new HeadstartException(
                            row.where() + ": " + column + ": expected {\"role\", \"content\"}, found " + o);
                }
            }
        }
        if (all.stream().noneMatch(m -> "assistant".equals(m.get("role")))) {
            throw new HeadstartException(row.where() + ": " + column
                    + ": expected a list of messages with at least one of role assistant, which is what is learnt");
        }
        return all;
    }

    private static int chat(
            Row row, List<Map<String, Object>> messages, Tokenizer tokenizer, int maxLength, Examples into) {
        ChatTemplate.Rendered all = tokenizer.renderChat(messages, ChatTemplate.Options.PLAIN);
        List<Span> answers =
                all.generated().isEmpty() ? answers(row, messages, all.text(), tokenizer) : all.generated();
        Encoding encoded = tokenizer.encode(
                all.text(),
                null,
                EncodeOptions.DEFAULT
                        .withSpecialTokens(false)
                        .withTruncation(Truncation.NONE)); // the template writes them
        List<Span> offsets = encoded.offsets();
        boolean[] which = new boolean[offsets.size()];
        for (int i = 0; i < which.length; i++) {
            Span token = offsets.get(i);
            which[i] = answers.stream().anyMatch(a -> token.start() >= a.start() && token.start() < a.end());
        }
        return cut(row, encoded.ids(), which, maxLength, into);
    }

    /** Where the assistant's answers stand in the rendered conversation, for templates that do not mark them. */
    private static List<Span> answers(Row row, List<Map<String, Object>> messages, String all, Tokenizer tokenizer) {
        List<Span> spans = new ArrayList<>();
        for (int i = 0; i < messages.size(); i++) {
            if (!"assistant".equals(messages.get(i).get("role"))) {
                continue;
            }
            String before = tokenizer.applyChatTemplate(messages.subList(0, i), ChatTemplate.Options.PROMPT);
            String after = tokenizer.applyChatTemplate(messages.subList(0, i + 1), ChatTemplate.Options.PLAIN);
            if (!all.startsWith(before) || !all.startsWith(after)) {
                throw new HeadstartException(row.where()
                        + ": the chat template writes earlier messages otherwise when others follow, so that the answers"
                        + " cannot be told apart; mark them in the template with {% generation %}, or give prompt and"
                        + " completion");
            }
            spans.add(new Span(before.length(), after.length()));
        }
        return spans;
    }

    private static long[] withEnd(long[] ids, Tokenizer tokenizer) {
        if (tokenizer.eosId().isEmpty()
                || (ids.length > 0 && ids[ids.length - 1] == tokenizer.eosId().getAsInt())) {
            return ids;
        }
        long[] longer = Arrays.copyOf(ids, ids.length + 1);
        longer[ids.length] = tokenizer.eosId().getAsInt();
        return longer;
    }

    private static long[] withoutEnd(long[] ids, Tokenizer tokenizer) {
        boolean ends = ids.length > 0
                && tokenizer.eosId().isPresent()
                && ids[ids.length - 1] == tokenizer.eosId().getAsInt();
        return ends ? Arrays.copyOf(ids, ids.length - 1) : ids;
    }

    /** Mean loss of the learnt tokens, and its exponential. */
    @Override
    Map<String, Double> evaluate(PreTrainedModel<?> model, TextData data) {
        double loss = 0;
        long all = 0;
        for (int[] indexes : data.inOrderOfLength(options.evalBatchSize)) {
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> batch = data.batch(indexes, new SplittableRandom(0));
                Tensor labels = batch.get("labels");
                Tensor l = Objective.forward(model, batch).get("loss");
                if (labels == null || l == null) {
                    throw new IllegalStateException("no loss");
                }
                long n = 0;
                int width = (int) labels.size(1);
                long[] flat = Tensors.longs(labels);
                for (int i = 0; i < flat.length; i++) {
                    n += i % width > 0 && flat[i] != IGNORED ? 1 : 0; // the first token of a row is not predicted
                }
                loss += l.item_double() * n;
                all += n;
            }
        }
        Map<String, Double> metrics = new LinkedHashMap<>();
        metrics.put("loss", all == 0 ? Double.NaN : loss / all);
        metrics.put("perplexity", all == 0 ? Double.NaN : Math.exp(loss / all));
        return metrics;
    }
}
