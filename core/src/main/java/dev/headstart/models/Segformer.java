package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.relu;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.Outputs.BaseModelOutput;
import dev.headstart.models.VisionOutputs.ImageClassifierOutput;
import dev.headstart.models.VisionOutputs.SemanticSegmenterOutput;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.BatchNorm2d;
import dev.headstart.nn.Conv2d;
import dev.headstart.nn.DropPath;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * SegFormer (Xie et al. 2021, "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers"): a hierarchical encoder whose
 * attention sees keys and values at reduced resolution, and an all-MLP head. Reference: transformers {@code modeling_segformer.py}. B batch, N places of
 * a stage, D its width, h heads.
 */
public final class Segformer {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("segformer", "segformer")
            .add("SegformerModel", SegformerModel::new)
            .add("SegformerForImageClassification", SegformerForImageClassification::new)
            .add("SegformerForSemanticSegmentation", SegformerForSemanticSegmentation::new);

    /** Norms have torch's epsilon; config.json's layer_norm_eps is not used by the reference. */
    private static final double EPS = 1e-5;

    private Segformer() {}

    /** SegformerConfig: transformers' field names and defaults. */
    record SegformerConfig(
            int numChannels,
            int numEncoderBlocks,
            List<Integer> depths,
            List<Integer> srRatios,
            List<Integer> hiddenSizes,
            List<Integer> patchSizes,
            List<Integer> strides,
            List<Integer> numAttentionHeads,
            List<Double> mlpRatios,
            Activation hiddenAct,
            double hiddenDropoutProb,
            double attentionProbsDropoutProb,
            double classifierDropoutProb,
            double dropPathRate,
            int decoderHiddenSize,
            int semanticLossIgnoreIndex,
            boolean reshapeLastStage) {
        static SegformerConfig of(ConfigJson c) {
            SegformerConfig s = new SegformerConfig(
                    c.size("num_channels", 3),
                    c.size("num_encoder_blocks", 4),
                    c.integers("depths", List.of(2, 2, 2, 2)),
                    c.integers("sr_ratios", List.of(8, 4, 2, 1)),
                    c.integers("hidden_sizes", List.of(32, 64, 160, 256)),
                    c.integers("patch_sizes", List.of(7, 3, 3, 3)),
                    c.integers("strides", List.of(4, 2, 2, 2)),
                    c.integers("num_attention_heads", List.of(1, 2, 5, 8)),
                    c.numbers("mlp_ratios", List.of(4.0, 4.0, 4.0, 4.0)),
                    Activation.of(c.text("hidden_act", "gelu")),
                    c.number("hidden_dropout_prob", 0),
                    c.number("attention_probs_dropout_prob", 0),
                    c.number("classifier_dropout_prob", 0.1),
                    c.number("drop_path_rate", 0.1),
                    c.size("decoder_hidden_size", 256),
                    c.integer("semantic_loss_ignore_index", 255),
                    c.flag("reshape_last_stage", true));
            for (List<?> list : List.of(
                    s.depths, s.srRatios, s.hiddenSizes, s.patchSizes, s.strides, s.numAttentionHeads, s.mlpRatios)) {
                if (list.size() < s.numEncoderBlocks) {
                    throw new HeadstartException(c.origin() + ": num_encoder_blocks is " + s.numEncoderBlocks
                            + ", so depths, sr_ratios, hidden_sizes, patch_sizes, strides, num_attention_heads and mlp_ratios need as many entries; found "
                            + list);
                }
            }
            return s;
        }

        int width(int stage) {
            return hiddenSizes.get(stage);
        }
    }

    // === Layers ===

    /** Attention over keys and values that a strided convolution has thinned out (transformers SegformerAttention). */
    static final class SegformerAttention {
        private final Linear query;
        private final Linear key;
        private final Linear value;
        private final Linear output;
        private final @Nullable Conv2d reduction;
        private final @Nullable LayerNorm reductionNorm;
        private final Dropout dropout;
        private final int heads;

        SegformerAttention(Weights w, SegformerConfig c, int stage) {
            long d = c.width(stage), ratio = c.srRatios().get(stage);
            query = w.sub("self.query").linear(d, d);
            key = w.sub("self.key").linear(d, d);
            value = w.sub("self.value").linear(d, d);
            output = w.sub("output.dense").linear(d, d);
            reduction = ratio > 1 ? w.sub("self.sr").conv2d(d, d, ratio, Conv2d.Shape.of(ratio, 0), true) : null;
            reductionNorm = ratio > 1 ? w.sub("self.layer_norm").layerNorm(d, EPS) : null;
            dropout = w.dropout(c.attentionProbsDropoutProb());
            heads = Checks.heads((int) d, c.numAttentionHeads().get(stage));
        }

        /** @param x [B, N, D] with N = height * width; @return [B, N, D] */
        Tensor forward(Tensor x, long height, long width, Trace trace) {
            long b = x.size(0), d = x.size(2);
            Tensor seen = x; // [B, M, D]
            if (reduction != null && reductionNorm != null) {
                Tensor grid = x.transpose(1, 2).reshape(b, d, height, width); // [B, D, H, W]
                seen = reductionNorm.forward(
                        reduction.forward(grid).reshape(b, d, -1).transpose(1, 2)); // [B, M, D]
            }
            Tensor q = Attention.splitHeads(query.forward(x), heads); // [B, h, N, D/h]
            Tensor k = Attention.splitHeads(key.forward(seen), heads); // [B, h, M, D/h]
            Tensor v = Attention.splitHeads(value.forward(seen), heads);
            double scale = 1 / Math.sqrt((double) d / heads);
            return output.forward(
                    Attention.mergeHeads(Attention.attend(q, k, v, null, scale, dropout, trace))); // [B, N, D]
        }
    }

    /** Attention and Mix-FFN, pre-norm (transformers SegformerLayer). */
    static final class SegformerLayer {
        private final LayerNorm norm1;
        private final SegformerAttention attention;
        private final LayerNorm norm2;
        private final Linear up;
        private final Conv2d depthwise;
        private final Linear down;
        private final Activation activation;
        private final Dropout dropout;
        private final DropPath dropPath;

        SegformerLayer(Weights w, SegformerConfig c, int stage, double drop) {
            long d = c.width(stage), inner = (long) (d * c.mlpRatios().get(stage));
            norm1 = w.sub("layer_norm_1").layerNorm(d, EPS);
            attention = new SegformerAttention(w.sub("attention"), c, stage);
            norm2 = w.sub("layer_norm_2").layerNorm(d, EPS);
            up = w.sub("mlp.dense1").linear(d, inner);
            depthwise = w.sub("mlp.dwconv.dwconv").conv2d(inner, inner, 3, Conv2d.Shape.depthwise(1, 1, inner), true);
            down = w.sub("mlp.dense2").linear(inner, d);
            activation = c.hiddenAct();
            dropout = w.dropout(c.hiddenDropoutProb());
            dropPath = w.dropPath(drop);
        }

        /** @param x [B, N, D]; @return [B, N, D] */
        Tensor forward(Tensor x, long height, long width, Trace trace) {
            x = dropPath.forward(dropout.forward(attention.forward(norm1.forward(x), height, width, trace)))
                    .add(x);
            Tensor u = up.forward(norm2.forward(x)); // [B, N, I]
            Tensor grid = u.transpose(1, 2).reshape(u.size(0), u.size(2), height, width); // [B, I, H, W]
            u = activation.apply(depthwise.forward(grid).flatten(2, -1).transpose(1, 2)); // [B, N, I]
            return dropPath.forward(dropout.forward(down.forward(dropout.forward(u))))
                    .add(x); // [B, N, D]
        }
    }

    /** Overlapping patches, layers, norm (transformers SegformerStage). */
    static final class Stage {
        private final Conv2d projection;
        private final LayerNorm patchNorm;
        private final List<SegformerLayer> layers = new ArrayList<>();
        private final LayerNorm norm;
        private final boolean reshape;

        Stage(Weights w, SegformerConfig c, int i) {
            long in = i == 0 ? c.numChannels() : c.width(i - 1),
                    patch = c.patchSizes().get(i);
            projection = w.sub("patch_embeddings." + i + ".proj")
                    .conv2d(in, c.width(i), patch, Conv2d.Shape.of(c.strides().get(i), patch / 2), true);
            patchNorm = w.sub("patch_embeddings." + i + ".layer_norm").layerNorm(c.width(i), EPS);
            int all = c.depths().stream().mapToInt(Integer::intValue).sum();
            int before = c.depths().subList(0, i).stream()
                    .mapToInt(Integer::intValue)
                    .sum();
            for (int j = 0; j < c.depths().get(i); j++) {
                layers.add(new SegformerLayer(
                        w.sub("block." + i + "." + j), c, i, c.dropPathRate() * (before + j) / Math.max(all - 1, 1)));
            }
            norm = w.sub("layer_norm." + i).layerNorm(c.width(i), EPS);
            reshape = i < c.numEncoderBlocks() - 1 || c.reshapeLastStage();
        }

        /** @param x [B, C, H, W]; @return [B, D, H / stride, W / stride], or [B, N, D] of a last stage that is not reshaped */
        Tensor forward(Tensor x, Trace trace) {
            Tensor grid = projection.forward(x); // [B, D, H', W']
            long height = grid.size(2), width = grid.size(3);
            Tensor y = patchNorm.forward(grid.flatten(2, -1).transpose(1, 2)); // [B, N, D]
            for (SegformerLayer layer : layers) {
                y = layer.forward(y, height, width, trace);
            }
            y = norm.forward(y);
            return reshape
                    ? y.reshape(y.size(0), height, width, -1)
                            .permute(0, 3, 1, 2)
                            .contiguous()
                    : y;
        }
    }

    /** The stages. */
    static final class Body {
        private final List<Stage> stages = new ArrayList<>();
        private final int channels;

        Body(Weights w, SegformerConfig c) {
            channels = c.numChannels();
            for (int i = 0; i < c.numEncoderBlocks(); i++) {
                stages.add(new Stage(w.sub("encoder"), c, i));
            }
        }

        /** Every stage's output; the trace receives them too. */
        List<Tensor> forward(Inputs in, Trace trace) {
            Tensor x = Vision.pixels(
                    in, channels, stages.get(0).projection.weight().tensor());
            List<Tensor> all = new ArrayList<>();
            for (Stage stage : stages) {
                x = trace.hidden(stage.forward(x, trace));
                all.add(x);
            }
            return all;
        }
    }

    /** Projects every stage to one width and size, joins them, classifies each place (transformers SegformerDecodeHead). */
    static final class DecodeHead {
        private final List<Linear> projections = new ArrayList<>();
        private final Conv2d fuse;
        private final BatchNorm2d norm;
        private final Conv2d classifier;
        private final Dropout dropout;

        DecodeHead(Weights w, SegformerConfig c, int classes) {
            long d = c.decoderHiddenSize();
            for (int i = 0; i < c.numEncoderBlocks(); i++) {
                projections.add(w.sub("linear_c." + i + ".proj").linear(c.width(i), d));
            }
            fuse = w.sub("linear_fuse").conv2d(d * c.numEncoderBlocks(), d, 1, Conv2d.Shape.of(1, 0), false);
            norm = w.sub("batch_norm").batchNorm2d(d, 1e-5);
            classifier = w.sub("classifier").conv2d(d, classes, 1, Conv2d.Shape.of(1, 0), true);
            dropout = w.dropout(c.classifierDropoutProb());
        }

        /** @param stages each [B, D, H, W]; @return [B, classes, H / 4, W / 4] */
        Tensor forward(List<Tensor> stages) {
            long height = stages.get(0).size(2), width = stages.get(0).size(3);
            Tensor[] joined = new Tensor[stages.size()];
            for (int i = 0; i < stages.size(); i++) {
                Tensor x = stages.get(i);
                if (x.dim() == 3) { // a last stage that was not reshaped
                    long side = (long) Math.sqrt((double) x.size(1));
                    x = x.reshape(x.size(0), side, side, -1).permute(0, 3, 1, 2);
                }
                Tensor y = projections.get(i).forward(x.flatten(2, -1).transpose(1, 2)); // [B, N, decoder]
                y = y.transpose(1, 2).reshape(x.size(0), -1, x.size(2), x.size(3)); // [B, decoder, H, W]
                joined[stages.size() - 1 - i] = Vision.bilinear(y, height, width);
            }
            Tensor x = relu(norm.forward(fuse.forward(Vision.concat(1, joined)))); // [B, decoder, H / 4, W / 4]
            return classifier.forward(dropout.forward(x));
        }
    }

    // === Models ===

    /** SegFormer's encoder. */
    public static final class SegformerModel extends PreTrainedModel<BaseModelOutput> {
        private final Body segformer;

        SegformerModel(Weights w, ConfigJson config) {
            super(w, config);
            segformer = new Body(w, SegformerConfig.of(config));
        }

        @Override
        protected BaseModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            List<Tensor> stages = segformer.forward(in, trace);
            return new BaseModelOutput(stages.get(stages.size() - 1), trace.hiddenStates(), trace.attentions());
        }
        /** From a folder or an id. */
        public static SegformerModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static SegformerModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, SegformerModel.class, options);
        }
    }

    /** A Linear over the mean of the last stage. */
    public static final class SegformerForImageClassification extends PreTrainedModel<ImageClassifierOutput> {
        private final Body segformer;
        private final Linear classifier;

        SegformerForImageClassification(Weights w, ConfigJson config) {
            super(w, config);
            SegformerConfig c = SegformerConfig.of(config);
            segformer = new Body(w.sub("segformer"), c);
            classifier = w.head().sub("classifier").linear(c.width(c.numEncoderBlocks() - 1), config.numLabels());
        }

        @Override
        protected ImageClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            List<Tensor> stages = segformer.forward(in, trace);
            Tensor x = stages.get(stages.size() - 1);
            Tensor mean = x.dim() == 4 ? x.mean(2, 3) : x.mean(1); // [B, D]
            return Vision.classified(classifier.forward(mean), in, config(), trace);
        }
        /** From a folder or an id. */
        public static SegformerForImageClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static SegformerForImageClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, SegformerForImageClassification.class, options);
        }
    }

    /** Classes of each pixel, at a quarter of the image's size. */
    public static final class SegformerForSemanticSegmentation extends PreTrainedModel<SemanticSegmenterOutput> {
        private final Body segformer;
        private final DecodeHead head;
        private final int ignored;

        SegformerForSemanticSegmentation(Weights w, ConfigJson config) {
            super(w, config);
            SegformerConfig c = SegformerConfig.of(config);
            segformer = new Body(w.sub("segformer"), c);
            head = new DecodeHead(w.head().sub("decode_head"), c, config.numLabels());
            ignored = c.semanticLossIgnoreIndex();
        }

        @Override
        protected SemanticSegmenterOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = head.forward(segformer.forward(in, trace)); // [B, classes, H / 4, W / 4]
            Tensor labels = in.optional("labels"); // [B, H, W]
            Tensor loss = labels == null ? null : Vision.segmentationLoss(logits, labels, ignored);
            return new SemanticSegmenterOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }
        /** From a folder or an id. */
        public static SegformerForSemanticSegmentation fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static SegformerForSemanticSegmentation fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, SegformerForSemanticSegmentation.class, options);
        }
    }
}
