package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.models.AutoModelForImageClassification;
import dev.headstart.models.Tensors;
import dev.headstart.vision.Image;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Classes of images (transformers ImageClassificationPipeline). Call arguments: {@code top_k} (5 when absent or null), {@code
 * function_to_apply} (softmax, sigmoid, none).
 */
public final class ImageClassificationPipeline extends ImagePipeline {
    private static final int TOP_K = 5;

    ImageClassificationPipeline(String id, PipelineOptions options) {
        super(id, AutoModelForImageClassification.fromPretrained(id, options.load()), options);
    }

    /** Names of the classes, in the order of the model's logits. */
    public List<String> labels() {
        Map<Integer, String> names = model.config().id2label();
        return IntStream.range(0, model.config().numLabels())
                .mapToObj(i -> names.getOrDefault(i, "LABEL_" + i))
                .toList();
    }

    /** The five best classes of an image, best first. */
    public List<ClassScore> apply(Image image) {
        return apply(List.of(image), TOP_K, null).get(0);
    }

    /**
     * The best classes of each image, best first.
     *
     * @param topK how many; null for all
     * @param function softmax, sigmoid, none; null to choose by the model
     */
    public List<List<ClassScore>> apply(List<Image> images, @Nullable Integer topK, @Nullable String function) {
        return apply(images.size(), images::get, topK, function);
    }

    private List<List<ClassScore>> apply(
            int count, IntFunction<Image> source, @Nullable Integer topK, @Nullable String function) {
        Map<Integer, String> names = model.config().id2label();
        List<List<ClassScore>> results = new ArrayList<>();
        infer(count, source, (first, images, out) -> {
            Tensor logits = field(out, "logits"); // [B, C]
            int classes = (int) logits.size(1);
            float[] all = Tensors.floats(logits);
            for (int r = 0; r < images.size(); r++) {
                float[] own = Arrays.copyOfRange(all, r * classes, (r + 1) * classes);
                results.add(Scores.best(Scores.apply(function, model.config(), own), names, topK));
            }
        });
        return results;
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        String function = kwargs.hasNonNull("function_to_apply")
                ? kwargs.get("function_to_apply").asText()
                : null;
        Integer topK = kwargs.hasNonNull("top_k") ? Scores.topK(kwargs, TOP_K) : Integer.valueOf(TOP_K);
        return apply(inputs.size(), files(inputs), topK, function);
    }
}
