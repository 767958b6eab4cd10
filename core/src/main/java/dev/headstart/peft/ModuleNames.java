package dev.headstart.peft;

import java.util.List;
import java.util.Map;

/**
 * What transformers 5 calls the modules of some families whose checkpoints keep the names of transformers 4 (its {@code conversion_mapping.py}). Adapters
 * have the names of the modules, so they come with either.
 */
public final class ModuleNames {
    private record Change(String from, String to) {}

    private static final List<Change> ATTENTION = List.of(
            new Change("attention.attention.query", "attention.q_proj"),
            new Change("attention.attention.key", "attention.k_proj"),
            new Change("attention.attention.value", "attention.v_proj"),
            new Change("attention.output.dense", "attention.o_proj"));

    private static final List<Change> VIT = join(
            List.of(new Change("encoder.layer.", "layers.")),
            ATTENTION,
            List.of(new Change("intermediate.dense", "mlp.fc1"), new Change("output.dense", "mlp.fc2")));

    /** weights_in is two modules there, gate_proj and up_proj, which have no deltas of their own here. */
    private static final List<Change> DINOV2 = join(ATTENTION, List.of(new Change("mlp.weights_out", "mlp.down_proj")));

    private static final List<Change> WINDOWS = List.of(
            new Change("attention.self.query", "attention.q_proj"),
            new Change("attention.self.key", "attention.k_proj"),
            new Change("attention.self.value", "attention.v_proj"),
            new Change("attention.output.dense", "attention.o_proj"));

    private static final Map<String, List<Change>> CHANGES = Map.of(
            "vit",
            VIT,
            "deit",
            VIT,
            "dinov2",
            DINOV2,
            "dinov2_with_registers",
            DINOV2,
            "swin",
            join(
                    WINDOWS,
                    List.of(
                            new Change(
                                    "attention.self.relative_position_bias_table",
                                    "attention.relative_position_bias.relative_position_bias_table"),
                            new Change("intermediate.dense", "mlp.fc1"),
                            new Change("output.dense", "mlp.fc2"))),
            "segformer",
            join(
                    WINDOWS,
                    List.of(
                            new Change("attention.self.sr", "attention.sequence_reduction.sequence_reduction"),
                            new Change("attention.self.layer_norm", "attention.sequence_reduction.layer_norm"),
                            new Change("mlp.dense1", "mlp.fc1"),
                            new Change("mlp.dense2", "mlp.fc2"),
                            new Change("layer_norm_1", "layernorm_before"),
                            new Change("layer_norm_2", "layernorm_after"),
                            new Change("decode_head.linear_c", "decode_head.linear_projections"))));

    private ModuleNames() {}

    @SafeVarargs
    private static List<Change> join(List<Change>... parts) {
        return java.util.Arrays.stream(parts).flatMap(List::stream).toList();
    }

    /** The module's name in transformers 5. @param name as checkpoints have it */
    public static String modern(String modelType, String name) {
        String result = name;
        if (modelType.equals("segformer")) {
            result = result.replaceFirst("encoder\\.patch_embeddings\\.(\\d+)\\.", "stages.$1.patch_embeddings.")
                    .replaceFirst("encoder\\.block\\.(\\d+)\\.", "stages.$1.blocks.")
                    .replaceFirst("encoder\\.layer_norm\\.(\\d+)", "stages.$1.layer_norm");
        }
        for (Change c : CHANGES.getOrDefault(modelType, List.of())) {
            result = result.replace(c.from(), c.to());
        }
        return result;
    }
}
