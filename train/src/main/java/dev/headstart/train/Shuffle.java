package dev.headstart.train;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;

/** Random orders, each as likely as any other (Fisher and Yates), that depend on the generator alone. */
public final class Shuffle {
    private Shuffle() {}

    /** Brings a list into a random order. */
    public static void inPlace(List<?> list, SplittableRandom random) {
        for (int i = list.size() - 1; i > 0; i--) {
            Collections.swap(list, i, random.nextInt(i + 1));
        }
    }

    /** @return the values in a random order, in an array of its own */
    public static int[] of(int[] values, SplittableRandom random) {
        Integer[] order = Arrays.stream(values).boxed().toArray(Integer[]::new);
        inPlace(Arrays.asList(order), random);
        return Arrays.stream(order).mapToInt(i -> i).toArray();
    }
}
