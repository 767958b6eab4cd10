package dev.headstart.train.vision;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.FileSelection;
import dev.headstart.hub.Hub;
import dev.headstart.models.ConfigJson;
import dev.headstart.vision.ImageProcessor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Image classifiers to train from nothing: by a name, or as somebody's config.json states them. */
final class ImageModels {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final double[] MEAN = {0.485, 0.456, 0.406};
    private static final double[] STD = {0.229, 0.224, 0.225};

    private ImageModels() {}

    /** A configuration and the processor that goes with it. */
    record Start(ConfigJson config, ImageProcessor processor) {}

    /** The names there are. */
    static final List<String> NAMES =
            List.of("resnet20", "resnet14-wide", "resnet18", "resnet34", "resnet50", "vit-tiny");

    /**
     * By name: {@code resnet20} (16, 32, 64 channels) and {@code resnet14-wide} (48, 96, 176) for small images, which are enlarged to 64 x 64 so that
     * the stem of the ImageNet models, which halves twice, leaves 16 x 16 places; resnet18, 34 and 50 (He et al. 2016), vit-tiny (Touvron et al. 2021)
     * for 224 x 224. Or the folder or id of a model: of its files config.json and preprocessor_config.json are read.
     *
     * @throws HeadstartException naming what is known
     */
    static Start of(String name, boolean offline) {
        return switch (name) {
            case "resnet20" -> new Start(resnet("basic", 16, List.of(16, 32, 64), List.of(3, 3, 3), name), small(64));
            case "resnet14-wide" ->
                new Start(resnet("basic", 48, List.of(48, 96, 176), List.of(2, 2, 2), name), small(64));
            case "resnet18" ->
                new Start(resnet("basic", 64, List.of(64, 128, 256, 512), List.of(2, 2, 2, 2), name), large());
            case "resnet34" ->
                new Start(resnet("basic", 64, List.of(64, 128, 256, 512), List.of(3, 4, 6, 3), name), large());
            case "resnet50" ->
                new Start(resnet("bottleneck", 64, List.of(256, 512, 1024, 2048), List.of(3, 4, 6, 3), name), large());
            case "vit-tiny" -> new Start(vit(name), ofSize("ViTImageProcessor", 224));
            default -> like(name, offline);
        };
    }

    private static Start like(String id, boolean offline) {
        if (id.indexOf('/') < 0 && !Files.isDirectory(Path.of(id))) {
            throw new HeadstartException("--config " + id + " is neither a known model (" + String.join(", ", NAMES)
                    + ") nor a folder with config.json and preprocessor_config.json");
        }
        LoadOptions load = LoadOptions.defaults().withOffline(offline ? Boolean.TRUE : null);
        Path folder = Hub.standard().resolve(id, FileSelection.NO_WEIGHTS, load).path();
        ConfigJson config = ConfigJson.read(folder.resolve("config.json"));
        config.node().remove("quantization_config");
        return new Start(config, ImageProcessor.fromFolder(folder));
    }

    private static ConfigJson resnet(
            String type, int embedding, List<Integer> sizes, List<Integer> depths, String name) {
        ObjectNode c = JSON.createObjectNode();
        c.put("model_type", "resnet").put("num_channels", 3).put("embedding_size", embedding);
        c.set("hidden_sizes", JSON.valueToTree(sizes));
        c.set("depths", JSON.valueToTree(depths));
        c.put("layer_type", type).put("hidden_act", "relu").put("downsample_in_first_stage", false);
        return new ConfigJson(c, "--config " + name);
    }

    private static ConfigJson vit(String name) {
        ObjectNode c = JSON.createObjectNode();
        c.put("model_type", "vit").put("hidden_size", 192).put("num_hidden_layers", 12);
        c.put("num_attention_heads", 3).put("intermediate_size", 768);
        c.put("image_size", 224).put("patch_size", 16);
        return new ConfigJson(c, "--config " + name);
    }

    private static ImageProcessor small(int side) {
        return ofSize("ViTImageProcessor", side);
    }

    private static ImageProcessor ofSize(String type, int side) {
        ObjectNode p = processor(type, 2);
        p.putObject("size").put("height", side).put("width", side);
        return ImageProcessor.of(p);
    }

    private static ImageProcessor large() {
        ObjectNode p = processor("ConvNextImageProcessor", 3);
        p.put("crop_pct", 0.875).putObject("size").put("shortest_edge", 224);
        return ImageProcessor.of(p);
    }

    private static ObjectNode processor(String type, int resample) {
        ObjectNode p = JSON.createObjectNode();
        p.put("image_processor_type", type).put("do_resize", true).put("resample", resample);
        p.put("do_rescale", true).put("rescale_factor", 1.0 / 255).put("do_normalize", true);
        p.set("image_mean", JSON.valueToTree(MEAN));
        p.set("image_std", JSON.valueToTree(STD));
        return p;
    }
}
