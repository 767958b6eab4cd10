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
    static TensorSource adapt(TensorSource checkpoint, ConfigJson config) {
        labels(config);
        TensorSource source = bare(checkpoint);
        if (TorchResNetNames.fits(source)) {
            pooling(config, "avg");
            config.node().put("flat_pooler", true);
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

    /** Without the prefix that transformers' wrapper of timm puts before the names. */
    private static TensorSource bare(TensorSource source) {
        String prefix = "timm_model.";
        if (source.names().stream().noneMatch(startsWith(prefix))) {
            return source;
        }
        RenamedSource plain = new RenamedSource(source);
        source.names().forEach(n -> plain.put(n.startsWith(prefix) ? n.substring(prefix.length()) : n, n));
        return plain;
    }

    /** What config.json says about global_pool, which must be one of those given; the first of them when it says nothing. */
    private static String pooling(ConfigJson config, String... known) {
        String asked =
                config.node().path("model_args").path("global_pool").asText(config.text("global_pool", known[0]));
        for (String k : known) {
            if (k.equals(asked)) {
                return k;
            }
        }
        throw new HeadstartException(config.origin() + ": global_pool " + asked + " is not known for timm architecture "
                + config.text("architecture", "?") + "; known are " + String.join(", ", known));
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
        boolean distilled = has("dist_token"), classToken = has("cls_token");
        String base = distilled ? "deit" : "vit";
        long d = size("patch_embed.proj.weight", 0);
        int depth = count("blocks."), registers = has("reg_token") ? (int) size("reg_token", 1) : 0;
        int special = (classToken ? 1 : 0) + (distilled ? 1 : 0) + registers;
        boolean bias = has("blocks.0.attn.qkv.bias"),
                preNorm = has("norm_pre.weight"),
                poolNorm = has("fc_norm.weight");
        long inner = size("blocks.0.mlp.fc2.weight", 1);
        String e = base + ".embeddings.";
        if (classToken) {
            move(e + "cls_token", "cls_token");
        }
        if (distilled) {
            move(e + "distillation_token", "dist_token");
        }
        if (registers > 0) {
            move(e + "register_tokens", "reg_token");
        }
        move(e + "position_embeddings", "pos_embed");
        layer(e + "patch_embeddings.projection", "patch_embed.proj");
        if (preNorm) {
            layer(base + ".pre_layernorm", "norm_pre");
        }
        for (int i = 0; i < depth; i++) {
            block(base + ".encoder.layer." + i + ".", "blocks." + i + ".", d, bias);
        }
        layer(base + ".layernorm", poolNorm ? "fc_norm" : "norm");
        ObjectNode c = config.node();
        String architecture = distilled ? "DeiTModel" : "ViTModel";
        if (has("pre_logits.fc.weight")) {
            layer("pre_logits.fc", "pre_logits.fc");
            c.put("representation_size", size("pre_logits.fc.weight", 0));
        }
        if (has("head.weight") && has("head_dist.weight")) {
            layer("cls_classifier", "head");
            layer("distillation_classifier", "head_dist");
            architecture = "DeiTForImageClassificationWithTeacher";
        } else if (has("head.weight")) {
            layer("classifier", "head");
            architecture = distilled ? "DeiTForImageClassification" : "ViTForImageClassification";
        }
        c.put("model_type", base);
        c.putArray("architectures").add(architecture);
        c.put("hidden_size", d);
        c.put("num_hidden_layers", depth);
        c.put("num_attention_heads", heads(d));
        c.put("intermediate_size", inner);
        c.put("num_channels", size("patch_embed.proj.weight", 1));
        c.put("layer_norm_eps", preNorm ? 1e-5 : 1e-6);
        c.put("qkv_bias", bias);
        c.put("hidden_act", activation());
        c.put("class_token", classToken);
        c.put("num_register_tokens", registers);
        c.put("patch_bias", has("patch_embed.proj.bias"));
        c.put("pre_norm", preNorm);
        c.put("layer_scale", has("blocks.0.ls1.gamma"));
        c.put("swiglu", size("blocks.0.mlp.fc1.weight", 0) == 2 * inner);
        c.put(
                "global_pool",
                distilled
                        ? "distilled"
                        : poolNorm || !classToken ? pooling(config, "avg") : pooling(config, "token", "avg"));
        c.put("fc_norm", poolNorm);
        places(special);
    }

    private void block(String to, String from, long d, boolean bias) {
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
        for (int k = 1; k <= 2; k++) {
            if (has(from + "ls" + k + ".gamma")) {
                move(to + "layer_scale" + k + ".lambda1", from + "ls" + k + ".gamma");
            }
        }
    }

    /** No tensor tells the number of heads: model_args, else what timm's architectures of this width have. */
    private long heads(long d) {
        JsonNode heads = argument("num_heads");
        return heads.isNumber()
                ? heads.asLong()
                : d == 1152 || d == 1280 || d == 1408 || d == 1664 ? 16 : Math.max(1, d / 64);
    }

    private String activation() {
        String asked = argument("act_layer").asText("");
        return config.text("architecture", "").contains("quickgelu") || asked.equals("quick_gelu")
                ? "quick_gelu"
                : "gelu";
    }

    /** The image's size and whether the special tokens have positions, so that the number of positions comes out. */
    private void places(int special) {
        long ph = size("patch_embed.proj.weight", 2),
                pw = size("patch_embed.proj.weight", 3),
                all = size("pos_embed", 1);
        ObjectNode c = config.node();
        c.putArray("patch_size").add(ph).add(pw);
        for (JsonNode stated : new JsonNode[] {
            argument("img_size"), c.path("pretrained_cfg").path("input_size"), argument("input_size")
        }) {
            int n = stated.size();
            long h = n >= 2 ? stated.get(n - 2).asLong() : stated.asLong(),
                    w = n >= 2 ? stated.get(n - 1).asLong() : h;
            long patches = h / ph * (w / pw);
            if (patches > 0 && (patches == all || patches + special == all)) {
                c.putArray("image_size").add(h).add(w);
                c.put("embed_class", patches != all);
                return;
            }
        }
        for (int among : new int[] {special, 0}) {
            long side = Math.round(Math.sqrt((double) all - among));
            if (side * side == all - among) {
                c.putArray("image_size").add(side * ph).add(side * pw);
                c.put("embed_class", among > 0);
                return;
            }
        }
        throw new HeadstartException(config.origin() + ": pos_embed has " + all
                + " positions, which fit neither a square image nor pretrained_cfg's input_size; correct input_size");
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
        boolean normFirst = has("norm_pre.weight");
        layer(base + ".layernorm", normFirst ? "norm_pre" : "head.norm");
        c.put("norm_first", normFirst);
        if (has("head.pre_logits.fc.weight")) {
            layer("pre_logits.fc", "head.pre_logits.fc");
            c.put("representation_size", size("head.pre_logits.fc.weight", 0));
        }
        boolean classifies = has("head.fc.weight");
        if (classifies) {
            layer("classifier", "head.fc");
        }
        pooling(config, "avg");
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
