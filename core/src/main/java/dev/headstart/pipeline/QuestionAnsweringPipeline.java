package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.models.AutoModelForQuestionAnswering;
import dev.headstart.models.Tensors;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Span;
import dev.headstart.text.Truncation;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.bytedeco.pytorch.Tensor;

/**
 * Answers that stand in a text (transformers 4.57 QuestionAnsweringPipeline). Long contexts are read in overlapping pieces.
 */
public final class QuestionAnsweringPipeline extends TextPipeline {
    private static final String EXAMPLE = "{\"question\": \"...\", \"context\": \"...\"}";

    /**
     * One answer.
     *
     * @param score probability, summed over the places where the same words were found
     * @param start first character in the context; UTF-16 index from {@link #apply}, code point from {@link #run}
     * @param end one after the last character
     * @param answer the words; empty when there is no answer
     */
    public record Answer(double score, int start, int end, String answer) {}

    /**
     * Call arguments, named as transformers names them.
     *
     * @param topK how many answers at most
     * @param docStride tokens that successive pieces share; 0 chooses min(maxSeqLen / 2, 128)
     * @param maxAnswerLen most tokens of an answer
     * @param maxSeqLen tokens of a piece, question included; 0 chooses min(the model's limit, 384)
     * @param handleImpossibleAnswer whether "no answer" may win
     * @param alignToWords whether answers begin and end at word boundaries
     */
    public record Question(
            int topK,
            int docStride,
            int maxAnswerLen,
            int maxSeqLen,
            boolean handleImpossibleAnswer,
            boolean alignToWords) {
        /** One answer of at most 15 tokens. */
        public static final Question DEFAULT = new Question(1, 0, 15, 0, false, true);

        /** These arguments with another number of answers. */
        public Question withTopK(int value) {
            return new Question(value, docStride, maxAnswerLen, maxSeqLen, handleImpossibleAnswer, alignToWords);
        }
    }

    private record Candidate(double score, int start, int end) {}

    QuestionAnsweringPipeline(String id, PipelineOptions options) {
        super(id, AutoModelForQuestionAnswering.fromPretrained(id, options.load()), options);
    }

    /** The best answer; its words are empty when the context holds none. */
    public Answer apply(String question, String context) {
        return apply(question, context, Question.DEFAULT).get(0);
    }

    /** The best answers, best first; offsets are UTF-16 indexes into the context. */
    public List<Answer> apply(String question, String context, Question q) {
        if (question.isBlank() || context.isBlank()) {
            throw new HeadstartException("question and context must not be empty; give both, like " + EXAMPLE);
        }
        int length = q.maxSeqLen() > 0 ? q.maxSeqLen() : Math.min(limit(), 384);
        int stride = q.docStride() > 0 ? q.docStride() : Math.min(length / 2, 128);
        if (stride > length) {
            throw new HeadstartException("doc_stride " + stride + " must not be larger than max_seq_len " + length);
        }
        Encoding first = tokenizer.encode(
                question,
                context,
                EncodeOptions.DEFAULT
                        .withTruncation(Truncation.ONLY_SECOND)
                        .withMaxLength(length)
                        .withOverflow(stride));
        List<Encoding> pieces = new ArrayList<>(List.of(first));
        pieces.addAll(first.overflow());
        float[][] starts = new float[pieces.size()][];
        float[][] ends = new float[pieces.size()][];
        infer(pieces, (some, out) -> {
            Tensor start = field(out, "start_logits"); // [B, S]
            Tensor end = field(out, "end_logits"); // [B, S]
            for (int r = 0; r < some.length; r++) {
                int s = pieces.get(some[r]).length();
                starts[some[r]] = Tensors.floats(start.select(0, r).narrow(0, 0, s));
                ends[some[r]] = Tensors.floats(end.select(0, r).narrow(0, 0, s));
            }
        });
        List<Answer> answers = new ArrayList<>();
        double nullScore = 1_000_000;
        for (int p = 0; p < pieces.size(); p++) {
            Encoding e = pieces.get(p);
            boolean[] allowed = allowed(e);
            double[] start = normalise(starts[p], allowed);
            double[] end = normalise(ends[p], allowed);
            if (q.handleImpossibleAnswer()) {
                nullScore = Math.min(nullScore, start[0] * end[0]);
            }
            start[0] = 0;
            end[0] = 0;
            int wanted = q.alignToWords() ? q.topK() * 2 + 10 : q.topK();
            for (Candidate c : candidates(start, end, allowed, wanted, q.maxAnswerLen())) {
                Span span = span(e, c, q.alignToWords());
                add(answers, c.score(), span, context.substring(span.start(), span.end()));
            }
        }
        if (q.handleImpossibleAnswer()) {
            answers.add(new Answer(nullScore, 0, 0, ""));
        }
        answers.sort(Comparator.comparingDouble(Answer::score).reversed());
        if (answers.isEmpty()) {
            return List.of(new Answer(0, 0, 0, ""));
        }
        return List.copyOf(answers.subList(0, Math.min(q.topK(), answers.size())));
    }

    /** Where an answer may begin or end: tokens of the context, and [CLS] for "no answer". */
    private boolean[] allowed(Encoding e) {
        boolean[] allowed = new boolean[e.length()];
        int[] sequences = e.sequenceIds();
        long[] ids = e.ids();
        for (int t = 0; t < allowed.length; t++) {
            allowed[t] = sequences[t] == 1 || ids[t] == tokenizer.clsId().orElse(-1);
        }
        return allowed;
    }

    private static double[] normalise(float[] logits, boolean[] allowed) {
        float[] masked = logits.clone();
        for (int i = 0; i < masked.length; i++) {
            masked[i] = allowed[i] ? masked[i] : -10000f;
        }
        return Scores.softmax(masked);
    }

    private static List<Candidate> candidates(
            double[] start, double[] end, boolean[] allowed, int wanted, int longest) {
        List<Candidate> all = new ArrayList<>();
        for (int s = 0; s < start.length; s++) {
            for (int e = s; e < Math.min(start.length, s + longest); e++) {
                all.add(new Candidate(start[s] * end[e], s, e));
            }
        }
        all.sort(Comparator.comparingDouble(Candidate::score).reversed());
        return all.subList(0, Math.min(wanted, all.size())).stream()
                .filter(c -> allowed[c.start()] && allowed[c.end()])
                .toList();
    }

    /** Characters of a candidate, widened to whole words where the tokenizer knows words. */
    private static Span span(Encoding e, Candidate c, boolean align) {
        List<Span> spans = e.offsets();
        int from = spans.get(c.start()).start();
        int to = spans.get(c.end()).end();
        int[] words = e.wordIds();
        int[] sequences = e.sequenceIds();
        if (align && words[c.start()] >= 0 && words[c.end()] >= 0) {
            int first = c.start();
            while (first > 0 && sequences[first - 1] == 1 && words[first - 1] == words[c.start()]) {
                first--;
            }
            int last = c.end();
            while (last + 1 < words.length && sequences[last + 1] == 1 && words[last + 1] == words[c.end()]) {
                last++;
            }
            from = spans.get(first).start();
            to = spans.get(last).end();
        }
        return new Span(from, to);
    }

    private static void add(List<Answer> answers, double score, Span span, String words) {
        for (int i = 0; i < answers.size(); i++) {
            Answer a = answers.get(i);
            if (a.answer().equalsIgnoreCase(words)) {
                answers.set(i, new Answer(a.score() + score, a.start(), a.end(), a.answer()));
                return;
            }
        }
        answers.add(new Answer(score, span.start(), span.end(), words));
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        Integer topK = Scores.topK(kwargs, 1);
        Question q = new Question(
                topK == null ? Integer.MAX_VALUE / 4 : topK,
                kwargs.path("doc_stride").asInt(0),
                kwargs.path("max_answer_len").asInt(15),
                kwargs.path("max_seq_len").asInt(0),
                kwargs.path("handle_impossible_answer").asBoolean(false),
                kwargs.path("align_to_words").asBoolean(true));
        List<Object> results = new ArrayList<>();
        for (String input : inputs) {
            JsonNode fields = Pipeline.required(input, "question", EXAMPLE);
            String context = Pipeline.text(fields, "context", EXAMPLE);
            List<Answer> answers = apply(Pipeline.text(fields, "question", EXAMPLE), context, q).stream()
                    .map(a -> new Answer(
                            a.score(),
                            context.codePointCount(0, a.start()),
                            context.codePointCount(0, a.end()),
                            a.answer()))
                    .toList();
            results.add(answers.size() == 1 ? answers.get(0) : answers);
        }
        return results;
    }
}
