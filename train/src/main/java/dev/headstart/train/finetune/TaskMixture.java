package dev.headstart.train.finetune;

import dev.headstart.train.Shuffle;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Several tasks in one training (Raffel et al. 2020, section 3.5.2): a task of e examples is drawn in proportion to min(e, K)^(1/T). K is the paper's
 * artificial data set size limit, T its temperature: 1 is examples-proportional mixing, a large one mixes equally.
 *
 * <p>The paper draws each example at random; here a pass over the data, which has as many draws as there are examples, holds exactly a task's share. A
 * task's examples are drawn in one random order after the other, from pass to pass, so that none is drawn a second time before all have been once.
 */
final class TaskMixture {
    private final Map<String, int[]> examples = new TreeMap<>();
    private final Map<String, Integer> draws = new LinkedHashMap<>();
    private final int size;

    /** @param tasks the task of each example; @param temperature T; @param limit K */
    TaskMixture(List<String> tasks, double temperature, long limit) {
        size = tasks.size();
        IntStream.range(0, size)
                .boxed()
                .collect(Collectors.groupingBy(tasks::get))
                .forEach((task, own) ->
                        examples.put(task, own.stream().mapToInt(i -> i).toArray()));
        int[] shares = shares(examples.values().stream().mapToInt(e -> e.length).toArray(), temperature, limit);
        for (String task : examples.keySet()) {
            draws.put(task, shares[draws.size()]);
        }
    }

    /** How often each task is drawn in one pass: at least once, together as often as there are examples. */
    static int[] shares(int[] sizes, double temperature, long limit) {
        double[] rates = Arrays.stream(sizes)
                .mapToDouble(e -> Math.pow(Math.min(e, limit), 1 / temperature))
                .toArray();
        double sum = Arrays.stream(rates).sum();
        int total = Arrays.stream(sizes).sum();
        double[] exact = Arrays.stream(rates).map(r -> total * r / sum).toArray();
        int[] shares = Arrays.stream(exact).mapToInt(x -> Math.max(1, (int) x)).toArray();
        for (int left = total - Arrays.stream(shares).sum(); left != 0; left -= Integer.signum(left)) {
            int sign = Integer.signum(left); // the task that is furthest from its share gets one more, or one less
            int next = IntStream.range(0, shares.length)
                    .filter(i -> sign > 0 || shares[i] > 1)
                    .boxed()
                    .max(Comparator.comparingDouble(i -> sign * (exact[i] - shares[i])))
                    .orElseThrow();
            shares[next] += sign;
        }
        return shares;
    }

    /** The examples of a pass, tasks after one another. @param pass from 0 */
    int[] pass(long pass, long seed) {
        int[] all = new int[size];
        int at = 0;
        for (Map.Entry<String, int[]> e : examples.entrySet()) {
            int[] own = e.getValue();
            int share = draws.getOrDefault(e.getKey(), 0);
            int[] order = own;
            long round = -1;
            for (long draw = pass * share; draw < (pass + 1) * share; draw++) {
                if (draw / own.length != round) {
                    round = draw / own.length;
                    order = Shuffle.of(own, new SplittableRandom(Objects.hash(seed, e.getKey(), round)));
                }
                all[at++] = order[(int) (draw % own.length)];
            }
        }
        return all;
    }

    /** In words, for the log and the model card. */
    String describe() {
        return examples.entrySet().stream()
                .map(e -> e.getKey() + " " + draws.get(e.getKey()) + " times (examples: " + e.getValue().length + ")")
                .collect(Collectors.joining(", "));
    }
}
