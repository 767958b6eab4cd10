package dev.headstart.vision;

import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * Turns images into {@code pixel_values} as the checkpoint's own preprocessing states it: resize, centre crop, rescale, normalise, pad
 * (transformers' image processors with their torchvision backend, timm's evaluation transform). Immutable and thread-safe.
 *
 * <p>The settings come from {@code preprocessor_config.json} (or {@code processor_config.json}); of checkpoints in timm's layout from
 * {@code pretrained_cfg} in {@code config.json}. Fields that are missing or null have the default of the processor's class.
 */
public final class ImageProcessor {
    private static final ObjectMapper JSON = new ObjectMapper();

    private static final float[] HALF = {0.5f, 0.5f, 0.5f};
    private static final float[] IMAGENET_MEAN = {0.485f, 0.456f, 0.406f};
    private static final float[] IMAGENET_STD = {0.229f, 0.224f, 0.225f};
    private static final float[] CLIP_MEAN = {0.48145466f, 0.4578275f, 0.40821073f};
    private static final float[] CLIP_STD = {0.26862954f, 0.26130258f, 0.27577711f};

    /** How a processor's geometry differs from resize, then centre crop. */
    private enum Kind {
        PLAIN,
        /** Below 384 pixels: shortest edge / crop_pct, then crop; from 384 on: squash. */
        CONVNEXT,
        /** Never crops. */
        SEGFORMER,
        /** Never crops, pads with a mask. */
        DETR,
        /** The same with sides that are multiples of 16. */
        YOLOS,
        /** May shift samples by -1 after rescaling, and divide by the deviation once more. */
        EFFICIENTNET,
        TIMM
    }

    /** Both sides in pixels. */
    private record Sides(int height, int width) {}

    /** Defaults of one processor class. */
    private record Defaults(
            Kind kind,
            boolean square,
            Size size,
            @Nullable Sides crop,
            boolean crops,
            Resample resample,
            float[] mean,
            float[] std,
            boolean normalize,
            boolean pad) {
        static Defaults of(Size size, @Nullable Sides crop, Resample resample, float[] mean, float[] std) {
            return new Defaults(
                    Kind.PLAIN,
                    size.shortestEdge() == null,
                    size,
                    crop,
                    crop != null,
                    resample,
                    mean,
                    std,
                    true,
                    false);
        }

        static Defaults detr(Kind kind) {
            return new Defaults(
                    kind,
                    false,
                    Size.shortest(800, 1333),
                    null,
                    false,
                    Resample.BILINEAR,
                    IMAGENET_MEAN,
                    IMAGENET_STD,
                    true,
                    true);
        }
    }

    /** By the class name without ImageProcessor, FeatureExtractor, Fast, Pil. */
    private static final Map<String, Defaults> CLASSES = Map.ofEntries(
            Map.entry("ViT", Defaults.of(Size.of(224, 224), null, Resample.BILINEAR, HALF, HALF)),
            Map.entry("DeiT", Defaults.of(Size.of(256, 256), new Sides(224, 224), Resample.BICUBIC, HALF, HALF)),
            Map.entry(
                    "CLIP",
                    Defaults.of(Size.shortest(224, null), new Sides(224, 224), Resample.BICUBIC, CLIP_MEAN, CLIP_STD)),
            Map.entry(
                    "Bit",
                    Defaults.of(Size.shortest(224, null), new Sides(224, 224), Resample.BICUBIC, CLIP_MEAN, CLIP_STD)),
            Map.entry(
                    "MobileNetV1",
                    Defaults.of(Size.shortest(256, null), new Sides(224, 224), Resample.BILINEAR, HALF, HALF)),
            Map.entry(
                    "MobileNetV2",
                    Defaults.of(Size.shortest(256, null), new Sides(224, 224), Resample.BILINEAR, HALF, HALF)),
            Map.entry(
                    "EfficientNet",
                    new Defaults(
                            Kind.EFFICIENTNET,
                            true,
                            Size.of(346, 346),
                            new Sides(289, 289),
                            false,
                            Resample.BICUBIC,
                            HALF,
                            HALF,
                            true,
                            false)),
            Map.entry(
                    "Siglip",
                    new Defaults(
                            Kind.PLAIN,
                            false,
                            Size.of(224, 224),
                            null,
                            false,
                            Resample.BICUBIC,
                            HALF,
                            HALF,
                            true,
                            false)),
            Map.entry("Blip", Defaults.of(Size.of(384, 384), null, Resample.BICUBIC, CLIP_MEAN, CLIP_STD)),
            Map.entry("Pvt", Defaults.of(Size.of(224, 224), null, Resample.BICUBIC, IMAGENET_MEAN, IMAGENET_STD)),
            Map.entry(
                    "Beit",
                    new Defaults(
                            Kind.PLAIN,
                            true,
                            Size.of(224, 224),
                            new Sides(224, 224),
                            false,
                            Resample.BICUBIC,
                            HALF,
                            HALF,
                            true,
                            false)),
            Map.entry(
                    "Segformer",
                    new Defaults(
                            Kind.SEGFORMER,
                            true,
                            Size.of(512, 512),
                            null,
                            false,
                            Resample.BILINEAR,
                            IMAGENET_MEAN,
                            IMAGENET_STD,
                            true,
                            false)),
            Map.entry(
                    "ConvNext",
                    new Defaults(
                            Kind.CONVNEXT,
                            false,
                            Size.shortest(384, null),
                            null,
                            false,
                            Resample.BICUBIC,
                            HALF,
                            HALF,
                            true,
                            false)),
            Map.entry("Detr", Defaults.detr(Kind.DETR)),
            Map.entry("ConditionalDetr", Defaults.detr(Kind.DETR)),
            Map.entry("DeformableDetr", Defaults.detr(Kind.DETR)),
            Map.entry("Yolos", Defaults.detr(Kind.YOLOS)),
            Map.entry(
                    "RTDetr",
                    new Defaults(
                            Kind.DETR,
                            false,
                            Size.of(640, 640),
                            null,
                            false,
                            Resample.BILINEAR,
                            IMAGENET_MEAN,
                            IMAGENET_STD,
                            false,
                            false)));

    /** The processor of a model type whose configuration names none (transformers' automatic mapping). */
    private static final Map<String, String> BY_MODEL_TYPE = Map.ofEntries(
            Map.entry("vit", "ViT"),
            Map.entry("deit", "DeiT"),
            Map.entry("clip", "CLIP"),
            Map.entry("dinov2", "Bit"),
            Map.entry("dinov2_with_registers", "Bit"),
            Map.entry("resnet", "ConvNext"),
            Map.entry("convnext", "ConvNext"),
            Map.entry("convnextv2", "ConvNext"),
            Map.entry("swin", "ViT"),
            Map.entry("swinv2", "ViT"),
            Map.entry("mobilenet_v2", "MobileNetV2"),
            Map.entry("segformer", "Segformer"),
            Map.entry("detr", "Detr"),
            Map.entry("yolos", "Yolos"),
            Map.entry("rt_detr", "RTDetr"),
            Map.entry("beit", "Beit"),
            Map.entry("efficientnet", "EfficientNet"),
            Map.entry("regnet", "ConvNext"),
            Map.entry("mobilenet_v1", "MobileNetV1"),
            Map.entry("siglip", "Siglip"));

    /** Classes that put what is transparent onto white before anything else. */
    private static final Set<String> CONVERTING = Set.of("CLIP", "Bit", "Siglip", "Blip");

    private final String where;
    private final ObjectNode settings;
    private final Kind kind;
    private final @Nullable Size size;
    private final @Nullable Sides crop;
    private final Resample resample;
    private final double cropPct;
    private final String cropMode;
    private final boolean pad;
    private final boolean onWhite;
    private final @Nullable Sides padSize;
    /** What lies around an image that is smaller than the crop: red, green, blue. */
    private final int[] border;
    /** What each of the 256 sample values becomes, by channel. */
    private final float[][] table;

    private ImageProcessor(ObjectNode json, String type, String where) {
        this.where = where;
        this.settings = json;
        String name = type.replaceFirst("(Fast|Pil)$", "").replaceFirst("(ImageProcessor|FeatureExtractor)$", "");
        Defaults d = CLASSES.get(name);
        if (d == null) {
            throw new HeadstartException(where + ": image_processor_type " + type + " is unknown; known are "
                    + String.join(
                            ", ",
                            CLASSES.keySet().stream()
                                    .sorted()
                                    .map(k -> k + "ImageProcessor")
                                    .toList()) + ", and timm's pretrained_cfg");
        }
        kind = d.kind;
        size = flag("do_resize", true) ? size(d) : null;
        boolean crops = kind != Kind.SEGFORMER && kind != Kind.DETR && kind != Kind.YOLOS;
        crop = crops && flag("do_center_crop", d.crops) ? cropSize(d) : null;
        resample = has("resample") ? resample(json.get("resample")) : d.resample;
        cropPct = has("crop_pct") ? number("crop_pct") : 224.0 / 256;
        cropMode = "center";
        onWhite = flag("do_convert_rgb", CONVERTING.contains(name));
        border = new int[3];
        pad = has("do_pad") ? flag("do_pad", d.pad) : flag("pad_and_return_pixel_mask", d.pad);
        padSize = has("pad_size") ? sides("pad_size") : null;
        table = table(
                flag("do_rescale", true) ? has("rescale_factor") ? number("rescale_factor") : 1.0 / 255 : null,
                flag("do_normalize", d.normalize) ? channels("image_mean", d.mean) : null,
                channels("image_std", d.std));
        if (kind == Kind.EFFICIENTNET) {
            adjust(flag("rescale_offset", false) && flag("do_rescale", true), flag("include_top", true), d);
        }
    }

    /** EfficientNet's two additions to {@link #table}. */
    private void adjust(boolean offset, boolean again, Defaults d) {
        float[] std = channels("image_std", d.std);
        boolean normalize = flag("do_normalize", d.normalize);
        for (int c = 0; c < 3; c++) {
            for (int v = 0; v < 256; v++) {
                float x = table[c][v] - (offset ? normalize ? 1 / std[c] : 1 : 0);
                table[c][v] = again ? x / std[c] : x;
            }
        }
    }

    /** timm's evaluation transform of one {@code pretrained_cfg} (timm.data.resolve_data_config and create_transform). */
    private ImageProcessor(ObjectNode cfg, String where) {
        this.where = where;
        this.settings = cfg;
        kind = Kind.TIMM;
        JsonNode input = cfg.path("input_size");
        if (!input.isMissingNode() && (input.size() != 3 || input.get(0).asInt() != 3)) {
            throw new HeadstartException(where + ": input_size must be [3, height, width], found " + input);
        }
        crop = input.isMissingNode()
                ? new Sides(224, 224)
                : new Sides(input.get(1).asInt(), input.get(2).asInt());
        size = null;
        resample = Resample.of(cfg.path("interpolation").asText("bicubic"), where + ": interpolation");
        cropPct = cfg.path("crop_pct").asDouble(0.875);
        cropMode = cfg.path("crop_mode").asText("center");
        pad = false;
        onWhite = false;
        padSize = null;
        float[] mean = channels("mean", IMAGENET_MEAN);
        border = new int[3];
        for (int c = 0; c < 3 && cropMode.equals("border"); c++) {
            border[c] = (int) Math.rint(255 * (double) mean[c]);
        }
        table = table(1.0 / 255, channels("mean", IMAGENET_MEAN), channels("std", IMAGENET_STD));
    }

    /**
     * The processor of a checkpoint.
     *
     * @param folder with preprocessor_config.json, processor_config.json, or timm's config.json
     * @throws HeadstartException when there is none of them, it is no JSON, names an unknown processor or states impossible values
     */
    public static ImageProcessor fromFolder(Path folder) {
        if (Files.isRegularFile(folder)) { // a weight file: what lies beside it
            return fromFolder(folder.resolveSibling("."));
        }
        Path combined = folder.resolve("processor_config.json"),
                own = folder.resolve("preprocessor_config.json"),
                config = folder.resolve("config.json");
        ObjectNode model = Files.exists(config) ? json(config) : null;
        if (Files.exists(combined) && json(combined).get("image_processor") instanceof ObjectNode nested) {
            return new ImageProcessor(nested, type(nested, model, combined), combined + ": image_processor");
        }
        if (Files.exists(own)) {
            ObjectNode json = json(own);
            return new ImageProcessor(json, type(json, model, own), own.toString());
        }
        if (model != null && model.get("pretrained_cfg") instanceof ObjectNode cfg) {
            return new ImageProcessor(cfg, config + ": pretrained_cfg");
        }
        if (model != null
                && !model.has("model_type")
                && model.has("input_size")
                && model.has("mean")) { // timm's first layout
            return new ImageProcessor(model, config.toString());
        }
        throw new HeadstartException(folder
                + ": no preprocessor_config.json and no pretrained_cfg in config.json, so how images are prepared is unknown; "
                + "copy preprocessor_config.json from where the model comes from");
    }

    /**
     * A processor from settings in memory.
     *
     * @param json what preprocessor_config.json would hold, with {@code image_processor_type}
     */
    public static ImageProcessor of(ObjectNode json) {
        return new ImageProcessor(json.deepCopy(), type(json, null, Path.of("settings")), "image processor settings");
    }

    /** Writes {@code preprocessor_config.json}; of timm's checkpoints nothing, as their config.json holds the settings. */
    public void savePretrained(Path folder) {
        if (kind != Kind.TIMM) {
            try {
                Files.createDirectories(folder);
                Files.writeString(
                        folder.resolve("preprocessor_config.json"),
                        JSON.writerWithDefaultPrettyPrinter().writeValueAsString(settings) + "\n");
            } catch (IOException e) {
                throw new HeadstartException(
                        folder + ": preprocessor_config.json cannot be written (" + e.getMessage() + ")", e);
            }
        }
    }

    /** Whether images of any size become images of one size, so that they can be batched without padding. */
    public boolean sizesAreEqual() {
        return crop != null
                || size != null && (size.height() != null || kind == Kind.CONVNEXT && size.shortestEdge() != null);
    }

    /**
     * A part of an image in the size that this processor's results have: cut out and resized at once, bilinear with antialiasing (torchvision
     * {@code resized_crop}). Only where {@link #sizesAreEqual}. For {@link #batch}.
     */
    public Image resizedCrop(Image image, int left, int top, int width, int height) {
        Sides to = crop != null ? crop : equalSides();
        Image part = (onWhite ? image.onWhite() : image).crop(left, top, width, height);
        return part.resize(to.width, to.height, Resample.BILINEAR);
    }

    private Sides equalSides() {
        Size all = requireNonNull(size);
        Integer edge = all.shortestEdge();
        if (kind == Kind.CONVNEXT && edge != null) {
            return new Sides(edge, edge);
        }
        int[] to = all.apply(1, 1, kind == Kind.YOLOS ? 16 : 1, where);
        return new Sides(to[0], to[1]);
    }

    /**
     * Rescales and normalises images that have the size of the results already.
     *
     * @param images at least one, all of one size
     * @param channelsLast as of {@link #preprocess(List, boolean)}
     */
    public ImageBatch batch(List<Image> images, boolean channelsLast) {
        Image first = images.get(0);
        for (Image image : images) {
            if (image.width() != first.width() || image.height() != first.height()) {
                throw new HeadstartException(image.source() + ": has " + image.width() + " x " + image.height()
                        + " pixels, the batch's first image " + first.width() + " x " + first.height()
                        + "; give images of one size");
            }
        }
        return fill(images.toArray(Image[]::new), first.height(), first.width(), false, channelsLast);
    }

    /**
     * Prepares a batch; the images are worked on in parallel.
     *
     * @param images at least one
     * @return {@code pixel_values}, float32 [B, 3, H, W], and {@code pixel_mask} where the processor pads with one
     * @throws HeadstartException when the results differ in size and the processor does not pad
     */
    public ImageBatch preprocess(List<Image> images) {
        return preprocess(images, false);
    }

    /**
     * As {@link #preprocess(List)}.
     *
     * @param channelsLast whether the samples of {@code pixel_values} lie in the order of torch's channels_last, which convolutions like; the
     *     shape is the same
     */
    public ImageBatch preprocess(List<Image> images, boolean channelsLast) {
        if (images.isEmpty()) {
            throw new HeadstartException("preprocess: expected at least one image, found none");
        }
        Image[] ready = new Image[images.size()];
        IntStream.range(0, ready.length).parallel().forEach(i -> ready[i] = geometry(images.get(i)));
        int height = ready[0].height(), width = ready[0].width();
        boolean masked = pad && (kind == Kind.DETR || kind == Kind.YOLOS);
        for (Image r : ready) {
            if (!pad && (r.height() != height || r.width() != width)) {
                throw new HeadstartException(r.source() + ": becomes " + r.width() + " x " + r.height()
                        + " pixels, the batch's first image " + width + " x " + height + ", and " + where
                        + " neither crops nor pads; give images of one size, or one at a time");
            }
            height = Math.max(height, r.height());
            width = Math.max(width, r.width());
        }
        if (pad && padSize != null) {
            if (padSize.height < height || padSize.width < width) {
                throw new HeadstartException(where + ": pad_size " + padSize.width() + " x " + padSize.height()
                        + " is smaller than a resized image of " + width + " x " + height);
            }
            height = padSize.height;
            width = padSize.width;
        }
        return fill(ready, height, width, masked, channelsLast);
    }

    private ImageBatch fill(Image[] ready, int height, int width, boolean masked, boolean channelsLast) {
        try (PointerScope scope = new PointerScope()) {
            int plane = Math.multiplyExact(height, width);
            Tensor stored = channelsLast
                    ? torch.empty(ready.length, height, width, 3) // [B, H, W, 3]
                    : torch.empty(ready.length, 3, height, width); // [B, 3, H, W]
            Tensor values = channelsLast ? stored.permute(0, 3, 1, 2) : stored; // [B, 3, H, W]
            FloatPointer data = new FloatPointer(stored.data_ptr_float());
            int h = height, w = width;
            IntStream.range(0, ready.length).parallel().forEach(i -> {
                float[] planes = channelsLast ? rows(ready[i], h, w) : planes(ready[i], h, w);
                try (FloatPointer at = new FloatPointer(data).position(3L * plane * i)) {
                    at.put(planes, 0, planes.length);
                }
            });
            Tensor mask = null;
            if (masked) {
                mask = torch.zeros(ready.length, height, width).to(torch.ScalarType.Long); // [B, H, W]
                LongPointer ones = new LongPointer(mask.data_ptr_long());
                for (int i = 0; i < ready.length; i++) {
                    long[] row = new long[ready[i].width()];
                    Arrays.fill(row, 1);
                    for (int y = 0; y < ready[i].height(); y++) {
                        ones.position((long) plane * i + (long) y * width).put(row, 0, row.length);
                    }
                }
                mask.retainReference();
            }
            values.retainReference();
            return new ImageBatch(values, mask);
        }
    }

    /** The samples of one image, channel after channel, zero where it is padded. */
    private float[] planes(Image image, int height, int width) {
        float[] result = new float[3 * height * width];
        byte[] rgb = image.rgb();
        for (int c = 0; c < 3; c++) {
            float[] values = table[c];
            for (int y = 0, i = c; y < image.height(); y++) {
                int o = (c * height + y) * width;
                for (int end = o + image.width(); o < end; o++, i += 3) {
                    result[o] = values[rgb[i] & 255];
                }
            }
        }
        return result;
    }

    /** The samples of one image in reading order, zero where it is padded. */
    private float[] rows(Image image, int height, int width) {
        float[] result = new float[3 * height * width], red = table[0], green = table[1], blue = table[2];
        byte[] rgb = image.rgb();
        for (int y = 0, i = 0; y < image.height(); y++) {
            int o = 3 * y * width;
            for (int end = o + 3 * image.width(); o < end; o += 3, i += 3) {
                result[o] = red[rgb[i] & 255];
                result[o + 1] = green[rgb[i + 1] & 255];
                result[o + 2] = blue[rgb[i + 2] & 255];
            }
        }
        return result;
    }

    /** Resize and crop. */
    private Image geometry(Image given) {
        Image image = onWhite ? given.onWhite() : given;
        int h = image.height(), w = image.width();
        if (kind == Kind.TIMM) {
            return timm(image);
        }
        int[] to = size == null
                ? new int[] {h, w}
                : kind == Kind.CONVNEXT && size.shortestEdge() != null
                        ? null
                        : size.apply(h, w, kind == Kind.YOLOS ? 16 : 1, where);
        if (to == null) {
            int edge = requireNonNull(requireNonNull(size).shortestEdge());
            if (edge >= 384) {
                to = new int[] {edge, edge};
            } else {
                Image cropped = window(image, Size.keepRatio(h, w, (int) (edge / cropPct)), edge, edge, false);
                return crop == null ? cropped : center(cropped, crop);
            }
        }
        if (crop == null) {
            return resample.resize(image, to[1], to[0], 0, 0, to[1], to[0], coarse());
        }
        return window(image, to, crop.height, crop.width, false);
    }

    private Image center(Image image, Sides crop) {
        return window(image, new int[] {image.height(), image.width()}, crop.height, crop.width, false);
    }

    private Image timm(Image image) {
        int cropHeight = requireNonNull(crop).height, cropWidth = crop.width;
        int scaledHeight = (int) Math.floor(cropHeight / cropPct), scaledWidth = (int) Math.floor(cropWidth / cropPct);
        double rh = (double) image.height() / scaledHeight, rw = (double) image.width() / scaledWidth;
        int[] to = switch (cropMode) {
            case "squash" -> new int[] {scaledHeight, scaledWidth};
            case "border" -> ratio(image, Math.max(rh, rw));
            default ->
                scaledHeight == scaledWidth
                        ? Size.keepRatio(image.height(), image.width(), scaledHeight)
                        : ratio(image, Math.min(rh, rw));
        };
        return window(image, to, cropHeight, cropWidth, true);
    }

    private static int[] ratio(Image image, double by) {
        return new int[] {(int) Math.rint(image.height() / by), (int) Math.rint(image.width() / by)};
    }

    /**
     * Resizes and takes the centre, computing no more than that; the border's colour where the resized image is smaller.
     *
     * @param to {height, width} of the resized image
     * @param halfEven whether half pixels are rounded to even (torchvision on Pillow images) or down (transformers)
     */
    private Image window(Image image, int[] to, int height, int width, boolean halfEven) {
        int top = offset(to[0], height, halfEven), left = offset(to[1], width, halfEven);
        int y0 = Math.max(0, top),
                x0 = Math.max(0, left),
                y1 = Math.min(to[0], top + height),
                x1 = Math.min(to[1], left + width);
        Image part = resample.resize(image, to[1], to[0], x0, y0, x1 - x0, y1 - y0, coarse());
        Image result = part.crop(left - x0, top - y0, width, height);
        return (border[0] | border[1] | border[2]) == 0 ? result : framed(result, y0 - top, x0 - left, part);
    }

    /** @param part what lies at row {@code y} and column {@code x}; all else gets the border's colour */
    private Image framed(Image image, int y, int x, Image part) {
        byte[] rgb = image.rgb();
        for (int row = 0, i = 0; row < image.height(); row++) {
            boolean beside = row < y || row >= y + part.height();
            for (int column = 0; column < image.width(); column++, i += 3) {
                if (beside || column < x || column >= x + part.width()) {
                    rgb[i] = (byte) border[0];
                    rgb[i + 1] = (byte) border[1];
                    rgb[i + 2] = (byte) border[2];
                }
            }
        }
        return image;
    }

    /** timm resizes with Pillow, transformers' processors with torch, which has two of the filters. */
    private boolean coarse() {
        return kind != Kind.TIMM && (resample == Resample.BILINEAR || resample == Resample.BICUBIC);
    }

    private static int offset(int side, int crop, boolean halfEven) {
        return crop > side ? -((crop - side) / 2) : halfEven ? (int) Math.rint((side - crop) / 2.0) : (side - crop) / 2;
    }

    // === settings ===

    private static ObjectNode json(Path file) {
        try {
            if (JSON.readTree(Files.readAllBytes(file)) instanceof ObjectNode object) {
                return object;
            }
            throw new HeadstartException(file + ": expected a JSON object");
        } catch (JsonProcessingException e) {
            throw new HeadstartException(
                    file + ": is no JSON (" + e.getOriginalMessage() + "); fetch the file again", e);
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be read (" + e.getMessage() + ")", e);
        }
    }

    private static String type(ObjectNode json, @Nullable ObjectNode model, Path file) {
        for (String field : new String[] {"image_processor_type", "feature_extractor_type"}) {
            if (json.path(field).isTextual()) {
                return json.path(field).asText();
            }
        }
        String modelType = model == null ? "" : model.path("model_type").asText("");
        String name = BY_MODEL_TYPE.get(modelType);
        if (name == null) {
            throw new HeadstartException(file + ": names no image_processor_type, and model_type "
                    + (modelType.isEmpty() ? "is unknown" : modelType + " implies none")
                    + "; add image_processor_type");
        }
        return name + "ImageProcessor";
    }

    private boolean has(String field) {
        return settings.hasNonNull(field);
    }

    private boolean flag(String field, boolean otherwise) {
        return has(field) ? settings.get(field).asBoolean(otherwise) : otherwise;
    }

    private double number(String field) {
        JsonNode node = settings.get(field);
        if (!node.isNumber() || !(node.asDouble() > 0)) {
            throw new HeadstartException(where + ": " + field + " must be a number above 0, found " + node);
        }
        return node.asDouble();
    }

    private Size size(Defaults d) {
        if (!has("size")) {
            return d.size;
        }
        boolean detr = kind == Kind.DETR || kind == Kind.YOLOS;
        Integer longest = detr && !d.square ? has("max_size") ? (int) number("max_size") : Integer.valueOf(1333) : null;
        return Size.read(settings.get("size"), flag("default_to_square", d.square), longest, where + ": size");
    }

    private Sides cropSize(Defaults d) {
        if (has("crop_size")) {
            return sides("crop_size");
        }
        if (d.crop != null) {
            return d.crop;
        }
        throw new HeadstartException(where + ": do_center_crop is true, but crop_size is missing; add it");
    }

    private Sides sides(String field) {
        Size s = Size.read(settings.get(field), true, null, where + ": " + field);
        if (s.height() == null || s.width() == null) {
            throw new HeadstartException(
                    where + ": " + field + " must state height and width, found " + settings.get(field));
        }
        return new Sides(s.height(), s.width());
    }

    private Resample resample(JsonNode node) {
        return node.isTextual() ? Resample.of(node.asText(), where) : Resample.of(node.asInt(-1), where);
    }

    private float[] channels(String field, float[] otherwise) {
        if (!has(field)) {
            return otherwise;
        }
        JsonNode node = settings.get(field);
        float[] values = new float[3];
        for (int c = 0; c < 3; c++) {
            JsonNode v = node.isArray() ? node.path(node.size() == 1 ? 0 : c) : node;
            if (!v.isNumber() || node.isArray() && node.size() != 1 && node.size() != 3) {
                throw new HeadstartException(where + ": " + field + " must be 3 numbers, found " + node);
            }
            values[c] = (float) v.asDouble();
        }
        return values;
    }

    /** Rescaling fused into mean and deviation, in float32 as transformers does. */
    private static float[][] table(@Nullable Double rescale, float @Nullable [] mean, float[] std) {
        float[][] table = new float[3][256];
        for (int c = 0; c < 3; c++) {
            float scale = rescale == null ? 1 : (float) (1.0 / rescale);
            for (int v = 0; v < 256; v++) {
                table[c][v] = mean != null
                        ? (v - mean[c] * scale) / (std[c] * scale)
                        : rescale != null ? (float) (v * rescale) : v;
            }
        }
        return table;
    }
}
