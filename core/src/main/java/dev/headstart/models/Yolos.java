package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.models.Detection.LossConfig;
import dev.headstart.models.Detection.LossDict;
import dev.headstart.models.Detection.Target;
import dev.headstart.models.Outputs.BaseModelOutputWithPooling;
import dev.headstart.models.Vision.Sides;
import dev.headstart.models.VisionLayers.PreNormLayer;
import dev.headstart.models.Vit.ViTConfig;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Conv2d;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Init;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * YOLOS (Fang et al. 2021, "You Only Look at One Sequence"): ViT with detection tokens, each of which says a class and a box. Reference: transformers
 * {@code modeling_yolos.py}. B batch, N patches, Q detection tokens, S = 1 + N + Q, D hidden size, C classes.
 */
public final class Yolos {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("yolos", "vit")
            .add("YolosModel", YolosModel::new)
            .add("YolosForObjectDetection", YolosForObjectDetection::new);

    private Yolos() {}

    /** Embeddings, layers, final norm; positions follow the image's size, in the middle layers too if asked for (transformers YolosModel). */
    static final class Body {
        private final Parameter cls;
        private final Parameter detection;
        private final Parameter positions;
        private final @Nullable Parameter midPositions;
        private final Conv2d projection;
        private final Dropout dropout;
        private final List<PreNormLayer> layers = new ArrayList<>();
        private final LayerNorm norm;
        private final Sides grid;
        private final int patch;
        private final int queries;
        private final int channels;
        private final int width;

        Body(Weights w, ConfigJson config) {
            ViTConfig c = ViTConfig.of(config);
            width = c.hiddenSize();
            channels = c.numChannels();
            patch = c.patchSize().height();
            queries = config.size("num_detection_tokens", 100);
            Sides image = config.has("image_size") ? c.imageSize() : new Sides(512, 864);
            grid = new Sides(image.height() / patch, image.width() / patch);
            long s = 1 + (long) grid.height() * grid.width() + queries;
            Weights e = w.sub("embeddings");
            cls = e.parameter("cls_token", Init.ZEROS, 1, 1, width);
            detection = e.parameter("detection_tokens", Init.ZEROS, 1, queries, width);
            positions = e.parameter("position_embeddings", Init.ZEROS, 1, s, width);
            projection = e.sub("patch_embeddings.projection").patches(channels, width, patch, patch, true);
            dropout = w.dropout(c.hiddenDropoutProb());
            for (int i = 0; i < c.numHiddenLayers(); i++) {
                layers.add(Vit.layer(w.sub("encoder.layer." + i), c));
            }
            boolean nested =
                    w.has("encoder.interpolation.mid_position_embeddings") && !w.has("encoder.mid_position_embeddings");
            midPositions = config.flag("use_mid_position_embeddings", true)
                    ? w.sub(nested ? "encoder.interpolation" : "encoder")
                            .parameter("mid_position_embeddings", Init.ZEROS, c.numHiddenLayers() - 1, 1, s, width)
                    : null;
            norm = w.sub("layernorm").layerNorm(width, c.layerNormEps());
        }

        /** A table for the image's grid. @param table [L, S, D]; @return [L, 1 + height * width + Q, D] */
        private Tensor resized(Tensor table, long height, long width) {
            long n = table.size(1) - 1 - queries;
            Tensor patches = Vision.grid(table.narrow(1, 1, n), grid.height(), grid.width(), height, width);
            return Vision.concat(1, table.narrow(1, 0, 1), patches, table.narrow(1, 1 + n, queries));
        }

        /** @return normalised last hidden state [B, S, D]; the trace receives the embeddings and every layer's output */
        Tensor forward(Inputs in, Trace trace) {
            Tensor pixels = Vision.pixels(in, channels, cls.tensor());
            in.optional("pixel_mask"); // the processor makes one, the model has no use for it
            long b = pixels.size(0), height = pixels.size(2) / patch, w = pixels.size(3) / patch;
            Tensor x = projection.forward(pixels).flatten(2, -1).transpose(1, 2); // [B, N, D]
            x = Vision.concat(
                    1, cls.tensor().expand(b, 1, width), x, detection.tensor().expand(b, queries, width)); // [B, S, D]
            x = trace.hidden(dropout.forward(x.add(resized(positions.tensor(), height, w))));
            Tensor mid = midPositions == null
                    ? null
                    : resized(midPositions.tensor().squeeze(1), height, w); // [layers - 1, S, D]
            for (int i = 0; i < layers.size(); i++) {
                x = trace.hidden(layers.get(i).forward(x, null, trace));
                x = mid == null || i == layers.size() - 1 ? x : x.add(mid.select(0, i));
            }
            return norm.forward(x);
        }
    }

    /** YOLOS without heads. */
    public static final class YolosModel extends PreTrainedModel<BaseModelOutputWithPooling> {
        private final Body vit;
        private final @Nullable Linear pooler;

        YolosModel(Weights w, ConfigJson config) {
            super(w, config);
            vit = new Body(w, config);
            Weights p = w.sub("pooler.dense");
            pooler = p.has("weight") ? p.linear(vit.width, vit.width) : null;
        }

        @Override
        protected BaseModelOutputWithPooling compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = vit.forward(in, trace); // [B, S, D]
            Tensor pooled = pooler == null ? null : pooler.forward(x.select(1, 0), Activation.TANH);
            return new BaseModelOutputWithPooling(x, pooled, trace.hiddenStates(), trace.attentions());
        }
        /** From a folder or an id. */
        public static YolosModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static YolosModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, YolosModel.class, options);
        }
    }

    /**
     * Classes and boxes.
     *
     * @param loss scalar; null without labels
     * @param lossDict its parts; null without labels
     * @param logits [B, Q, C + 1], the last class being "no object"
     * @param predBoxes centre x, centre y, width, height in [0, 1], [B, Q, 4]
     * @param lastHiddenState [B, S, D]
     * @param hiddenStates embeddings and every layer's output, each [B, S, D]; null unless asked for
     * @param attentions every layer's, each [B, h, S, S]; null unless asked for
     */
    public record YolosObjectDetectionOutput(
            @Nullable Tensor loss,
            @Nullable ModelOutput lossDict,
            Tensor logits,
            Tensor predBoxes,
            Tensor lastHiddenState,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /** A class and a box for each detection token. */
    public static final class YolosForObjectDetection extends PreTrainedModel<YolosObjectDetectionOutput> {
        private final Body vit;
        private final Detection.Mlp classifier;
        private final Detection.Mlp boxes;
        private final LossConfig loss;

        YolosForObjectDetection(Weights w, ConfigJson config) {
            super(w, config);
            vit = new Body(w.sub("vit"), config);
            classifier = new Detection.Mlp(
                    w.head().sub("class_labels_classifier"), vit.width, vit.width, config.numLabels() + 1, 3);
            boxes = new Detection.Mlp(w.head().sub("bbox_predictor"), vit.width, vit.width, 4, 3);
            loss = LossConfig.of(config);
        }

        @Override
        protected YolosObjectDetectionOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = vit.forward(in, trace); // [B, S, D]
            Tensor found = x.narrow(1, x.size(1) - vit.queries, vit.queries); // [B, Q, D]
            Tensor logits = classifier.forward(found); // [B, Q, C + 1]
            Tensor predicted = boxes.forward(found).sigmoid(); // [B, Q, 4]
            List<Target> targets = Detection.targets(in, x.size(0));
            LossDict parts = targets.isEmpty() ? null : Detection.loss(logits, predicted, targets, loss);
            return new YolosObjectDetectionOutput(
                    parts == null ? null : loss.total(parts),
                    parts,
                    logits,
                    predicted,
                    x,
                    trace.hiddenStates(),
                    trace.attentions());
        }
        /** From a folder or an id. */
        public static YolosForObjectDetection fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static YolosForObjectDetection fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, YolosForObjectDetection.class, options);
        }
    }
}
