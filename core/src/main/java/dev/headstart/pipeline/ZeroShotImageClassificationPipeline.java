package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.models.AutoModel;
import dev.headstart.models.Clip.CLIPModel;
import dev.headstart.models.Inputs;
import dev.headstart.models.Outputs.BaseModelOutputWithPooling;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Memory;
import dev.headstart.text.BatchEncoding;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Padding;
import dev.headstart.text.Tokenizer;
import dev.headstart.vision.Image;
import dev.headstart.vision.ImageBatch;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.IntFunction;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Which of several texts fits an image best (transformers ZeroShotImageClassificationPipeline, CLIP). Call arguments: {@code candidate_labels} (a list,
 * or a text with commas), {@code hypothesis_template} ("This is a photo of {}." when absent). The labels go through the text tower once for all images.
 */
public final class ZeroShotImageClassificationPipeline extends ImagePipeline {
    private static final String TEMPLATE = "This is a photo of {}.";

    private final CLIPModel clip;
    private final Tokenizer tokenizer;

    ZeroShotImageClassificationPipeline(String id, PipelineOptions options) {
        this(id, clip(AutoModel.fromPretrained(id, options.load())), options);
    }

    private ZeroShotImageClassificationPipeline(String id, CLIPModel clip, PipelineOptions options) {
        super(id, clip, options);
        this.clip = clip;
        try {
            tokenizer = Tokenizer.fromPretrained(id, options.load());
        } catch (RuntimeException e) {
            clip.close();
            throw e;
        }
    }

    private static CLIPModel clip(PreTrainedModel<?> model) {
        if (model instanceof CLIPModel clip) {
            return clip;
        }
        String found = model.config().modelType();
        model.close();
        throw new HeadstartException("zero-shot-image-classification needs a CLIP model, found model_type " + found);
    }

    /** The labels with their probabilities, best first. */
    public List<ClassScore> apply(Image image, List<String> labels) {
        return apply(1, i -> image, labels, TEMPLATE).get(0);
    }

    private List<List<ClassScore>> apply(int count, IntFunction<Image> source, List<String> labels, String template) {
        if (labels.isEmpty()) {
            throw new HeadstartException("candidate_labels must hold at least one label");
        }
        List<String> texts = labels.stream().map(l -> template.replace("{}", l)).toList();
        List<List<ClassScore>> results = new ArrayList<>();
        try (PointerScope scope = new PointerScope()) {
            BatchEncoding encoded = tokenizer.encode(texts, EncodeOptions.DEFAULT.withPadding(Padding.LONGEST));
            Tensor words = Memory.scoped(() -> {
                try (BaseModelOutputWithPooling out = clip.textFeatures(Inputs.of(encoded))) {
                    return normalised(field(out, "pooler_output")); // [T, P]
                }
            });
            images(count, source, (images, embeds) -> {
                Tensor logits = embeds.matmul(words.transpose(0, 1)).mul(new Scalar(clip.logitScale())); // [B, T]
                float[] all = Tensors.floats(logits);
                for (int r = 0; r < images; r++) {
                    double[] p = Scores.softmax(
                            java.util.Arrays.copyOfRange(all, r * labels.size(), (r + 1) * labels.size()));
                    List<ClassScore> scores = new ArrayList<>();
                    for (int i = 0; i < p.length; i++) {
                        scores.add(new ClassScore(labels.get(i), p[i]));
                    }
                    scores.sort(Comparator.comparingDouble(ClassScore::score).reversed());
                    results.add(scores);
                }
            });
            words.close();
        }
        return results;
    }

    private interface Embedded {
        void accept(int images, Tensor embeds);
    }

    private void images(int count, IntFunction<Image> source, Embedded receiver) {
        for (int at = 0; at < count; at++) {
            try (PointerScope scope = new PointerScope();
                    ImageBatch batch = processor.preprocess(List.of(source.apply(at)));
                    BaseModelOutputWithPooling out = clip.imageFeatures(Inputs.of(batch.modelInputs()))) {
                receiver.accept(1, normalised(field(out, "pooler_output"))); // [1, P]
            }
        }
    }

    private static Tensor normalised(Tensor x) {
        return x.div(x.square()
                .sum(new long[] {-1}, true, new org.bytedeco.pytorch.ScalarTypeOptional())
                .sqrt());
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        JsonNode given = kwargs.path("candidate_labels");
        List<String> labels = new ArrayList<>();
        if (given.isArray()) {
            given.forEach(l -> labels.add(l.asText()));
        } else if (given.isTextual()) {
            for (String l : given.asText().split(",", -1)) {
                if (!l.isBlank()) {
                    labels.add(l.strip());
                }
            }
        }
        if (labels.isEmpty()) {
            throw new HeadstartException(
                    "zero-shot-image-classification needs --kwargs '{\"candidate_labels\": [\"cat\", \"dog\"]}'");
        }
        return apply(
                inputs.size(),
                files(inputs),
                labels,
                kwargs.path("hypothesis_template").asText(TEMPLATE));
    }

    @Override
    public void close() {
        super.close();
        tokenizer.close();
    }
}
