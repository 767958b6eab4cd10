package dev.headstart.generation;

import static org.bytedeco.pytorch.global.torch.multinomial;
import static org.bytedeco.pytorch.global.torch.topk;

import dev.headstart.generation.GenerationConfig.EarlyStopping;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.pytorch.GeneratorOptional;
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
        Best best = sample
                ? drawn(logProbabilities
                        .add_(Tensor.create(scores, ids.length, 1))
                        .view(groups.length, beams * vocabulary))
                : Best.of(logProbabilities, scores, beams, candidates);
        int[][] from = extend(best, vocabulary);
        int[] sources = new int[groups.length * beams];
        Arrays.setAll(sources, r -> r / beams * beams + from[r / beams][r % beams]);
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

    /** Candidates by chance. @param accumulated [B, beams V] */
    private Best drawn(Tensor accumulated) {
        Tensor indices = multinomial(accumulated.softmax(-1), candidates, false, new GeneratorOptional(generator));
        return new Best(floats(accumulated.gather(1, indices)), longs(indices)); // [B, candidates]
    }

    /** Takes a step's candidates; returns which running beam of its prompt each of the new running beams continues. */
    private int[][] extend(Best best, long vocabulary) {
        Extension[] extensions = new Extension[groups.length];
        Arrays.setAll(extensions, g -> new Extension(groups[g], best, g * candidates, vocabulary));
        int[][] winners = top(Arrays.stream(extensions).map(e -> e.merged).toArray(float[][]::new), beams);
        int[][] next = top(Arrays.stream(extensions).map(e -> e.running).toArray(float[][]::new), beams);
        int[][] from = new int[groups.length][];
        Arrays.setAll(from, g -> extensions[g].choose(winners[g], next[g]));
        return from;
    }

    /** The candidates of one prompt in a step. */
    private final class Extension {
        private final Group group;
        private final Beam[] candidate = new Beam[candidates];
        private final int[] source = new int[candidates];
        final float[] running = new float[candidates]; // scores of those that may go on
        final float[] merged = new float[beams + candidates]; // finished texts and those that just ended compete

        Extension(Group group, Best best, int first, long vocabulary) {
            this.group = group;
            boolean full = group.full() && earlyStopping == EarlyStopping.TRUE;
            float divisor = (float) Math.pow(length + 1 - plan.promptLength(), lengthPenalty);
            group.allCandidatesEnd = true;
            for (int b = 0; b < beams; b++) {
                merged[b] = group.best[b].score;
            }
            for (int c = 0; c < candidates; c++) {
                float value = best.values()[first + c];
                long index = best.indices()[first + c];
                source[c] = (int) (index / vocabulary);
                Beam parent = group.running[source[c]];
                long[] ids = Arrays.copyOf(parent.ids, length + 1);
                ids[length] = index % vocabulary;
                FinishReason reason = plan.stopping().check(ids, length + 1);
                boolean counts = reason != null && c < beams; // only the best may end; the others are there to go on
                group.allCandidatesEnd &= reason != null;
                running[c] = value + (reason != null ? LOWEST : 0f);
                float ended = value / divisor;
                ended += full ? LOWEST : 0f;
                ended += group.improvable ? 0f : LOWEST;
                ended += counts ? 0f : LOWEST;
                merged[beams + c] = ended;
                candidate[c] = new Beam(ids, parent.generated + 1, value, counts ? reason : null);
            }
        }

        /** @param winners the best of {@link #merged}; @param next the best of {@link #running}; @return whom the running beams continue */
        int[] choose(int[] winners, int[] next) {
            Beam[] best = new Beam[beams];
            Beam[] goOn = new Beam[beams];
            int[] from = new int[beams];
            for (int b = 0; b < beams; b++) {
                int w = winners[b];
                if (w < beams) {
                    best[b] = group.best[w];
                } else {
                    Beam c = candidate[w - beams];
                    best[b] = new Beam(c.ids, c.generated, merged[w], c.finished);
                }
                Beam c = candidate[next[b]];
                goOn[b] = new Beam(c.ids, c.generated, running[next[b]], null);
                from[b] = source[next[b]];
            }
            group.best = best;
            group.running = goOn;
            return from;
        }
    }

    /** Indexes of the k largest of each row, by torch's own topk so that ties fall the same way. */
    private static int[][] top(float[][] scores, int k) {
        int n = scores[0].length;
        float[] flat = new float[scores.length * n];
        for (int r = 0; r < scores.length; r++) {
            System.arraycopy(scores[r], 0, flat, r * n, n);
        }
        long[] best = longs(topk(Tensor.create(flat, scores.length, n), k).get1());
        int[][] rows = new int[scores.length][k];
        for (int r = 0; r < rows.length; r++) {
            int first = r * k;
            Arrays.setAll(rows[r], i -> (int) best[first + i]);
        }
        return rows;
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
