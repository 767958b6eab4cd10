package dev.headstart.models;

import dev.headstart.HeadstartException;
import java.util.List;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/** Which layers of a decoder see a sliding window: {@code layer_types}, or the family's rule. */
final class SlidingWindows {
    private SlidingWindows() {}

    /** The window's size: null means none (0). @param absent what a missing field means */
    static int size(ConfigJson c, int absent) {
        return c.node().path("sliding_window").isNull() ? 0 : c.integer("sliding_window", absent);
    }

    /** Each layer's window, 0 where it sees all. @param window its size, 0 for none @param rule which layers have it when config.json does not say */
    static List<Integer> of(ConfigJson c, int layers, int window, IntPredicate rule) {
        return types(c, layers, rule).stream()
                .map(sliding -> sliding ? window : 0)
                .toList();
    }

    /** Whether each layer is a sliding one. */
    static List<Boolean> types(ConfigJson c, int layers, IntPredicate rule) {
        List<String> named = c.texts("layer_types", List.of());
        if (named.isEmpty()) {
            return IntStream.range(0, layers).mapToObj(rule::test).toList();
        }
        if (named.size() < layers) {
            throw new HeadstartException(
                    c.origin() + ": layer_types names " + named.size() + " layers, num_hidden_layers is " + layers);
        }
        return named.stream().limit(layers).map("sliding_attention"::equals).toList();
    }

    /** A soft cap: absent takes the family's default, null means none (0). */
    static double cap(ConfigJson c, String field, double absent) {
        return c.node().path(field).isNull() ? 0 : c.number(field, absent);
    }
}
