package dev.headstart.models;

import dev.headstart.nn.Rotary;
import java.util.List;

/**
 * Reads how a configuration describes rotary embeddings: {@code rope_parameters} as transformers 5 writes it (flat, or one object a layer type), or
 * {@code rope_theta} and {@code rope_scaling} as 4 did.
 */
final class RopeConfig {
    private RopeConfig() {}

    /**
     * @param c config.json
     * @param headDim dimensions of a head
     * @param maxPositions max_position_embeddings
     * @param layerType which of the layer types, where they differ; empty when they do not
     * @param theta the base when none is given
     * @param scaled whether {@code rope_scaling} of transformers 4 applies (in Gemma 3 to full attention alone)
     */
    static Rotary.Spec of(ConfigJson c, int headDim, int maxPositions, String layerType, double theta, boolean scaled) {
        ConfigJson given = c.sub("rope_parameters");
        ConfigJson flat = !layerType.isEmpty() && given.has(layerType) ? given.sub(layerType) : given;
        ConfigJson r = scaled && c.has("rope_scaling") ? c.sub("rope_scaling") : flat;
        String type = r.text("rope_type", r.text("type", "default"));
        double base = r.number("rope_theta", flat.number("rope_theta", theta));
        double partial = r.number("partial_rotary_factor", c.number("partial_rotary_factor", 1));
        int original = c.integer(
                "original_max_position_embeddings", r.integer("original_max_position_embeddings", maxPositions));
        boolean stretches = type.equals("yarn") || type.equals("longrope");
        double factor = r.number("factor", stretches ? (double) maxPositions / original : 1);
        return new Rotary.Spec(
                type,
                base,
                (int) (headDim * partial),
                headDim,
                maxPositions,
                factor,
                original,
                r.has("attention_factor") ? Double.valueOf(r.number("attention_factor", 1)) : null,
                r.number("low_freq_factor", 1),
                r.number("high_freq_factor", 4),
                r.number("beta_fast", 32),
                r.number("beta_slow", 1),
                r.number("mscale", 0),
                r.number("mscale_all_dim", 0),
                r.flag("truncate", true),
                doubles(r.numbers("short_factor", List.of())),
                doubles(r.numbers("long_factor", List.of())));
    }

    private static double[] doubles(List<Double> numbers) {
        return numbers.stream().mapToDouble(Double::doubleValue).toArray();
    }
}
