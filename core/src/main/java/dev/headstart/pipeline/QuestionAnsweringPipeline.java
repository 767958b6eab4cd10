package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.models.AutoModelForQuestionAnswering;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Side;
import dev.headstart.text.Span;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

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
     * @param docStride tokens that successive pieces share; below 0 chooses min(maxSeqLen / 2, 128)
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
        public static final Question DEFAULT = new Question(1, -1, 15, 0, false, true);

        /** These arguments with another number of answers. */
        public Question withTopK(int value) {
            return new Question(value, docStride, maxAnswerLen, maxSeqLen, handleImpossibleAnswer, alignToWords);
        }
    }

    private static final Set<String> TAKE_SEGMENTS = Set.of("albert", "bert", "deberta-v2", "electra");

    private final Tokenizer pairs;

    private record Candidate(double score, int start, int end) {}

    QuestionAnsweringPipeline(String id, PipelineOptions options) {
        super(id, () -> AutoModelForQuestionAnswering.fromPretrained(id, options.load()), options);
        pairs = withSegments(tokenizer, model);
    }

    /** A model's tokenizer for pairs of question and context: with segments where transformers 4.57, this task's reference, made them. */
    public static Tokenizer withSegments(Tokenizer tokenizer, PreTrainedModel<?> model) {
        return TAKE_SEGMENTS.contains(model.config().modelType()) ? tokenizer.withSegments() : tokenizer;
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
        int stride = q.docStride() >= 0 ? q.docStride() : Math.min(length / 2, 128);
        if (stride > length) {
            throw new HeadstartException("doc_stride " + stride + " must not be larger than max_seq_len " + length);
        }
        boolean contextLast = tokenizer.paddingSide() == Side.RIGHT; // as transformers orders the two
        int sequence = contextLast ? 1 : 0; // the context's
        Encoding first = pairs.encode(
                contextLast ? question : context,
                contextLast ? context : question,
                EncodeOptions.DEFAULT
                        .withTruncation(contextLast ? Truncation.ONLY_SECOND : Truncation.ONLY_FIRST)
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
            boolean[] allowed = allowed(e, contextLast);
            double[] start = normalise(starts[p], allowed);
            double[] end = normalise(ends[p], allowed);
            if (q.handleImpossibleAnswer()) {
                nullScore = Math.min(nullScore, start[0] * end[0]);
            }
            start[0] = 0;
            end[0] = 0;
            int wanted = q.alignToWords() ? q.topK() * 2 + 10 : q.topK();
            for (Candidate c : candidates(start, end, allowed, wanted, q.maxAnswerLen())) {
                add(answers, c.score(), span(e, c, sequence, q.alignToWords()), context);
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

    /**
     * Where an answer may begin or end: tokens of the context, and [CLS] for "no answer"; everywhere where the context comes first, as the reference
     * has it.
     */
    private boolean[] allowed(Encoding e, boolean contextLast) {
        boolean[] allowed = new boolean[e.length()];
        int[] sequences = e.sequenceIds();
        long[] ids = e.ids();
        for (int t = 0; t < allowed.length; t++) {
            allowed[t] = !contextLast
                    || sequences[t] == 1
                    || ids[t] == tokenizer.clsId().orElse(-1);
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

    /** Characters of a candidate, widened to whole words where the tokenizer knows words. @param sequence the context's */
    private static Span span(Encoding e, Candidate c, int sequence, boolean align) {
        Span first = align ? word(e, e.wordIds()[c.start()], sequence) : null;
        Span last = align ? word(e, e.wordIds()[c.end()], sequence) : null;
        return first != null && last != null
                ? new Span(first.start(), last.end())
                : new Span(
                        e.offsets().get(c.start()).start(),
                        e.offsets().get(c.end()).end());
    }

    /** Characters from a word's first token to its last (tokenizers {@code Encoding::word_to_chars}); null for no word. */
    private static @Nullable Span word(Encoding e, int word, int sequence) {
        int[] words = e.wordIds();
        int[] sequences = e.sequenceIds();
        int first = -1;
        int last = -1;
        for (int t = 0; t < words.length && word >= 0; t++) {
            if (sequences[t] == sequence && words[t] > word) {
                break;
            }
            if (sequences[t] == sequence && words[t] == word) {
                first = first < 0 ? t : first;
                last = t;
            }
        }
        return first < 0
                ? null
                : new Span(e.offsets().get(first).start(), e.offsets().get(last).end());
    }

    /** Adds an answer, or its score to one of the same words. */
    private static void add(List<Answer> answers, double score, Span span, String context) {
        int to = Math.min(span.end(), context.length());
        String words = span.start() < to ? context.substring(span.start(), to) : "";
        String lower = words.toLowerCase(Locale.ROOT);
        for (int i = 0; i < answers.size(); i++) {
            Answer a = answers.get(i);
            if (a.answer().toLowerCase(Locale.ROOT).equals(lower)) {
                answers.set(i, new Answer(a.score() + score, a.start(), a.end(), a.answer()));
                return;
            }
        }
        answers.add(new Answer(score, span.start(), span.end(), words));
    }

    /** A whole number among the call arguments; absent or null gives the default. */
    private static int atLeast(int least, JsonNode kwargs, String name, int absent) {
        if (!kwargs.hasNonNull(name)) {
            return absent;
        }
        JsonNode given = kwargs.get(name);
        if (!given.isInt() || given.asInt() < least) {
            throw new HeadstartException(name + " must be a whole number from " + least + ", found " + given);
        }
        return given.asInt();
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        Question q = new Question(
                atLeast(1, kwargs, "top_k", 1),
                atLeast(0, kwargs, "doc_stride", -1),
                atLeast(1, kwargs, "max_answer_len", 15),
                atLeast(1, kwargs, "max_seq_len", 0),
                kwargs.path("handle_impossible_answer").asBoolean(false),
                kwargs.path("align_to_words").asBoolean(true));
        List<Object> results = new ArrayList<>();
        for (String input : inputs) {
            JsonNode fields = Pipeline.required(input, "question", EXAMPLE);
            String context = Pipeline.text(fields, "context", EXAMPLE);
            List<Answer> answers = apply(Pipeline.text(fields, "question", EXAMPLE), context, q).stream()
                    .map(a -> new Answer(a.score(), points(context, a.start()), points(context, a.end()), a.answer()))
                    .toList();
            results.add(answers.size() == 1 ? answers.get(0) : answers);
        }
        return results;
    }

    private static int points(String context, int index) {
        return context.codePointCount(0, Math.min(index, context.length()));
    }
}
