package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.linalg_vector_norm;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.Outputs.BaseModelOutputWithPooling;
import dev.headstart.models.Vision.Sides;
import dev.headstart.models.VisionOutputs.ImageClassifierOutput;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Conv2d;
import dev.headstart.nn.DropPath;
import dev.headstart.nn.Init;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * ConvNeXT (Liu et al. 2022, "A ConvNet for the 2020s") and ConvNeXT V2 (Woo et al. 2023, global response normalization in place of layer scale).
 * Reference: transformers {@code modeling_convnext.py}, {@code modeling_convnextv2.py}; timm's checkpoints load too ({@link TimmNames}), for which there
 * are the fields {@code norm_first} (the last norm comes before pooling) and {@code representation_size} (a Linear and the activation before the
 * classifier). B batch, D a stage's width.
 */
public final class ConvNext {
    /** The classes of version 1. */
    static final Family FAMILY = Family.of("convnext", "convnext")
            .add("ConvNextModel", ConvNextModel::new)
            .add("ConvNextForImageClassification", ConvNextForImageClassification::new);

    /** The classes of version 2. */
    static final Family FAMILY_V2 = Family.of("convnextv2", "convnextv2")
            .add("ConvNextV2Model", ConvNextV2Model::new)
            .add("ConvNextV2ForImageClassification", ConvNextV2ForImageClassification::new);

    /** Inside the stages the norms' epsilon is fixed. */
    private static final double EPS = 1e-6;

    private ConvNext() {}

    /** ConvNextConfig and ConvNextV2Config: transformers' field names and defaults. */
    record ConvNextConfig(
            int numChannels,
            Sides patchSize,
            List<Integer> hiddenSizes,
            List<Integer> depths,
            Activation hiddenAct,
            double layerNormEps,
            double layerScaleInitValue,
            double dropPathRate,
            boolean normFirst,
            boolean v2) {
        static ConvNextConfig of(ConfigJson c, boolean v2) {
            List<Integer> sizes = c.integers("hidden_sizes", List.of(96, 192, 384, 768));
            List<Integer> depths = c.integers("depths", List.of(3, 3, 9, 3));
            int stages = c.size("num_stages", 4);
            if (sizes.size() < stages || depths.size() < stages) {
                throw new HeadstartException(c.origin() + ": hidden_sizes and depths must have num_stages = " + stages
                        + " entries, found " + sizes + " and " + depths);
            }
            return new ConvNextConfig(
                    c.size("num_channels", 3),
                    Sides.of(c, "patch_size", 4),
                    sizes.subList(0, stages),
                    depths.subList(0, stages),
                    Activation.of(c.text("hidden_act", "gelu")),
                    c.number("layer_norm_eps", 1e-12),
                    c.number("layer_scale_init_value", 1e-6),
                    c.number("drop_path_rate", 0),
                    c.flag("norm_first", false),
                    v2);
        }
    }

    // === Layers ===

    /** LayerNorm over the channels of [B, D, H, W]. */
    private static Tensor channelsFirst(LayerNorm norm, Tensor x) {
        return norm.forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2);
    }

    /** Global response normalization (Woo et al. 2023, section 3; transformers ConvNextV2GRN). */
    static final class GlobalResponseNorm {
        private final Parameter weight;
        private final Parameter bias;

        GlobalResponseNorm(Weights w, long d) {
            weight = w.parameter("weight", Init.ZEROS, 1, 1, 1, d);
            bias = w.parameter("bias", Init.ZEROS, 1, 1, 1, d);
        }

        /** @param x [B, H, W, D]; @return [B, H, W, D] */
        Tensor forward(Tensor x) {
            Tensor global =
                    linalg_vector_norm(x, new Scalar(2.0), new long[] {1, 2}, true, new ScalarTypeOptional((Pointer)
                            null)); // [B, 1, 1, D]
            Tensor relative = global.div(global.mean(new long[] {-1}, true, new ScalarTypeOptional((Pointer) null))
                    .add(new Scalar(1e-6)));
            return weight.tensor().mul(x.mul(relative)).add(bias.tensor()).add(x);
        }
    }

    /** Depthwise 7x7, norm, inverted bottleneck (transformers ConvNextLayer, ConvNextV2Layer). */
    static final class ConvNextLayer {
        private final Conv2d depthwise;
        private final LayerNorm norm;
        private final Linear up;
        private final Linear down;
        private final Activation activation;
        private final @Nullable GlobalResponseNorm response;
        private final @Nullable Parameter scale;
        private final DropPath dropPath;

        ConvNextLayer(Weights w, ConvNextConfig c, long d, double drop) {
            depthwise = w.sub("dwconv").conv2d(d, d, 7, Conv2d.Shape.depthwise(1, 3, d), true);
            norm = w.sub("layernorm").layerNorm(d, EPS);
            up = w.sub("pwconv1").linear(d, 4 * d);
            down = w.sub("pwconv2").linear(4 * d, d);
            activation = c.hiddenAct();
            response = c.v2() ? new GlobalResponseNorm(w.sub("grn"), 4 * d) : null;
            scale = !c.v2() && c.layerScaleInitValue() > 0
                    ? w.parameter("layer_scale_parameter", new Init.Constant(c.layerScaleInitValue()), d)
                    : null;
            dropPath = w.dropPath(drop);
        }

        /** @param x [B, D, H, W]; @return [B, D, H, W] */
        Tensor forward(Tensor x) {
            Tensor y = norm.forward(depthwise.forward(x).permute(0, 2, 3, 1)); // [B, H, W, D]
            y = up.forward(y, activation); // [B, H, W, 4 D]
            y = down.forward(response == null ? y : response.forward(y)); // [B, H, W, D]
            y = scale == null ? y : y.mul(scale.tensor());
            return x.add(dropPath.forward(y.permute(0, 3, 1, 2))); // [B, D, H, W]
        }
    }

    /** Stem, stages, norm over the pooled features. */
    static final class Body {
        private final Conv2d patches;
        private final LayerNorm stemNorm;
        private final List<@Nullable LayerNorm> downNorms = new ArrayList<>();
        private final List<@Nullable Conv2d> downConvs = new ArrayList<>();
        private final List<List<ConvNextLayer>> stages = new ArrayList<>();
        private final LayerNorm norm;
        private final boolean normFirst;
        private final int channels;
        private final int width;

        Body(Weights w, ConvNextConfig c) {
            normFirst = c.normFirst();
            channels = c.numChannels();
            List<Integer> sizes = c.hiddenSizes();
            patches = w.sub("embeddings.patch_embeddings")
                    .patches(
                            channels,
                            sizes.get(0),
                            c.patchSize().height(),
                            c.patchSize().width(),
                            true);
            stemNorm = w.sub("embeddings.layernorm").layerNorm(sizes.get(0), EPS);
            int all = c.depths().stream().mapToInt(Integer::intValue).sum();
            for (int i = 0, done = 0; i < sizes.size(); i++) {
                Weights stage = w.sub("encoder.stages." + i);
                downNorms.add(i == 0 ? null : stage.sub("downsampling_layer.0").layerNorm(sizes.get(i - 1), EPS));
                downConvs.add(
                        i == 0
                                ? null
                                : stage.sub("downsampling_layer.1")
                                        .conv2d(sizes.get(i - 1), sizes.get(i), 2, Conv2d.Shape.of(2, 0), true));
                List<ConvNextLayer> layers = new ArrayList<>();
                for (int j = 0; j < c.depths().get(i); j++, done++) {
                    layers.add(new ConvNextLayer(
                            stage.sub("layers." + j),
                            c,
                            sizes.get(i),
                            all < 2 ? 0 : c.dropPathRate() * done / (all - 1)));
                }
                stages.add(layers);
            }
            width = sizes.get(sizes.size() - 1);
            norm = w.sub("layernorm").layerNorm(width, c.layerNormEps());
        }

        /** @return last stage, [B, D, H / 32, W / 32]; the trace receives the stem's and every stage's output */
        Tensor forward(Inputs in, Trace trace) {
            Tensor pixels = Vision.pixels(in, channels, patches.weight().tensor());
            Tensor x = trace.hidden(channelsFirst(stemNorm, patches.forward(pixels))); // [B, D0, H / 4, W / 4]
            for (int i = 0; i < stages.size(); i++) {
                LayerNorm downNorm = downNorms.get(i);
                Conv2d downConv = downConvs.get(i);
                if (downNorm != null && downConv != null) {
                    x = downConv.forward(channelsFirst(downNorm, x)); // halves both sides
                }
                for (ConvNextLayer layer : stages.get(i)) {
                    x = layer.forward(x);
                }
                trace.hidden(x);
            }
            return x;
        }

        /** @param x [B, D, H, W]; @return norm of the mean over all places, [B, D] */
        Tensor pool(Tensor x) {
            return normFirst ? channelsFirst(norm, x).mean(-2, -1) : norm.forward(x.mean(-2, -1));
        }

        int width() {
            return width;
        }

        BaseModelOutputWithPooling output(Inputs in) {
            Trace trace = in.trace();
            Tensor x = forward(in, trace);
            return new BaseModelOutputWithPooling(x, pool(x), trace.hiddenStates(), null);
        }
    }

    /** The Linear over the pooled features, and one before it where timm has one. */
    private static final class Head {
        private final @Nullable Linear representation;
        private final Activation activation;
        private final Linear classifier;

        Head(Weights w, ConfigJson config, int width) {
            int between = config.integer("representation_size", 0);
            representation = between == 0 ? null : w.sub("pre_logits.fc").linear(width, between);
            activation = Activation.of(config.text("hidden_act", "gelu"));
            classifier = w.head().sub("classifier").linear(between == 0 ? width : between, config.numLabels());
        }

        /** @param x [B, D]; @return [B, C] */
        Tensor forward(Tensor x) {
            return classifier.forward(representation == null ? x : representation.forward(x, activation));
        }
    }

    // === Models ===

    /** ConvNeXT without a head. */
    public static final class ConvNextModel extends PreTrainedModel<BaseModelOutputWithPooling> {
        private final Body convnext;

        ConvNextModel(Weights w, ConfigJson config) {
            super(w, config);
            convnext = new Body(w, ConvNextConfig.of(config, false));
        }

        @Override
        protected BaseModelOutputWithPooling compute(Inputs in) {
            return convnext.output(in);
        }
        /** From a folder or an id. */
        public static ConvNextModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ConvNextModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ConvNextModel.class, options);
        }
    }

    /** A Linear over the pooled features. */
    public static final class ConvNextForImageClassification extends PreTrainedModel<ImageClassifierOutput> {
        private final Body convnext;
        private final Head classifier;

        ConvNextForImageClassification(Weights w, ConfigJson config) {
            super(w, config);
            convnext = new Body(w.sub("convnext"), ConvNextConfig.of(config, false));
            classifier = new Head(w, config, convnext.width());
        }

        @Override
        protected ImageClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            return Vision.classified(
                    classifier.forward(convnext.pool(convnext.forward(in, trace))), in, config(), trace);
        }
        /** From a folder or an id. */
        public static ConvNextForImageClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ConvNextForImageClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ConvNextForImageClassification.class, options);
        }
    }

    /** ConvNeXT V2 without a head. */
    public static final class ConvNextV2Model extends PreTrainedModel<BaseModelOutputWithPooling> {
        private final Body convnextv2;

        ConvNextV2Model(Weights w, ConfigJson config) {
            super(w, config);
            convnextv2 = new Body(w, ConvNextConfig.of(config, true));
        }

        @Override
        protected BaseModelOutputWithPooling compute(Inputs in) {
            return convnextv2.output(in);
        }
        /** From a folder or an id. */
        public static ConvNextV2Model fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ConvNextV2Model fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ConvNextV2Model.class, options);
        }
    }

    /** A Linear over the pooled features. */
    public static final class ConvNextV2ForImageClassification extends PreTrainedModel<ImageClassifierOutput> {
        private final Body convnextv2;
        private final Head classifier;

        ConvNextV2ForImageClassification(Weights w, ConfigJson config) {
            super(w, config);
            convnextv2 = new Body(w.sub("convnextv2"), ConvNextConfig.of(config, true));
            classifier = new Head(w, config, convnextv2.width());
        }

        @Override
        protected ImageClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            return Vision.classified(
                    classifier.forward(convnextv2.pool(convnextv2.forward(in, trace))), in, config(), trace);
        }
        /** From a folder or an id. */
        public static ConvNextV2ForImageClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ConvNextV2ForImageClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ConvNextV2ForImageClassification.class, options);
        }
    }
}
