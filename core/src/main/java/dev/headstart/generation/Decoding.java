package dev.headstart.generation;

import static org.bytedeco.pytorch.global.torch.createCPUGenerator;

import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.BooleanSupplier;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/** A running generation, one token a step; what differs between strategies is in the subclasses. Used by one thread. */
abstract sealed class Decoding implements AutoCloseable permits SamplingDecoding, BeamDecoding {
    /**
     * What a strategy needs, resolved from model, inputs and parameters.
     *
     * @param prompts token ids of each prompt without padding
     * @param padded the same with padding on the left, as the caller gave them, [B, S]
     * @param pad the token that fills rows that ended, or -1
     */
    record Plan(
            DecodingSession session,
            long[][] prompts,
            long[][] padded,
            GenerationConfig config,
            List<LogitsProcessor> processors,
            Stopping stopping,
            List<Integer> eos,
            int pad,
            BooleanSupplier cancelled,
            @Nullable Generator shared) {
        int promptLength() {
            return padded[0].length;
        }
    }

    final Plan plan;
    final boolean sample;
    final @Nullable Generator generator;
    boolean done;

    Decoding(Plan plan) {
        this.plan = plan;
        this.sample = plan.config.flag("do_sample");
        this.generator = sample ? plan.shared != null ? plan.shared : newGenerator(plan.config.seed()) : null;
    }

    /** A generator of this call's own, as {@code torch.manual_seed(seed)} would leave torch's CPU generator. */
    static Generator newGenerator(@Nullable Long seed) {
        try (PointerScope scope = new PointerScope()) {
            Generator made = createCPUGenerator(
                    seed == null ? ThreadLocalRandom.current().nextLong() : seed);
            made.retainReference();
            return made;
        }
    }

    /** Computes one more token of every row; returns those that are final, none in beam search. Does nothing when {@link #done}. */
    final List<Token> step() {
        if (done) {
            return List.of();
        }
        if (plan.cancelled.getAsBoolean()) {
            cancel();
            done = true;
            return List.of();
        }
        try (PointerScope scope = new PointerScope();
                InferenceMode guard = new InferenceMode(true)) {
            return advance();
        }
    }

    /** One step, in a scope. Sets {@link #done}. */
    abstract List<Token> advance();

    /** Marks what is unfinished as cancelled. */
    abstract void cancel();

    /** What there is so far. */
    abstract GenerationOutput output();

    /** Reads the prompts, ragged, and scores what follows each; [B, V] on the CPU, fp32. */
    final Tensor readPrompts() {
        int width = Arrays.stream(plan.prompts).mapToInt(p -> p.length).max().orElse(0);
        long[] flat = new long[plan.prompts.length * width];
        int[] lengths = new int[plan.prompts.length];
        for (int r = 0; r < lengths.length; r++) {
            lengths[r] = plan.prompts[r].length;
            System.arraycopy(plan.prompts[r], 0, flat, r * width, lengths[r]);
        }
        return scores(plan.session.step(Tensor.create(flat, lengths.length, width), lengths));
    }

    /** Reads one more token of each row; [R, V] on the CPU, fp32. */
    final Tensor read(long[] next) {
        int[] ones = new int[next.length];
        Arrays.fill(ones, 1);
        return scores(plan.session.step(Tensor.create(next, next.length, 1), ones));
    }

    private static Tensor scores(Tensor logits) {
        return logits.is_cpu()
                ? logits.to(torch.ScalarType.Float)
                : logits.cpu().to(torch.ScalarType.Float);
    }

    final Tensor process(Rows rows, Tensor scores) {
        Tensor processed = scores;
        for (LogitsProcessor p : plan.processors) {
            processed = p.process(rows, processed);
        }
        return processed;
    }

    static long[] longs(Tensor t) {
        long[] out = new long[(int) t.numel()];
        t.contiguous().data_ptr_long().get(out);
        return out;
    }

    static float[] floats(Tensor t) {
        float[] out = new float[(int) t.numel()];
        t.contiguous().data_ptr_float().get(out);
        return out;
    }

    @Override
    public void close() {
        done = true;
        plan.session.close();
        if (generator != null && generator != plan.shared) {
            generator.close();
        }
    }
}
