package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.models.AutoModelForObjectDetection;
import dev.headstart.models.Tensors;
import dev.headstart.vision.Image;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;

/** Objects in images with their boxes (transformers ObjectDetectionPipeline). Call argument: {@code threshold} (0.5 when absent). */
public final class ObjectDetectionPipeline extends ImagePipeline {
    private static final double THRESHOLD = 0.5;

    ObjectDetectionPipeline(String id, PipelineOptions options) {
        super(id, AutoModelForObjectDetection.fromPretrained(id, options.load()), options);
    }

    /**
     * One object.
     *
     * @param score probability of the class
     * @param label name from config.json's id2label
     * @param box where, in pixels of the image; it may reach beyond its edges
     */
    public record DetectedObject(double score, String label, Box box) {}

    /** A box in pixels. @param xmin left @param ymin top @param xmax right @param ymax bottom */
    public record Box(int xmin, int ymin, int xmax, int ymax) {}

    /** Objects of probability above 0.5. */
    public List<DetectedObject> apply(Image image) {
        return apply(1, i -> image, THRESHOLD).get(0);
    }

    /** Objects of each image of a probability above the threshold, in the order in which the model gives them. */
    public List<List<DetectedObject>> apply(List<Image> images, double threshold) {
        return apply(images.size(), images::get, threshold);
    }

    private List<List<DetectedObject>> apply(int count, IntFunction<Image> source, double threshold) {
        Map<Integer, String> names = model.config().id2label();
        List<List<DetectedObject>> results = new ArrayList<>();
        infer(count, source, (first, images, out) -> {
            var logits = field(out, "logits"); // [B, Q, C + 1]
            int queries = (int) logits.size(1), classes = (int) logits.size(2);
            float[] scores = Tensors.floats(logits), boxes = Tensors.floats(field(out, "pred_boxes")); // [B, Q, 4]
            for (int r = 0; r < images.size(); r++) {
                List<DetectedObject> found = new ArrayList<>();
                for (int q = r * queries; q < (r + 1) * queries; q++) {
                    double[] p = Scores.softmax(Arrays.copyOfRange(scores, q * classes, (q + 1) * classes));
                    int best = 0;
                    for (int c = 1; c < classes - 1; c++) { // the last class is "no object"
                        best = p[c] > p[best] ? c : best;
                    }
                    if (p[best] > threshold) {
                        Image image = images.get(r);
                        float x = boxes[4 * q],
                                y = boxes[4 * q + 1],
                                w = boxes[4 * q + 2] / 2,
                                h = boxes[4 * q + 3] / 2;
                        Box box = new Box(
                                (int) ((x - w) * image.width()),
                                (int) ((y - h) * image.height()),
                                (int) ((x + w) * image.width()),
                                (int) ((y + h) * image.height()));
                        found.add(new DetectedObject(p[best], names.getOrDefault(best, "LABEL_" + best), box));
                    }
                }
                results.add(found);
            }
        });
        return results;
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        return apply(inputs.size(), files(inputs), kwargs.path("threshold").asDouble(THRESHOLD));
    }
}
