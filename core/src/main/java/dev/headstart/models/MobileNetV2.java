package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.adaptive_avg_pool2d;
import static org.bytedeco.pytorch.global.torch.constant_pad_nd;
import static org.bytedeco.pytorch.global.torch.upsample_bilinear2d;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.Outputs.BaseModelOutputWithPooling;
import dev.headstart.models.VisionOutputs.ImageClassifierOutput;
import dev.headstart.models.VisionOutputs.SemanticSegmenterOutput;
import dev.headstart.nn.Activation;
import dev.headstart.nn.BatchNorm2d;
import dev.headstart.nn.Conv2d;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks") with a classification head or DeepLabV3+ (Chen et al.
 * 2018). Reference: transformers {@code modeling_mobilenet_v2.py}. B batch.
 */
public final class MobileNetV2 {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("mobilenet_v2", "mobilenet_v2")
            .add("MobileNetV2Model", MobileNetV2Model::new)
            .add("MobileNetV2ForImageClassification", MobileNetV2ForImageClassification::new)
            .add("MobileNetV2ForSemanticSegmentation", MobileNetV2ForSemanticSegmentation::new);

    private static final int[] CHANNELS = {16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320};
    private static final int[] STRIDES = {2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1};

    private MobileNetV2() {}

    /** MobileNetV2Config: transformers' field names and defaults. */
    record MobileNetV2Config(
            int numChannels,
            double depthMultiplier,
            int depthDivisibleBy,
            int minDepth,
            double expandRatio,
            int outputStride,
            boolean firstLayerIsExpansion,
            boolean finegrainedOutput,
            Activation hiddenAct,
            boolean tfPadding,
            double classifierDropoutProb,
            double layerNormEps,
            int semanticLossIgnoreIndex) {
        static MobileNetV2Config of(ConfigJson c) {
            double multiplier = c.number("depth_multiplier", 1);
            if (!(multiplier > 0)) {
                throw new HeadstartException(c.origin() + ": depth_multiplier must be above 0, found " + multiplier);
            }
            return new MobileNetV2Config(
                    c.size("num_channels", 3),
                    multiplier,
                    c.size("depth_divisible_by", 8),
                    c.size("min_depth", 8),
                    c.number("expand_ratio", 6),
                    c.size("output_stride", 32),
                    c.flag("first_layer_is_expansion", true),
                    c.flag("finegrained_output", true),
                    Activation.of(c.text("hidden_act", "relu6")),
                    c.flag("tf_padding", true),
                    c.number("classifier_dropout_prob", 0.8),
                    c.number("layer_norm_eps", 0.001),
                    c.integer("semantic_loss_ignore_index", 255));
        }

        /** Channels times the multiplier, rounded to a multiple that is at most 10 % smaller. */
        int channels(int full) {
            return divisible(Math.rint(full * depthMultiplier));
        }

        int divisible(double value) {
            int rounded =
                    Math.max(minDepth, (int) (value + depthDivisibleBy / 2.0) / depthDivisibleBy * depthDivisibleBy);
            return rounded < 0.9 * value ? rounded + depthDivisibleBy : rounded;
        }
    }

    // === Layers ===

    /** Convolution with TensorFlow's padding if asked for, batch normalization, activation (transformers MobileNetV2ConvLayer). */
    static final class ConvLayer {
        private final Conv2d convolution;
        private final @Nullable BatchNorm2d normalization;
        private final Activation activation;
        private final boolean tfPadding;
        private final long kernel;

        ConvLayer(
                Weights w,
                MobileNetV2Config c,
                long in,
                long out,
                long kernel,
                long stride,
                long dilation,
                boolean depthwise,
                Activation activation) {
            this(w, c, in, out, kernel, stride, dilation, depthwise, activation, c.layerNormEps());
        }

        /** @param eps of the normalization; below 0 there is none, and the convolution has a bias */
        ConvLayer(
                Weights w,
                MobileNetV2Config c,
                long in,
                long out,
                long kernel,
                long stride,
                long dilation,
                boolean depthwise,
                Activation activation,
                double eps) {
            tfPadding = c.tfPadding();
            this.kernel = kernel;
            this.activation = activation;
            long padding = tfPadding ? 0 : (kernel - 1) / 2 * dilation;
            convolution = w.sub("convolution")
                    .conv2d(in, out, kernel, new Conv2d.Shape(stride, padding, dilation, depthwise ? in : 1), eps < 0);
            normalization = eps < 0 ? null : w.sub("normalization").batchNorm2d(out, eps, 0.997);
        }

        /** @param x [B, in, H, W]; @return [B, out, H / stride, W / stride], rounded up with TensorFlow's padding */
        Tensor forward(Tensor x) {
            Tensor y = convolution.forward(tfPadding ? pad(x) : x);
            return activation.apply(normalization == null ? y : normalization.forward(y));
        }

        private Tensor pad(Tensor x) {
            long rows = amount(x.size(2)),
                    columns = amount(x.size(3)),
                    dilation = convolution.shape().dilation();
            if (rows == 0 && columns == 0) {
                return x;
            }
            return constant_pad_nd(
                    x,
                    columns / 2 * dilation,
                    (columns - columns / 2) * dilation,
                    rows / 2 * dilation,
                    (rows - rows / 2) * dilation);
        }

        private long amount(long side) {
            long stride = convolution.shape().stride();
            return Math.max(kernel - (side % stride == 0 ? stride : side % stride), 0);
        }
    }

    /** Expand, depthwise, reduce (transformers MobileNetV2InvertedResidual). */
    static final class InvertedResidual {
        private final ConvLayer expand;
        private final ConvLayer depthwise;
        private final ConvLayer reduce;
        private final boolean residual;

        InvertedResidual(Weights w, MobileNetV2Config c, int in, int out, int stride, int dilation) {
            int inner = c.divisible(Math.rint(in * c.expandRatio()));
            expand = new ConvLayer(w.sub("expand_1x1"), c, in, inner, 1, 1, 1, false, c.hiddenAct());
            depthwise = new ConvLayer(w.sub("conv_3x3"), c, inner, inner, 3, stride, dilation, true, c.hiddenAct());
            reduce = new ConvLayer(w.sub("reduce_1x1"), c, inner, out, 1, 1, 1, false, Activation.LINEAR);
            residual = stride == 1 && in == out;
        }

        /** @param x [B, in, H, W]; @return [B, out, H / stride, W / stride] */
        Tensor forward(Tensor x) {
            Tensor y = reduce.forward(depthwise.forward(expand.forward(x)));
            return residual ? x.add(y) : y;
        }
    }

    /** Stem, 16 layers, last expansion. */
    static final class Body {
        private final ConvLayer first;
        private final @Nullable ConvLayer stemExpand;
        private final ConvLayer stemDepthwise;
        private final ConvLayer stemReduce;
        private final List<InvertedResidual> layers = new ArrayList<>();
        private final ConvLayer last;
        private final int channels;
        private final int width;

        Body(Weights w, MobileNetV2Config c) {
            channels = c.numChannels();
            int stem = c.channels(32);
            Weights s = w.sub("conv_stem");
            first = new ConvLayer(s.sub("first_conv"), c, channels, stem, 3, 2, 1, false, c.hiddenAct());
            stemExpand = c.firstLayerIsExpansion()
                    ? null
                    : new ConvLayer(s.sub("expand_1x1"), c, stem, stem, 1, 1, 1, false, c.hiddenAct());
            stemDepthwise = new ConvLayer(s.sub("conv_3x3"), c, stem, stem, 3, 1, 1, true, c.hiddenAct());
            stemReduce = new ConvLayer(
                    s.sub("reduce_1x1"), c, stem, c.channels(CHANNELS[0]), 1, 1, 1, false, Activation.LINEAR);
            int strideSoFar = 2, dilation = 1;
            for (int i = 0; i < STRIDES.length; i++) {
                boolean dilated = strideSoFar == c.outputStride(); // from there on dilation instead of smaller maps
                layers.add(new InvertedResidual(
                        w.sub("layer." + i),
                        c,
                        c.channels(CHANNELS[i]),
                        c.channels(CHANNELS[i + 1]),
                        dilated ? 1 : STRIDES[i],
                        dilated ? dilation : 1));
                if (dilated) {
                    dilation *= STRIDES[i];
                } else {
                    strideSoFar *= STRIDES[i];
                }
            }
            width = c.finegrainedOutput() && c.depthMultiplier() < 1 ? 1280 : c.channels(1280);
            last = new ConvLayer(w.sub("conv_1x1"), c, c.channels(CHANNELS[16]), width, 1, 1, 1, false, c.hiddenAct());
        }

        /** @return the last layer's output, [B, C, H', W']; the trace receives every layer's */
        Tensor features(Inputs in, Trace trace) {
            Tensor x = first.forward(
                    Vision.pixels(in, channels, first.convolution.weight().tensor()));
            x = stemReduce.forward(stemDepthwise.forward(stemExpand == null ? x : stemExpand.forward(x)));
            for (InvertedResidual layer : layers) {
                x = trace.hidden(layer.forward(x));
            }
            return x;
        }

        /** @param x what {@link #features} gives; @return [B, width, H', W'] */
        Tensor expand(Tensor x) {
            return last.forward(x);
        }
    }

    /** Pooled and plain features side by side (transformers MobileNetV2DeepLabV3Plus). */
    static final class DeepLabV3Plus {
        private final ConvLayer pool;
        private final ConvLayer aspp;
        private final ConvLayer projection;
        private final ConvLayer classifier;
        private final Dropout dropout;

        DeepLabV3Plus(Weights w, MobileNetV2Config c, int classes) {
            int in = c.channels(320);
            pool = new ConvLayer(w.sub("conv_pool"), c, in, 256, 1, 1, 1, false, Activation.RELU, 1e-5);
            aspp = new ConvLayer(w.sub("conv_aspp"), c, in, 256, 1, 1, 1, false, Activation.RELU, 1e-5);
            projection = new ConvLayer(w.sub("conv_projection"), c, 512, 256, 1, 1, 1, false, Activation.RELU, 1e-5);
            classifier = new ConvLayer(w.sub("classifier"), c, 256, classes, 1, 1, 1, false, Activation.LINEAR, -1);
            dropout = w.dropout(c.classifierDropoutProb());
        }

        /** @param x [B, C, H', W']; @return [B, classes, H', W'] */
        Tensor forward(Tensor x) {
            Tensor pooled = pool.forward(adaptive_avg_pool2d(x, 1, 1)); // [B, 256, 1, 1]
            Tensor wide = upsample_bilinear2d(pooled, new long[] {x.size(2), x.size(3)}, true); // [B, 256, H', W']
            Tensor y = projection.forward(Vision.concat(1, wide, aspp.forward(x))); // [B, 256, H', W']
            return classifier.forward(dropout.forward(y));
        }
    }

    // === Models ===

    /** MobileNetV2 without a head. */
    public static final class MobileNetV2Model extends PreTrainedModel<BaseModelOutputWithPooling> {
        private final Body body;

        MobileNetV2Model(Weights w, ConfigJson config) {
            super(w, config);
            body = new Body(w, MobileNetV2Config.of(config));
        }

        @Override
        protected BaseModelOutputWithPooling compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = body.expand(body.features(in, trace));
            return new BaseModelOutputWithPooling(
                    x, adaptive_avg_pool2d(x, 1, 1).flatten(1, -1), trace.hiddenStates(), null);
        }
        /** From a folder or an id. */
        public static MobileNetV2Model fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MobileNetV2Model fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MobileNetV2Model.class, options);
        }
    }

    /** A Linear over the pooled features. */
    public static final class MobileNetV2ForImageClassification extends PreTrainedModel<ImageClassifierOutput> {
        private final Body body;
        private final Dropout dropout;
        private final Linear classifier;

        MobileNetV2ForImageClassification(Weights w, ConfigJson config) {
            super(w, config);
            MobileNetV2Config c = MobileNetV2Config.of(config);
            body = new Body(w.sub("mobilenet_v2"), c);
            dropout = w.dropout(c.classifierDropoutProb());
            classifier = w.head().sub("classifier").linear(body.width, config.numLabels());
        }

        @Override
        protected ImageClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = adaptive_avg_pool2d(body.expand(body.features(in, trace)), 1, 1)
                    .flatten(1, -1); // [B, width]
            return Vision.classified(classifier.forward(dropout.forward(x)), in, config(), trace);
        }
        /** From a folder or an id. */
        public static MobileNetV2ForImageClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MobileNetV2ForImageClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MobileNetV2ForImageClassification.class, options);
        }
    }

    /** DeepLabV3+ over the last layer. */
    public static final class MobileNetV2ForSemanticSegmentation extends PreTrainedModel<SemanticSegmenterOutput> {
        private final Body body;
        private final DeepLabV3Plus head;
        private final int ignored;

        MobileNetV2ForSemanticSegmentation(Weights w, ConfigJson config) {
            super(w, config);
            MobileNetV2Config c = MobileNetV2Config.of(config);
            body = new Body(w.sub("mobilenet_v2"), c);
            head = new DeepLabV3Plus(w.head().sub("segmentation_head"), c, config.numLabels());
            ignored = c.semanticLossIgnoreIndex();
        }

        @Override
        protected SemanticSegmenterOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = head.forward(body.features(in, trace)); // [B, classes, H', W']
            Tensor labels = in.optional("labels"); // [B, H, W]
            Tensor loss = labels == null ? null : Vision.segmentationLoss(logits, labels, ignored);
            return new SemanticSegmenterOutput(loss, logits, trace.hiddenStates(), null);
        }
        /** From a folder or an id. */
        public static MobileNetV2ForSemanticSegmentation fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static MobileNetV2ForSemanticSegmentation fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, MobileNetV2ForSemanticSegmentation.class, options);
        }
    }
}
