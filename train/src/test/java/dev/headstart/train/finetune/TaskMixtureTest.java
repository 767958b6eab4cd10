package dev.headstart.train.finetune;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Shares of tasks as the T5 paper has them, and passes that keep to them. */
class TaskMixtureTest {
    private static final long PAPERS = 1L << 21;

    @Test
    void sharesAreThePapers() {
        int[] sizes = {900, 100};
        assertThat(TaskMixture.shares(sizes, 1, PAPERS)).containsExactly(900, 100);
        assertThat(TaskMixture.shares(sizes, 2, PAPERS)).containsExactly(750, 250); // 30 to 10
        assertThat(TaskMixture.shares(sizes, 1e9, PAPERS)).containsExactly(500, 500);
        assertThat(TaskMixture.shares(sizes, 1, 100)).containsExactly(500, 500); // the limit before the temperature
        assertThat(TaskMixture.shares(sizes, 1, 300)).containsExactly(750, 250);
        assertThat(TaskMixture.shares(sizes, 2, 400)).containsExactly(667, 333); // 20 to 10
        assertThat(TaskMixture.shares(new int[] {7}, 3, 2)).containsExactly(7);
    }

    @Test
    void sharesAreAtLeastOneAndTogetherAsManyAsThereAreExamples() {
        assertThat(TaskMixture.shares(new int[] {1_000_000, 1, 1}, 1, PAPERS)).containsExactly(1_000_000, 1, 1);
        assertThat(TaskMixture.shares(new int[] {10, 10, 10}, 1, 5)).containsExactly(10, 10, 10);
        assertThat(TaskMixture.shares(new int[] {2, 1, 1}, 1, 1))
                .containsExactlyInAnyOrder(2, 1, 1); // 4 in three parts
        int[] sizes = {5, 9, 17, 33, 1, 2};
        for (double temperature : new double[] {1, 1.7, 2, 4, 50}) {
            for (long limit : new long[] {1, 3, 10, PAPERS}) {
                int[] shares = TaskMixture.shares(sizes, temperature, limit);
                assertThat(Arrays.stream(shares).sum()).isEqualTo(67);
                assertThat(shares).doesNotContain(0);
            }
        }
    }

    @Test
    void everyPassKeepsTheSharesAndExamplesTakeTurns() {
        List<String> tasks = new ArrayList<>(Collections.nCopies(900, "large"));
        tasks.addAll(Collections.nCopies(100, "small"));
        TaskMixture mixture = new TaskMixture(tasks, 2, PAPERS);
        int[] times = new int[1000];
        for (int pass = 0; pass < 12; pass++) {
            int[] drawn = mixture.pass(pass, 5);
            assertThat(drawn).hasSize(1000);
            assertThat(Arrays.stream(drawn).filter(i -> i >= 900).count()).isEqualTo(250);
            Arrays.stream(drawn).forEach(i -> times[i]++);
            int[] large = Arrays.copyOf(times, 900);
            int[] small = Arrays.copyOfRange(times, 900, 1000);
            for (int[] own : List.of(large, small)) { // nothing a second time before all have been once
                assertThat(Arrays.stream(own).max().orElseThrow()
                                - Arrays.stream(own).min().orElseThrow())
                        .isLessThanOrEqualTo(1);
            }
        }
        assertThat(Arrays.stream(times, 0, 900).allMatch(n -> n == 10)).isTrue(); // 12 passes of 750 draws
        assertThat(Arrays.stream(times, 900, 1000).allMatch(n -> n == 30)).isTrue();
        assertThat(mixture.pass(3, 5)).isEqualTo(mixture.pass(3, 5)).isNotEqualTo(mixture.pass(4, 5));
        assertThat(mixture.pass(3, 6)).isNotEqualTo(mixture.pass(3, 5));
    }

    @Test
    void withTemperatureOneEveryExampleIsInEveryPass() {
        TaskMixture mixture = new TaskMixture(List.of("b", "a", "b", "c", "b", "a"), 1, PAPERS);
        for (int pass = 0; pass < 5; pass++) {
            assertThat(mixture.pass(pass, 1))
                    .containsExactlyInAnyOrder(IntStream.range(0, 6).toArray());
        }
        assertThat(mixture.describe())
                .isEqualTo("a 2 times (examples: 2), b 3 times (examples: 3), c 1 times (examples: 1)");
    }
}
