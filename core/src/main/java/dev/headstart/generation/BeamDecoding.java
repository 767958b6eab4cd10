package dev.headstart.generation;

import static org.bytedeco.pytorch.global.torch.multinomial;
import static org.bytedeco.pytorch.global.torch.topk;

import dev.headstart.generation.GenerationConfig.EarlyStopping;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Beam search and beam sampling, step for step as transformers 5.23 ({@code GenerationMixin._beam_search}): the candidates of a step are the best
 * (or drawn) {@code max(2, 1 + end tokens) * beams} continuations of a prompt; those that do not end go on, those that end and are among the best
 * {@code beams} compete with the finished ones by log-probability / length ^ length_penalty.
 */
final class BeamDecoding extends Decoding {
    private static final float LOWEST = -1e9f; // what transformers uses for "not in the running"

    /** A text with its score: accumulated log-probability while it runs, divided by the length penalty once it ended. */
    private record Beam(
            long[] ids,
            int generated,
            float score,
            @Nullable FinishReason finished) {}

    /** Everything of one prompt. */
    private static final class Group {
        Beam[] running;
        Beam[] best;
        boolean improvable = true;
        boolean allCandidatesEnd;

        Group(Beam[] running, Beam[] best) {
            this.running = running;
            this.best = best;
        }

        boolean full() {
            return Arrays.stream(best).allMatch(b -> b.finished != null);
        }
    }

    private final int beams;
    private final int candidates;
    private final double lengthPenalty;
    private final EarlyStopping earlyStopping;
    private final int returned;
    private final Group[] groups;
    private int length;

    BeamDecoding(Plan plan) {
        super(plan);
        this.beams = plan.config().integer("num_beams", 1);
        this.candidates = Math.max(2, 1 + plan.eos().size()) * beams;
        this.lengthPenalty = plan.config().number("length_penalty", 1);
        this.earlyStopping = plan.config().earlyStopping();
        this.returned = plan.config().integer("num_return_sequences", 1);
        this.length = plan.promptLength();
        this.groups = new Group[plan.padded().length];
        for (int g = 0; g < groups.length; g++) {
            long[] prompt = plan.padded()[g];
            Beam[] running = new Beam[beams];
            Beam[] best = new Beam[beams];
            for (int b = 0; b < beams; b++) {
                running[b] =
                        new Beam(prompt, 0, b == 0 ? 0f : LOWEST, null); // all are the same text: only the first counts
                best[b] = new Beam(prompt, 0, LOWEST, null);
            }
            groups[g] = new Group(running, best);
        }
    }

    @Override
    List<Token> advance() {
        Tensor logits;
        if (length == plan.promptLength()) {
            int[] fork = IntStream.range(0, groups.length * beams)
                    .map(r -> r / beams)
                    .toArray();
            logits = readPrompts()
                    .index_select(
                            0, Tensor.create(Arrays.stream(fork).asLongStream().toArray()));
            plan.session().select(fork);
        } else {
            logits = read(rows().mapToLong(b -> b.ids[length - 1]).toArray());
        }
        long[][] ids = rows().map(Beam::ids).toArray(long[][]::new);
        int[] promptOf = IntStream.range(0, ids.length).map(r -> r / beams).toArray();
        Tensor logProbabilities = process(new Rows(ids, length, promptOf), logits.log_softmax(-1)); // [R, V]
        long vocabulary = logProbabilities.size(1);
        float[] scores = new float[ids.length];
        for (int r = 0; r < ids.length; r++) {
            scores[r] = groups[r / beams].running[r % beams].score;
        }
        Tensor accumulated =
                logProbabilities.add_(Tensor.create(scores, ids.length, 1)).view(groups.length, beams * vocabulary);
        Tensor values;
        Tensor indices;
        if (sample) {
            indices = multinomial(accumulated.softmax(-1), candidates, false, new GeneratorOptional(generator));
            values = accumulated.gather(1, indices);
        } else {
            T_TensorTensor_T top = topk(accumulated, candidates);
            values = top.get0();
            indices = top.get1(); // [B, candidates]
        }
        int[] sources = new int[groups.length * beams];
        float[] value = floats(values);
        long[] index = longs(indices);
        for (int g = 0; g < groups.length; g++) {
            int[] from = extend(
                    groups[g],
                    Arrays.copyOfRange(value, g * candidates, (g + 1) * candidates),
                    Arrays.copyOfRange(index, g * candidates, (g + 1) * candidates),
                    vocabulary);
            for (int b = 0; b < beams; b++) {
                sources[g * beams + b] = g * beams + from[b];
            }
        }
        length++;
        boolean improvable = false;
        for (Group group : groups) {
            group.improvable = group.improvable && canImprove(group);
            improvable |= group.improvable;
        }
        boolean allFull =
                earlyStopping == EarlyStopping.TRUE && Arrays.stream(groups).allMatch(Group::full);
        boolean stuck = Arrays.stream(groups).allMatch(g -> g.allCandidatesEnd);
        done = !improvable || allFull || stuck;
        if (!done) {
            plan.session().select(sources);
        }
        return List.of();
    }

    private Stream<Beam> rows() {
        return Arrays.stream(groups).flatMap(g -> Arrays.stream(g.running));
    }

    /** Takes a step's candidates of one prompt; returns which running beam each of the new running beams continues. */
    private int[] extend(Group group, float[] values, long[] indices, long vocabulary) {
        Beam[] candidate = new Beam[candidates];
        int[] source = new int[candidates];
        float[] running = new float[candidates];
        float[] ended = new float[candidates];
        boolean full = group.full() && earlyStopping == EarlyStopping.TRUE;
        float divisor = (float) Math.pow(length + 1 - plan.promptLength(), lengthPenalty);
        group.allCandidatesEnd = true;
        for (int c = 0; c < candidates; c++) {
            source[c] = (int) (indices[c] / vocabulary);
            Beam parent = group.running[source[c]];
            long[] ids = Arrays.copyOf(parent.ids, length + 1);
            ids[length] = indices[c] % vocabulary;
            FinishReason reason = plan.stopping().check(ids, length + 1);
            boolean counts = reason != null && c < beams; // only the best may end; the others are there to go on
            group.allCandidatesEnd &= reason != null;
            running[c] = values[c] + (reason != null ? LOWEST : 0f);
            ended[c] = values[c] / divisor;
            ended[c] += full ? LOWEST : 0f;
            ended[c] += group.improvable ? 0f : LOWEST;
            ended[c] += counts ? 0f : LOWEST;
            candidate[c] = new Beam(ids, parent.generated + 1, values[c], counts ? reason : null);
        }
        // finished texts and those that just ended compete
        float[] merged = new float[beams + candidates];
        for (int b = 0; b < beams; b++) {
            merged[b] = group.best[b].score;
        }
        System.arraycopy(ended, 0, merged, beams, candidates);
        int[] winners = top(merged, beams);
        Beam[] best = new Beam[beams];
        for (int b = 0; b < beams; b++) {
            int w = winners[b];
            if (w < beams) {
                best[b] = group.best[w];
            } else {
                Beam c = candidate[w - beams];
                best[b] = new Beam(c.ids, c.generated, merged[w], c.finished);
            }
        }
        group.best = best;
        int[] next = top(running, beams);
        Beam[] goOn = new Beam[beams];
        int[] from = new int[beams];
        for (int b = 0; b < beams; b++) {
            Beam c = candidate[next[b]];
            goOn[b] = new Beam(c.ids, c.generated, running[next[b]], null);
            from[b] = source[next[b]];
        }
        group.running = goOn;
        return from;
    }

    /** Indexes of the k largest, by torch's own topk so that ties fall the same way. */
    private static int[] top(float[] scores, int k) {
        return Arrays.stream(
                        longs(topk(Tensor.create(scores, 1, scores.length), k).get1()))
                .mapToInt(i -> (int) i)
                .toArray();
    }

    /** Whether the best running text could still beat the worst finished one ({@code _check_early_stop_heuristic}). */
    private boolean canImprove(Group group) {
        boolean mayGrow = earlyStopping == EarlyStopping.NEVER && lengthPenalty > 0;
        int hypothetical = mayGrow ? plan.stopping().maxLength() - plan.promptLength() : length - plan.promptLength();
        float possible = group.running[0].score / (float) Math.pow(hypothetical, lengthPenalty);
        float worst = Float.POSITIVE_INFINITY;
        for (Beam b : group.best) {
            worst = Math.min(worst, b.score);
        }
        for (Beam b : group.best) {
            if (possible > (b.finished != null ? worst : LOWEST)) {
                return true;
            }
        }
        return false;
    }

    @Override
    void cancel() {
        for (Group group : groups) { // what is finished stays; the best of what is running fills the rest
            Beam[] finished =
                    Arrays.stream(group.best).filter(b -> b.finished != null).toArray(Beam[]::new);
            group.best = Stream.concat(Arrays.stream(finished), Arrays.stream(group.running))
                    .limit(beams)
                    .toArray(Beam[]::new);
        }
    }

    @Override
    GenerationOutput output() {
        int rows = groups.length * returned;
        Beam[] chosen = new Beam[rows];
        int generated = 0;
        for (int r = 0; r < rows; r++) {
            chosen[r] = groups[r / returned].best[r % returned];
            generated = Math.max(generated, chosen[r].generated);
        }
        int fill = plan.eos().isEmpty()
                ? -1
                : plan.pad() > 0 ? plan.pad() : plan.eos().get(0); // a pad token 0 counts as none, as in transformers
        long[][] sequences = new long[rows][];
        float[] scores = new float[rows];
        int[] lengths = Arrays.stream(chosen).mapToInt(Beam::generated).toArray();
        for (int r = 0; r < rows; r++) {
            sequences[r] = Arrays.copyOf(chosen[r].ids, plan.promptLength() + generated);
            Arrays.fill(sequences[r], chosen[r].ids.length, sequences[r].length, fill);
            scores[r] = chosen[r].score;
        }
        List<FinishReason> reasons = Arrays.stream(chosen)
                .map(b -> b.finished == null ? FinishReason.CANCELLED : b.finished)
                .toList();
        return new GenerationOutput(sequences, plan.promptLength(), lengths, scores, null, reasons);
    }
}
