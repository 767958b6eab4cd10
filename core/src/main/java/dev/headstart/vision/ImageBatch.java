package dev.headstart.vision;

import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Images as a model takes them. Close it when the model has run.
 *
 * @param pixelValues float32, [B, 3, H, W]
 * @param pixelMask int64, [B, H, W], 1 where a pixel is the image's and 0 where it is padding; only of processors that pad with a mask
 */
public record ImageBatch(Tensor pixelValues, @Nullable Tensor pixelMask) implements AutoCloseable {

    /** The tensors under the names of the model's arguments: {@code pixel_values}, {@code pixel_mask}. They stay this batch's. */
    public Map<String, Tensor> modelInputs() {
        Map<String, Tensor> inputs = new LinkedHashMap<>();
        inputs.put("pixel_values", pixelValues);
        if (pixelMask != null) {
            inputs.put("pixel_mask", pixelMask);
        }
        return inputs;
    }

    @Override
    public void close() {
        pixelValues.close();
        if (pixelMask != null) {
            pixelMask.close();
        }
    }
}
