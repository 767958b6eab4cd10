package dev.headstart.benchmarks;

import dev.headstart.HeadstartException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** Arguments {@code name=value}, each with a default. */
final class Options {
    private final Map<String, String> values;

    /** @param arguments what replaces defaults; other names are refused */
    Options(Map<String, String> defaults, List<String> arguments) {
        values = new LinkedHashMap<>(defaults);
        for (String argument : arguments) {
            String[] pair = argument.split("=", 2);
            if (pair.length < 2 || !values.containsKey(pair[0])) {
                throw new HeadstartException(
                        argument + ": expected name=value, with a name of " + String.join(", ", values.keySet()));
            }
            values.put(pair[0], pair[1]);
        }
    }

    String text(String name) {
        return Objects.requireNonNull(values.get(name), name);
    }

    int number(String name) {
        return Integer.parseInt(text(name));
    }

    /** Words between commas. */
    List<String> list(String name) {
        return text(name).isEmpty() ? List.of() : List.of(text(name).split(","));
    }
}
