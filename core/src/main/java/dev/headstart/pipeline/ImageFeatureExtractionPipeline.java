package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.models.AutoModel;
import dev.headstart.models.Tensors;
import dev.headstart.vision.Image;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntFunction;
import org.bytedeco.pytorch.Tensor;

/**
 * Hidden states of images (transformers ImageFeatureExtractionPipeline). Call argument: {@code pool} (true gives the model's pooled output).
 */
public final class ImageFeatureExtractionPipeline extends ImagePipeline {
    ImageFeatureExtractionPipeline(String id, PipelineOptions options) {
        super(id, AutoModel.fromPretrained(id, options.load()), options);
    }

    /** The pooled features of each image as one row, [D]. */
    public List<float[]> pooled(List<Image> images) {
        List<float[]> results = new ArrayList<>();
        infer(images.size(), images::get, (first, some, out) -> {
            Tensor x = field(out, "pooler_output"); // [B, D] or [B, D, 1, 1]
            for (int r = 0; r < some.size(); r++) {
                results.add(Tensors.floats(x.select(0, r)));
            }
        });
        return results;
    }

    private List<Object> features(int count, IntFunction<Image> source, boolean pool) {
        List<Object> results = new ArrayList<>();
        infer(count, source, (first, some, out) -> {
            Tensor x = pool
                    ? field(out, "pooler_output")
                    : out.tensors().values().iterator().next();
            for (int r = 0; r < some.size(); r++) {
                Tensor one = x.narrow(0, r, 1); // [1, ...]
                results.add(nested(Tensors.floats(one), one.shape(), 0, 0));
            }
        });
        return results;
    }

    /** A flat array as lists of lists of rows. */
    private static Object nested(float[] flat, long[] shape, int dimension, int from) {
        if (dimension == shape.length - 1) {
            return Arrays.copyOfRange(flat, from, from + (int) shape[dimension]);
        }
        int step = 1;
        for (int d = dimension + 1; d < shape.length; d++) {
            step *= (int) shape[d];
        }
        List<Object> list = new ArrayList<>();
        for (int i = 0; i < shape[dimension]; i++) {
            list.add(nested(flat, shape, dimension + 1, from + i * step));
        }
        return list;
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        return features(inputs.size(), files(inputs), kwargs.path("pool").asBoolean(false));
    }
}
