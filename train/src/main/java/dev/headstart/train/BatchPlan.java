package dev.headstart.train;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;

/** Which examples make which step: a function of the seed and the step alone, so that a resumed run sees what an unbroken one sees. */
final class BatchPlan {
    /** Examples that are sorted by length together (transformers' group_by_length). */
    private static final int MEGA = 50;

    private final int size;
    private final TrainingData data;
    private final int batch;
    private final int accumulation;
    private final boolean group;
    private final long seed;
    private long epochAt = -1;
    private List<int[]> batches = List.of();

    BatchPlan(TrainingData data, TrainingArguments args) {
        this.size = data.size();
        this.data = data;
        this.batch = args.batchSize;
        this.accumulation = args.gradientAccumulationSteps;
        this.group = args.groupByLength;
        this.seed = args.seed;
    }

    /** Steps of one pass over the data. */
    long stepsPerEpoch() {
        long n = (size + batch - 1) / batch;
        return (n + accumulation - 1) / accumulation;
    }

    /** The batches of a step, from 0. */
    List<int[]> step(long step) {
        long epoch = step / stepsPerEpoch();
        if (epoch != epochAt) {
            batches = shuffled(epoch);
            epochAt = epoch;
        }
        int from = Math.toIntExact(step % stepsPerEpoch()) * accumulation;
        return batches.subList(from, Math.min(batches.size(), from + accumulation));
    }

    private List<int[]> shuffled(long epoch) {
        SplittableRandom random = random(seed, epoch, 1);
        Integer[] order = Arrays.stream(data.pass(epoch, seed)).boxed().toArray(Integer[]::new);
        Shuffle.inPlace(Arrays.asList(order), random);
        if (group) {
            for (int from = 0; from < size; from += MEGA * batch) {
                Arrays.sort(
                        order,
                        from,
                        Math.min(size, from + MEGA * batch),
                        Comparator.comparingInt((Integer i) -> data.length(i)).reversed());
            }
        }
        List<int[]> all = new ArrayList<>();
        for (int from = 0; from < size; from += batch) {
            int[] one = new int[Math.min(batch, size - from)];
            for (int i = 0; i < one.length; i++) {
                one[i] = order[from + i];
            }
            all.add(one);
        }
        Shuffle.inPlace(all, random);
        return all;
    }

    /** Random numbers that depend on the seed, a position and a purpose. */
    static SplittableRandom random(long seed, long position, long purpose) {
        return new SplittableRandom(seed * 0x9E3779B97F4A7C15L + position * 0xD1B54A32D192ED03L + purpose);
    }
}
