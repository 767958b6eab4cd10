package dev.headstart.pipeline;

import dev.headstart.HeadstartException;
import dev.headstart.hub.FileSelection;
import dev.headstart.hub.Hub;
import dev.headstart.models.AutoModel;
import dev.headstart.models.Clip.CLIPModel;
import dev.headstart.models.Inputs;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Precision;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Padding;
import dev.headstart.text.Tokenizer;
import dev.headstart.vision.Image;
import dev.headstart.vision.ImageBatch;
import dev.headstart.vision.ImageProcessor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * One vector for each image: the model's pooled output, of CLIP the projected embedding, of models without pooling the mean over all places. CLIP puts
 * texts into the same space. Preparing ({@link #prepare}) is thread-safe and can run ahead of computing.
 */
public final class ImageFeatures implements AutoCloseable {
    private static final int BATCH = 16;

    private final PreTrainedModel<?> model;
    private final ImageProcessor processor;
    private final @Nullable Tokenizer tokenizer;

    /** Loads model, processor and, of CLIP, the tokenizer. */
    public ImageFeatures(String id, PipelineOptions options) {
        model = AutoModel.fromPretrained(id, options.load());
        try {
            processor = ImageProcessor.fromFolder(Hub.standard()
                    .resolve(id, FileSelection.NO_WEIGHTS, options.load())
                    .path());
            tokenizer = model instanceof CLIPModel ? Tokenizer.fromPretrained(id, options.load()) : null;
            if (options.load().precision() == null && !model.quantized()) {
                model.optimize(Precision.FP32);
            }
        } catch (RuntimeException e) {
            model.close();
            throw e;
        }
    }

    /** Whether {@link #texts} can be asked. */
    public boolean takesTexts() {
        return tokenizer != null;
    }

    /** An image as the model takes it. Thread-safe. {@link #images} closes it. */
    public ImageBatch prepare(Image image) {
        return processor.preprocess(List.of(image));
    }

    /** The vectors of prepared images, in order; closes them. Those of one size that follow each other go through the model together. */
    public List<float[]> images(List<ImageBatch> prepared) {
        List<float[]> all = new ArrayList<>();
        for (int at = 0; at < prepared.size(); ) {
            int end = at + 1;
            while (end < prepared.size() && end - at < BATCH && alike(prepared.get(at), prepared.get(end))) {
                end++;
            }
            compute(prepared.subList(at, end), all);
            at = end;
        }
        return all;
    }

    private static boolean alike(ImageBatch a, ImageBatch b) {
        return a.pixelMask() == null
                && Arrays.equals(a.pixelValues().shape(), b.pixelValues().shape());
    }

    private void compute(List<ImageBatch> some, List<float[]> into) {
        try (PointerScope scope = new PointerScope()) {
            Inputs inputs = some.size() == 1
                    ? Inputs.of(some.get(0).modelInputs())
                    : Inputs.of(Map.of(
                            "pixel_values",
                            torch.cat(new TensorVector(
                                    some.stream().map(ImageBatch::pixelValues).toArray(Tensor[]::new)))));
            try (ModelOutput out =
                    model instanceof CLIPModel clip ? clip.imageFeatures(inputs) : model.forward(inputs)) {
                rows(pooled(out), into);
            }
        } finally {
            some.forEach(ImageBatch::close);
        }
    }

    /** The vectors of texts in the images' space. @throws HeadstartException when the model is no CLIP */
    public List<float[]> texts(List<String> texts) {
        if (tokenizer == null || !(model instanceof CLIPModel clip)) {
            throw new HeadstartException(
                    "texts need a model that puts texts and images into one space (CLIP), found model_type "
                            + model.config().modelType() + "; use such a model, or give an image");
        }
        List<float[]> all = new ArrayList<>();
        try (PointerScope scope = new PointerScope();
                ModelOutput out = clip.textFeatures(
                        Inputs.of(tokenizer.encode(texts, EncodeOptions.DEFAULT.withPadding(Padding.LONGEST))))) {
            rows(pooled(out), all);
        }
        return all;
    }

    /** @return [B, D] */
    private static Tensor pooled(ModelOutput out) {
        Tensor pooled = out.tensors().get("pooler_output"); // [B, D] or [B, D, 1, 1]
        if (pooled != null) {
            return pooled.flatten(1, -1);
        }
        Tensor last = out.tensors().get("last_hidden_state"); // [B, S, D] or [B, D, H, W]
        if (last == null) {
            throw new HeadstartException("the model gives neither pooler_output nor last_hidden_state; it gives "
                    + out.tensors().keySet());
        }
        return last.dim() == 3 ? last.mean(1) : last.flatten(2, -1).mean(2);
    }

    private static void rows(Tensor x, List<float[]> into) {
        int d = (int) x.size(1);
        float[] flat = Tensors.floats(x);
        for (int at = 0; at < flat.length; at += d) {
            into.add(Arrays.copyOfRange(flat, at, at + d));
        }
    }

    @Override
    public void close() {
        model.close();
        if (tokenizer != null) {
            tokenizer.close();
        }
    }
}
