package dev.headstart.generation;

import static org.bytedeco.pytorch.global.torch.multinomial;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * Greedy search and sampling (transformers' {@code GenerationMixin._sample}). Rows that ended are no longer computed once they are half of all; in
 * sampling they still take part in the draw, so that the other rows' tokens are torch's.
 */
final class SamplingDecoding extends Decoding {
    private final long[][] ids; // [R][maxLength]
    private final int[] promptOf;
    private final @Nullable FinishReason[] finished;
    private final float[][] logProbabilities; // [R][new tokens]
    private final int[] generated;
    private final boolean wantProbabilities;
    private int[] computed; // rows that the session holds
    private int length;

    SamplingDecoding(Plan plan, boolean wantProbabilities) {
        super(plan);
        this.wantProbabilities = wantProbabilities;
        int copies = plan.config().integer("num_return_sequences", 1);
        int rows = plan.padded().length * copies;
        this.length = plan.promptLength();
        this.ids = new long[rows][];
        this.promptOf = new int[rows];
        this.finished = new FinishReason[rows];
        this.generated = new int[rows];
        this.logProbabilities =
                new float[rows][wantProbabilities ? plan.stopping().maxLength() - length : 0];
        for (int r = 0; r < rows; r++) {
            promptOf[r] = r / copies;
            ids[r] = Arrays.copyOf(plan.padded()[r / copies], plan.stopping().maxLength());
        }
        this.computed = IntStream.range(0, rows).toArray();
    }

    @Override
    List<Token> advance() {
        Tensor logits;
        if (length == plan.promptLength()) {
            logits = readPrompts(); // [B, V]
            if (promptOf.length > plan.padded().length) {
                plan.session().select(promptOf);
                logits = logits.index_select(
                        0, Tensor.create(Arrays.stream(promptOf).asLongStream().toArray())); // [R, V]
            }
        } else {
            logits = read(
                    Arrays.stream(computed).mapToLong(r -> ids[r][length - 1]).toArray());
        }
        Tensor scores = process(rows(), logits); // [computed, V]
        long[] next = longs(sample ? draw(scores) : scores.argmax(new LongOptional(-1), false));
        float[] chosen = wantProbabilities
                ? floats(scores.log_softmax(-1).gather(1, Tensor.create(next, next.length, 1)))
                : new float[next.length];
        return append(next, chosen);
    }

    private Rows rows() {
        if (computed.length == ids.length) {
            return new Rows(ids, length, promptOf);
        }
        long[][] some = Arrays.stream(computed).mapToObj(r -> ids[r]).toArray(long[][]::new);
        return new Rows(
                some, length, Arrays.stream(computed).map(r -> promptOf[r]).toArray());
    }

    /** Draws one token a row from [R, V] scores, with one pass of the generator over all rows of the call. */
    private Tensor draw(Tensor scores) {
        Tensor probabilities = scores.softmax(-1);
        Tensor at = null;
        if (computed.length < ids.length) {
            at = Tensor.create(Arrays.stream(computed).asLongStream().toArray());
            probabilities = torch.ones(new long[] {ids.length, scores.size(1)}).index_copy(0, at, probabilities);
        }
        Tensor drawn = multinomial(probabilities, 1, false, new GeneratorOptional(generator))
                .squeeze(1); // [all rows]
        return at == null ? drawn : drawn.index_select(0, at);
    }

    private List<Token> append(long[] next, float[] chosen) {
        List<Token> tokens = new ArrayList<>();
        boolean ends = plan.stopping().hasEndTokens();
        int step = length - plan.promptLength();
        for (int r = 0; r < ids.length; r++) {
            ids[r][length] = plan.pad(); // rows that ended; overwritten below for the others
        }
        for (int i = 0; i < computed.length; i++) {
            int r = computed[i];
            if (finished[r] == null || !ends) {
                ids[r][length] = next[i];
            }
            if (finished[r] == null) {
                generated[r]++;
                if (wantProbabilities) {
                    logProbabilities[r][step] = chosen[i];
                }
                finished[r] = plan.stopping().check(ids[r], length + 1);
                tokens.add(new Token(r, next[i], chosen[i], finished[r]));
            }
        }
        length++;
        done = Arrays.stream(finished).allMatch(f -> f != null);
        if (!done && ends) {
            drop();
        }
        return tokens;
    }

    /** Leaves rows that ended out of the computation when they are at least half of it. */
    private void drop() {
        int[] open = IntStream.range(0, computed.length)
                .filter(i -> finished[computed[i]] == null)
                .toArray();
        if (open.length * 2 <= computed.length) {
            plan.session().select(open);
            computed = Arrays.stream(open).map(i -> computed[i]).toArray();
        }
    }

    @Override
    void cancel() {
        for (int r = 0; r < finished.length; r++) {
            if (finished[r] == null) {
                finished[r] = FinishReason.CANCELLED;
            }
        }
    }

    @Override
    GenerationOutput output() {
        long[][] sequences =
                Arrays.stream(ids).map(row -> Arrays.copyOf(row, length)).toArray(long[][]::new);
        float[][] probabilities = wantProbabilities
                ? IntStream.range(0, ids.length)
                        .mapToObj(r -> Arrays.copyOf(logProbabilities[r], generated[r]))
                        .toArray(float[][]::new)
                : null;
        List<FinishReason> reasons = Arrays.stream(finished)
                .map(f -> f == null ? FinishReason.CANCELLED : f)
                .toList();
        return new GenerationOutput(sequences, plan.promptLength(), generated.clone(), null, probabilities, reasons);
    }
}
