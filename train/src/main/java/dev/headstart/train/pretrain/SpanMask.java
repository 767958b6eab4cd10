package dev.headstart.train.pretrain;

import java.util.SplittableRandom;

/**
 * Which tokens go missing in span corruption: T5's {@code random_spans_noise_mask} (Raffel et al. 2020, section 3.1.4; transformers'
 * {@code run_t5_mlm_flax.py}). Numbers of tokens and spans depend on the length alone; their lengths are drawn evenly over all ways to cut.
 */
final class SpanMask {
    private SpanMask() {}

    /** Lengths of a corrupted example. @param raw tokens before @param input and after, end included @param target of the missing spans, end included */
    record Lengths(int raw, int input, int target) {}

    static int noiseTokens(int length, double density) {
        return Math.min(Math.max((int) Math.rint(length * density), 1), length - 1);
    }

    static int spans(int length, double density, double mean) {
        int noise = noiseTokens(length, density);
        return Math.max((int) Math.rint(Math.min(noise, length - noise) / mean), 1);
    }

    private static Lengths lengths(int raw, double density, double mean) {
        int noise = (int) Math.rint(raw * density);
        int spans = (int) Math.rint(noise / mean);
        return new Lengths(raw, raw - noise + spans + 1, noise + spans + 1);
    }

    /** The most raw tokens whose input is no longer than {@code input} (compute_input_and_target_lengths). */
    static Lengths fitting(int input, double density, double mean) {
        int raw = input;
        while (lengths(raw + 1, density, mean).input() <= input) {
            raw++;
        }
        Lengths l = lengths(raw, density, mean);
        return density == 0.5 && l.target() > l.input() ? lengths(raw - 1, density, mean) : l;
    }

    /** true for tokens that go missing; begins with one that stays, ends with one that goes. */
    static boolean[] draw(int length, double density, double mean, SplittableRandom random) {
        int noise = noiseTokens(length, density);
        int spans = spans(length, density, mean);
        int[] gone = segments(noise, spans, random);
        int[] kept = segments(length - noise, spans, random);
        boolean[] mask = new boolean[length];
        int at = 0;
        for (int i = 0; i < spans; i++) {
            at += kept[i];
            for (int k = 0; k < gone[i]; k++) {
                mask[at++] = true;
            }
        }
        return mask;
    }

    /** Cuts n items into k pieces, none empty, every way alike. */
    private static int[] segments(int n, int k, SplittableRandom random) {
        boolean[] first = new boolean[n - 1];
        for (int i = 0; i < Math.min(k - 1, n - 1); i++) {
            first[i] = true;
        }
        for (int i = n - 2; i > 0; i--) {
            int j = random.nextInt(i + 1);
            boolean t = first[i];
            first[i] = first[j];
            first[j] = t;
        }
        int[] lengths = new int[k];
        int segment = 0;
        lengths[0] = 1;
        for (boolean f : first) {
            segment += f ? 1 : 0;
            lengths[segment]++;
        }
        return lengths;
    }
}
