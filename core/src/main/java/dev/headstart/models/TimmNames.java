package dev.headstart.models;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.io.TensorSource;
import java.util.Set;
import java.util.TreeSet;

/**
 * Checkpoints of timm (Wightman): a config.json with {@code architecture} and no model_type, and timm's own tensor names. ResNets, vision transformers
 * and ConvNeXTs become the families that transformers has; their sizes are read from the tensors.
 */
final class TimmNames {
    private final TensorSource source;
    private final RenamedSource renamed;
    private final Set<String> left;
    private final ConfigJson config;

    private TimmNames(TensorSource source, ConfigJson config) {
        this.source = source;
        this.config = config;
        renamed = new RenamedSource(source);
        left = new TreeSet<>(source.names());
    }

    /** Whether config.json is timm's. */
    static boolean fits(ConfigJson config) {
        return config.modelType().isEmpty() && config.has("architecture")
                || config.modelType().equals("timm_wrapper");
    }

    /**
     * The checkpoint under transformers' names.
     *
     * @param config receives the fields of the family's configuration
     * @throws HeadstartException when the architecture is none of those that are known
     */
    static TensorSource adapt(TensorSource source, ConfigJson config) {
        labels(config);
        if (TorchResNetNames.fits(source)) {
            return TorchResNetNames.adapt(source, config);
        }
        TimmNames names = new TimmNames(source, config);
        if (source.names().contains("patch_embed.proj.weight") && source.names().contains("blocks.0.attn.qkv.weight")) {
            names.vit();
        } else if (source.names().contains("stem.0.weight")
                && source.names().contains("stages.0.blocks.0.conv_dw.weight")) {
            names.convNext();
        } else {
            throw new HeadstartException(
                    config.origin() + ": timm architecture " + config.text("architecture", "?")
                            + " is not known; known are ResNet, ResNeXt, Wide ResNet, vision transformers, DeiT, ConvNeXT and ConvNeXT V2");
        }
        if (!names.left.isEmpty()) {
            throw new HeadstartException(config.origin() + ": timm architecture " + config.text("architecture", "?")
                    + " has tensors that no known variant has: "
                    + String.join(", ", names.left.stream().limit(5).toList()));
        }
        return names.renamed;
    }

    /** Class names: timm's label_names, else numbers. */
    private static void labels(ConfigJson config) {
        if (config.has("id2label")) {
            return;
        }
        ObjectNode node = config.node();
        if (config.has("label_names")) {
            ObjectNode names = node.putObject("id2label");
            int i = 0;
            for (JsonNode name : node.get("label_names")) {
                names.put(String.valueOf(i++), name.asText());
            }
        } else if (config.has("num_classes") && config.integer("num_classes", 0) > 0) {
            node.put("num_labels", config.size("num_classes", 1000));
        }
    }

    private boolean has(String name) {
        return source.names().contains(name);
    }

    private long size(String name, int dimension) {
        return source.info(name).shape().get(dimension);
    }

    private void move(String name, String original) {
        renamed.put(name, original);
        left.remove(original);
    }

    private void layer(String name, String original) {
        move(name + ".weight", original + ".weight");
        if (has(original + ".bias")) {
            move(name + ".bias", original + ".bias");
        }
    }

    private JsonNode argument(String field) {
        return config.node().path("model_args").path(field);
    }

    private int count(String prefix) {
        int n = 0;
        while (left.stream().anyMatch(startsWith(prefix + n + "."))) {
            n++;
        }
        return n;
    }

    private static java.util.function.Predicate<String> startsWith(String prefix) {
        return s -> s.startsWith(prefix);
    }

    private void vit() {
        boolean distilled = has("dist_token");
        String base = distilled ? "deit" : "vit";
        long d = size("patch_embed.proj.weight", 0),
                patch = size("patch_embed.proj.weight", 2),
                positions = size("pos_embed", 1);
        int depth = count("blocks."), special = distilled ? 2 : 1;
        boolean bias = has("blocks.0.attn.qkv.bias");
        String e = base + ".embeddings.";
        move(e + "cls_token", "cls_token");
        if (distilled) {
            move(e + "distillation_token", "dist_token");
        }
        move(e + "position_embeddings", "pos_embed");
        layer(e + "patch_embeddings.projection", "patch_embed.proj");
        for (int i = 0; i < depth; i++) {
            String to = base + ".encoder.layer." + i + ".", from = "blocks." + i + ".";
            layer(to + "layernorm_before", from + "norm1");
            layer(to + "layernorm_after", from + "norm2");
            String[] parts = {"query", "key", "value"};
            for (int k = 0; k < 3; k++) {
                for (String field : bias ? new String[] {"weight", "bias"} : new String[] {"weight"}) {
                    renamed.rows(
                            to + "attention.attention." + parts[k] + "." + field, from + "attn.qkv." + field, k * d, d);
                    left.remove(from + "attn.qkv." + field);
                }
            }
            layer(to + "attention.output.dense", from + "attn.proj");
            layer(to + "intermediate.dense", from + "mlp.fc1");
            layer(to + "output.dense", from + "mlp.fc2");
        }
        layer(base + ".layernorm", "norm");
        ObjectNode c = config.node();
        String architecture = distilled ? "DeiTModel" : "ViTModel";
        if (has("head.weight") && has("head_dist.weight")) {
            layer("cls_classifier", "head");
            layer("distillation_classifier", "head_dist");
            architecture = "DeiTForImageClassificationWithTeacher";
        } else if (has("head.weight")) {
            layer("classifier", "head");
            architecture = distilled ? "DeiTForImageClassification" : "ViTForImageClassification";
        }
        JsonNode heads = argument("num_heads");
        c.put("model_type", base);
        c.putArray("architectures").add(architecture);
        c.put("hidden_size", d);
        c.put("num_hidden_layers", depth);
        c.put(
                "num_attention_heads",
                heads.isNumber() ? heads.asLong() : d == 1280 || d == 1408 || d == 1664 ? 16 : Math.max(1, d / 64));
        c.put("intermediate_size", size("blocks.0.mlp.fc1.weight", 0));
        c.put("num_channels", size("patch_embed.proj.weight", 1));
        c.put("layer_norm_eps", 1e-6);
        c.put("qkv_bias", bias);
        c.put("patch_size", patch);
        c.put("image_size", imageSize((long) Math.sqrt((double) positions - special) * patch));
        c.put("hidden_act", config.text("architecture", "").contains("quickgelu") ? "quick_gelu" : "gelu");
    }

    private long imageSize(long fallback) {
        JsonNode input = config.node().path("pretrained_cfg").path("input_size");
        long stated = input.size() == 3 && input.get(1).asLong() == input.get(2).asLong()
                ? input.get(1).asLong()
                : fallback;
        return stated / size("patch_embed.proj.weight", 2) * size("patch_embed.proj.weight", 2) == fallback
                ? stated
                : fallback;
    }

    private void convNext() {
        boolean v2 = has("stages.0.blocks.0.mlp.grn.weight");
        String base = v2 ? "convnextv2" : "convnext";
        int stages = count("stages.");
        ObjectNode c = config.node();
        c.put("model_type", base);
        ArrayNode widths = c.putArray("hidden_sizes"), depths = c.putArray("depths");
        long patch = size("stem.0.weight", 2);
        c.put("num_channels", size("stem.0.weight", 1));
        layer(base + ".embeddings.patch_embeddings", "stem.0");
        layer(base + ".embeddings.layernorm", "stem.1");
        boolean scaled = false;
        for (int i = 0; i < stages; i++) {
            String stage = "stages." + i + ".", to = base + ".encoder.stages." + i + ".";
            if (has(stage + "downsample.1.weight")) {
                layer(to + "downsampling_layer.0", stage + "downsample.0");
                layer(to + "downsampling_layer.1", stage + "downsample.1");
            }
            int depth = count(stage + "blocks.");
            for (int j = 0; j < depth; j++) {
                String from = stage + "blocks." + j + ".", block = to + "layers." + j + ".";
                layer(block + "dwconv", from + "conv_dw");
                layer(block + "layernorm", from + "norm");
                pointwise(block + "pwconv1", from + "mlp.fc1");
                pointwise(block + "pwconv2", from + "mlp.fc2");
                if (has(from + "gamma")) {
                    scaled = true;
                    move(block + "layer_scale_parameter", from + "gamma");
                }
                if (v2) {
                    for (String field : new String[] {"weight", "bias"}) {
                        long n = size(from + "mlp.grn." + field, 0);
                        renamed.put(
                                block + "grn." + field, from + "mlp.grn." + field, java.util.List.of(1L, 1L, 1L, n));
                        left.remove(from + "mlp.grn." + field);
                    }
                }
            }
            widths.add(size(stage + "blocks.0.conv_dw.weight", 0));
            depths.add(depth);
        }
        layer(base + ".layernorm", "head.norm");
        boolean classifies = has("head.fc.weight");
        if (classifies) {
            layer("classifier", "head.fc");
        }
        String name = v2 ? "ConvNextV2" : "ConvNext";
        c.putArray("architectures").add(classifies ? name + "ForImageClassification" : name + "Model");
        c.put("num_stages", stages);
        c.put("patch_size", patch);
        c.put("layer_norm_eps", 1e-6);
        c.put("hidden_act", "gelu");
        if (!v2) {
            c.put("layer_scale_init_value", scaled ? 1e-6 : 0);
        }
    }

    /** A Linear, which some variants store as a 1x1 convolution. */
    private void pointwise(String name, String original) {
        renamed.put(
                name + ".weight",
                original + ".weight",
                source.info(original + ".weight").shape().subList(0, 2));
        left.remove(original + ".weight");
        move(name + ".bias", original + ".bias");
    }
}
