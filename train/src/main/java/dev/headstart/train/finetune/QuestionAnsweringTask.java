package dev.headstart.train.finetune;

import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.Row;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.text.BatchEncoding;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Span;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import dev.headstart.train.Objective;
import dev.headstart.train.metrics.Evaluation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** Answers that stand in a context (SQuAD). Long contexts become several examples; where the answer is not in one, it points at the first token. */
final class QuestionAnsweringTask extends FineTuneTask {
    private static final int MAX_ANSWER_TOKENS = 30;
    private @Nullable Columns columns;

    QuestionAnsweringTask(FineTuneOptions options) {
        super(options);
    }

    @Override
    String head() {
        return "ForQuestionAnswering";
    }

    @Override
    String peftTask() {
        return "QUESTION_ANS";
    }

    @Override
    List<Role> required() {
        return List.of(Role.QUESTION, Role.CONTEXT, Role.ANSWERS);
    }

    private Columns known() {
        if (columns == null) {
            throw new IllegalStateException("nothing read yet");
        }
        return columns;
    }

    private record Answer(String text, int start) {}

    /** SQuAD's {"text": [...], "answer_start": [...]}, or a list of {"text", "answer_start"}. */
    private List<Answer> answers(Row row) {
        Object value = row.values().get(known().get(Role.ANSWERS));
        List<Answer> all = new ArrayList<>();
        if (value instanceof Map<?, ?> m) {
            Object texts = m.get("text");
            Object starts = m.get("answer_start");
            if (texts instanceof List<?> t && starts instanceof List<?> s && t.size() == s.size()) {
                for (int i = 0; i < t.size(); i++) {
                    all.add(answer(row, t.get(i), s.get(i)));
                }
                return all;
            }
            all.add(answer(row, texts, starts));
            return all;
        }
        if (value instanceof List<?> list) {
            for (Object o : list) {
                if (o instanceof Map<?, ?> m) {
                    all.add(answer(row, m.get("text"), m.get("answer_start")));
                }
            }
            return all;
        }
        throw new HeadstartException(row.where()
                + ": answers: expected {\"text\": [...], \"answer_start\": [...]} as in SQuAD, found " + value);
    }

    private Answer answer(Row row, @Nullable Object text, @Nullable Object start) {
        if (!(text instanceof String s) || !(start instanceof Number n)) {
            throw new HeadstartException(row.where() + ": answers: expected a text and its start in the context, found "
                    + text + ", " + start);
        }
        String context = row.text(known().get(Role.CONTEXT));
        int at = n.intValue();
        boolean inside = at >= 0 && at <= context.codePointCount(0, context.length());
        int index = inside ? context.offsetByCodePoints(0, at) : -1;
        if (!inside || !context.startsWith(s, index)) {
            throw new HeadstartException(row.where() + ": the answer '" + s + "' does not stand at answer_start " + at
                    + " of the context; correct the position (in characters)");
        }
        return new Answer(s, index);
    }

    @Override
    void read(List<Row> train, List<Row> validation, List<Row> test, Columns found) {
        columns = found;
        train.forEach(this::answers);
        validation.forEach(this::answers);
        test.forEach(this::answers);
    }

    @Override
    String mainMetric() {
        return "f1";
    }

    @Override
    int defaultMaxLength() {
        return 384;
    }

    @Override
    String key(Row row, Columns c) {
        return row.text(c.get(Role.QUESTION)) + "\u0000" + row.text(c.get(Role.CONTEXT));
    }

    @Override
    String group(Row row, Columns c) {
        return row.text(c.get(Role.CONTEXT));
    }

    /** Pieces of contexts with their questions. */
    static final class Examples extends TextData {
        private final List<Encoding> pieces = new ArrayList<>();
        private final List<Integer> rowOf = new ArrayList<>();
        private final List<long[]> positions = new ArrayList<>();
        private final List<Row> rows;

        Examples(Tokenizer tokenizer, List<Row> rows) {
            super(tokenizer);
            this.rows = rows;
        }

        @Override
        void labels(Map<String, Tensor> batch, long[][] rows, int[] indexes, SplittableRandom random) {
            batch.put(
                    "start_positions",
                    Tensors.int64(Arrays.stream(indexes)
                            .mapToLong(i -> positions.get(i)[0])
                            .toArray()));
            batch.put(
                    "end_positions",
                    Tensors.int64(Arrays.stream(indexes)
                            .mapToLong(i -> positions.get(i)[1])
                            .toArray()));
        }
    }

    @Override
    TextData examples(List<Row> rows, Tokenizer tokenizer, int maxLength) {
        if (tokenizer.paddingSide() == dev.headstart.text.Side.LEFT) {
            throw new HeadstartException("question answering needs a tokenizer that pads on the right");
        }
        int stride = Math.min(options.docStride, maxLength / 2);
        EncodeOptions how = EncodeOptions.DEFAULT
                .withTruncation(Truncation.ONLY_SECOND)
                .withMaxLength(maxLength)
                .withOverflow(stride);
        Examples examples = new Examples(tokenizer, rows);
        for (int r = 0; r < rows.size(); r++) {
            Row row = rows.get(r);
            List<Answer> answers = answers(row);
            BatchEncoding encoded = tokenizer.encode(
                    List.of(row.text(known().get(Role.QUESTION)).strip()),
                    List.of(row.text(known().get(Role.CONTEXT))),
                    how);
            for (Encoding piece : encoded.encodings()) {
                examples.add(piece);
                examples.pieces.add(piece);
                examples.rowOf.add(r);
                examples.positions.add(answers.isEmpty() ? new long[2] : find(piece, answers.get(0)));
            }
        }
        return examples;
    }

    /** First and last token of the answer; 0 and 0 where it is not wholly inside. */
    private static long[] find(Encoding piece, Answer answer) {
        int[] part = piece.sequenceIds();
        List<Span> offsets = piece.offsets();
        int end = answer.start() + answer.text().length();
        int first = -1;
        int last = -1;
        for (int i = 0; i < part.length; i++) {
            if (part[i] != 1) {
                continue;
            }
            Span s = offsets.get(i);
            if (s.start() <= answer.start() && s.end() > answer.start()) {
                first = i;
            }
            if (s.start() < end && s.end() >= end) {
                last = i;
            }
        }
        return first < 0 || last < first ? new long[2] : new long[] {first, last};
    }

    @Override
    Map<String, Double> evaluate(PreTrainedModel<?> model, TextData data) {
        Examples examples = (Examples) data;
        double[] loss = new double[1];
        @Nullable String[] best = answer(model, examples, loss);
        return score(examples, best, Evaluation.Options.VALUES_ALONE).values(loss[0] / examples.size());
    }

    @Override
    Evaluation evaluation(PreTrainedModel<?> model, TextData data, Evaluation.Options how) {
        Examples examples = (Examples) data;
        return score(examples, answer(model, examples, new double[1]), how);
    }

    private Evaluation score(Examples examples, @Nullable String[] best, Evaluation.Options how) {
        List<List<String>> gold =
                map(examples.rows, r -> answers(r).stream().map(Answer::text).toList());
        return Evaluation.answers(
                gold, Arrays.stream(best).map(b -> b == null ? "" : b).toList(), how);
    }

    /** The best answer to each question. @param losses its first element gets the sum of the losses */
    private @Nullable String[] answer(PreTrainedModel<?> model, Examples examples, double[] losses) {
        @Nullable String[] best = new String[examples.rows.size()];
        double[] score = new double[best.length];
        Arrays.fill(score, Double.NEGATIVE_INFINITY);
        double loss = 0;
        for (int[] indexes : examples.inOrderOfLength(options.evalBatchSize)) {
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> out = Objective.forward(model, examples.batch(indexes, new SplittableRandom(0)));
                Tensor starts = out.get("start_logits");
                Tensor ends = out.get("end_logits");
                Tensor l = out.get("loss");
                if (starts == null || ends == null || l == null) {
                    throw new HeadstartException("the model gives no start_logits and end_logits, but " + out.keySet());
                }
                loss += l.item_double() * indexes.length;
                int width = (int) starts.size(1);
                float[] s = Tensors.floats(starts); // [B, S]
                float[] e = Tensors.floats(ends); // [B, S]
                for (int r = 0; r < indexes.length; r++) {
                    int row = examples.rowOf.get(indexes[r]);
                    Encoding piece = examples.pieces.get(indexes[r]);
                    int[] part = piece.sequenceIds();
                    for (int i = 0; i < part.length; i++) {
                        for (int j = i; part[i] == 1 && j < Math.min(part.length, i + MAX_ANSWER_TOKENS); j++) {
                            double sum = (double) s[r * width + i] + e[r * width + j];
                            if (part[j] == 1 && sum > score[row]) {
                                score[row] = sum;
                                String context = examples.rows.get(row).text(known().get(Role.CONTEXT));
                                best[row] = context.substring(
                                        piece.offsets().get(i).start(),
                                        piece.offsets().get(j).end());
                            }
                        }
                    }
                }
            }
        }
        losses[0] = loss;
        return best;
    }
}
