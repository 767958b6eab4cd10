package dev.headstart.pipeline;

import static org.bytedeco.pytorch.global.torch.upsample_bilinear2d;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.models.AutoModelForSemanticSegmentation;
import dev.headstart.models.Tensors;
import dev.headstart.vision.Image;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.IntFunction;
import javax.imageio.ImageIO;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Which class each pixel belongs to (transformers ImageSegmentationPipeline, semantic segmentation). Call argument: {@code subtask} (semantic or null).
 * In JSON a mask is a PNG in base64.
 */
public final class ImageSegmentationPipeline extends ImagePipeline {
    ImageSegmentationPipeline(String id, PipelineOptions options) {
        super(id, AutoModelForSemanticSegmentation.fromPretrained(id, options.load()), options);
    }

    /**
     * The pixels of one class.
     *
     * @param score null: semantic segmentation has none
     * @param label name of the class
     * @param mask grey image of the input's size, 255 where the class is, 0 elsewhere
     */
    public record Segment(@Nullable Double score, String label, BufferedImage mask) {
        /** The part of the image's pixels that belong to it, 0 to 1. */
        public double share() {
            byte[] grey = ((DataBufferByte) mask.getRaster().getDataBuffer()).getData();
            int inside = 0;
            for (byte g : grey) {
                inside += g != 0 ? 1 : 0;
            }
            return (double) inside / grey.length;
        }

        /** The mask as a PNG file. */
        public byte[] png() {
            var bytes = new ByteArrayOutputStream();
            try {
                ImageIO.write(mask, "png", bytes);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            return bytes.toByteArray();
        }
    }

    /** A segment as JSON: the mask is a PNG in base64. */
    public record SegmentJson(@Nullable Double score, String label, String mask) {
        /** The JSON of a segment. */
        public static SegmentJson of(Segment s) {
            return new SegmentJson(s.score(), s.label(), Base64.getEncoder().encodeToString(s.png()));
        }
    }

    /** The classes that are in an image, in the order of their numbers. */
    public List<Segment> apply(Image image) {
        return apply(1, i -> image).get(0);
    }

    private List<List<Segment>> apply(int count, IntFunction<Image> source) {
        List<List<Segment>> results = new ArrayList<>();
        infer(count, source, (first, images, out) -> {
            Tensor logits = field(out, "logits"); // [B, C, H', W']
            for (int r = 0; r < images.size(); r++) {
                Image image = images.get(r);
                Tensor full = upsample_bilinear2d(
                        logits.narrow(0, r, 1), new long[] {image.height(), image.width()}, false); // [1, C, H, W]
                long[] classes = Tensors.longs(full.select(0, 0).argmax(new LongOptional(0), false)); // [H, W]
                results.add(segments(classes, image));
            }
        });
        return results;
    }

    private List<Segment> segments(long[] classes, Image image) {
        Map<Integer, String> names = model.config().id2label();
        TreeSet<Long> present = new TreeSet<>();
        for (long c : classes) {
            present.add(c);
        }
        List<Segment> segments = new ArrayList<>();
        for (long c : present) {
            BufferedImage mask = new BufferedImage(image.width(), image.height(), BufferedImage.TYPE_BYTE_GRAY);
            byte[] grey = ((DataBufferByte) mask.getRaster().getDataBuffer()).getData();
            for (int i = 0; i < classes.length; i++) {
                grey[i] = (byte) (classes[i] == c ? 255 : 0);
            }
            segments.add(new Segment(null, names.getOrDefault((int) c, "LABEL_" + c), mask));
        }
        return segments;
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        return segments(inputs, kwargs).stream()
                .map(all -> all.stream().map(SegmentJson::of).toList())
                .toList();
    }

    /** As {@link #run}, with the masks as images. */
    public List<List<Segment>> segments(List<String> inputs, JsonNode kwargs) {
        String subtask = kwargs.path("subtask").asText("semantic");
        if (kwargs.hasNonNull("subtask") && !subtask.equals("semantic")) {
            throw new HeadstartException("subtask " + subtask + " is not supported for model_type "
                    + model.config().modelType() + "; semantic is");
        }
        return apply(inputs.size(), files(inputs));
    }
}
