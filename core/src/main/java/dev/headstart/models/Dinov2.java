package dev.headstart.models;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.Outputs.BaseModelOutputWithPooling;
import dev.headstart.models.Vision.Sides;
import dev.headstart.models.VisionLayers.FeedForward;
import dev.headstart.models.VisionLayers.PreNormLayer;
import dev.headstart.models.VisionLayers.SelfAttention;
import dev.headstart.models.VisionOutputs.ImageClassifierOutput;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Conv2d;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Init;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * DINOv2 (Oquab et al. 2023, "DINOv2: Learning Robust Visual Features without Supervision"): ViT with layer scale, positions that follow the image's
 * size, and SwiGLU in the giant model. Reference: transformers {@code modeling_dinov2.py}, {@code modeling_dinov2_with_registers.py}. B batch, N patches, S = N + 1 + R with R registers, D hidden size, h heads.
 */
public final class Dinov2 {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("dinov2", "dinov2")
            .add("Dinov2Model", Dinov2Model::new)
            .add("Dinov2ForImageClassification", Dinov2ForImageClassification::new);

    /** The same with register tokens (Darcet et al. 2024, "Vision Transformers Need Registers"). */
    static final Family REGISTERS_FAMILY = Family.of("dinov2_with_registers", "dinov2_with_registers")
            .add("Dinov2WithRegistersModel", Dinov2WithRegistersModel::new)
            .add("Dinov2WithRegistersForImageClassification", Dinov2WithRegistersForImageClassification::new);

    private Dinov2() {}

    private static boolean registers(ConfigJson c) {
        return c.modelType().equals("dinov2_with_registers");
    }

    /** Dinov2Config: transformers' field names and defaults. */
    record Dinov2Config(
            int hiddenSize,
            int numHiddenLayers,
            int numAttentionHeads,
            double mlpRatio,
            Activation hiddenAct,
            double hiddenDropoutProb,
            double attentionProbsDropoutProb,
            double initializerRange,
            double layerNormEps,
            Sides imageSize,
            Sides patchSize,
            int numChannels,
            boolean qkvBias,
            double layerscaleValue,
            double dropPathRate,
            boolean useSwigluFfn,
            boolean useMaskToken,
            int numRegisterTokens) {
        static Dinov2Config of(ConfigJson c) {
            boolean registers = registers(c);
            return new Dinov2Config(
                    c.size("hidden_size", 768),
                    c.size("num_hidden_layers", 12),
                    c.size("num_attention_heads", 12),
                    c.number("mlp_ratio", 4),
                    Activation.of(c.text("hidden_act", "gelu")),
                    c.number("hidden_dropout_prob", 0),
                    c.number("attention_probs_dropout_prob", 0),
                    c.number("initializer_range", 0.02),
                    c.number("layer_norm_eps", 1e-6),
                    Sides.of(c, "image_size", 224),
                    Sides.of(c, "patch_size", registers ? 16 : 14),
                    c.size("num_channels", 3),
                    c.flag("qkv_bias", true),
                    c.number("layerscale_value", 1),
                    c.number("drop_path_rate", 0),
                    c.flag("use_swiglu_ffn", false),
                    registers || c.flag("use_mask_token", true),
                    registers ? c.size("num_register_tokens", 4) : 0);
        }
    }

    // === Layers ===

    /** Patches, class token, positions resized to the image (transformers Dinov2Embeddings). */
    static final class Dinov2Embeddings {
        private final Parameter cls;
        private final @Nullable Parameter maskToken;
        private final Parameter positions;
        private final @Nullable Parameter registers;
        private final Conv2d projection;
        private final Dropout dropout;
        private final Dinov2Config c;

        Dinov2Embeddings(Weights w, Dinov2Config c) {
            this.c = c;
            Init init = new Init.TruncatedNormal(c.initializerRange());
            long d = c.hiddenSize();
            Sides image = c.imageSize(), patch = c.patchSize();
            cls = w.parameter("cls_token", init, 1, 1, d);
            maskToken = c.useMaskToken() ? w.parameter("mask_token", Init.ZEROS, 1, d) : null;
            positions = w.parameter(
                    "position_embeddings",
                    init,
                    1,
                    (long) (image.height() / patch.height()) * (image.width() / patch.width()) + 1,
                    d);
            registers = c.numRegisterTokens() == 0
                    ? null
                    : w.parameter("register_tokens", Init.ZEROS, 1, c.numRegisterTokens(), d);
            projection = w.sub("patch_embeddings.projection")
                    .patches(c.numChannels(), d, patch.height(), patch.width(), true);
            dropout = w.dropout(c.hiddenDropoutProb());
        }

        /** @return [B, S, D] */
        Tensor forward(Inputs in) {
            Tensor pixels = Vision.pixels(in, c.numChannels(), cls.tensor()); // [B, channels, H, W]
            long b = pixels.size(0), height = pixels.size(2), width = pixels.size(3);
            Tensor x = projection.forward(pixels).flatten(2, -1).transpose(1, 2); // [B, N, D]
            Tensor masked = in.optional("bool_masked_pos");
            if (masked != null) {
                if (maskToken == null) {
                    throw new HeadstartException(
                            "bool_masked_pos: config.json says use_mask_token false, so there is no mask token");
                }
                x = Vision.mask(x, masked, maskToken.tensor());
            }
            long n = x.size(1);
            Tensor place = positions.tensor(); // [1, S, D]
            if (!(n == place.size(1) - 1 && height == width)) {
                place = Vision.positions(
                        place,
                        1,
                        height / c.patchSize().height(),
                        width / c.patchSize().width(),
                        registers != null);
            }
            x = Vision.concat(1, cls.tensor().expand(b, 1, x.size(2)), x).add(place); // [B, 1 + N, D]
            if (registers != null) {
                x = Vision.concat(
                        1, x.narrow(1, 0, 1), registers.tensor().expand(b, -1, -1), x.narrow(1, 1, n)); // [B, S, D]
            }
            return dropout.forward(x);
        }
    }

    private static PreNormLayer layer(Weights w, Dinov2Config c) {
        long d = c.hiddenSize();
        Weights self = w.sub("attention.attention");
        Init scale = new Init.Constant(c.layerscaleValue());
        return new PreNormLayer(
                w.sub("norm1").layerNorm(d, c.layerNormEps()),
                new SelfAttention(
                        self.sub("query").linear(d, d, c.qkvBias()),
                        self.sub("key").linear(d, d, c.qkvBias()),
                        self.sub("value").linear(d, d, c.qkvBias()),
                        w.sub("attention.output.dense").linear(d, d),
                        c.numAttentionHeads(),
                        w.dropout(c.attentionProbsDropoutProb())),
                w.sub("layer_scale1").parameter("lambda1", scale, d),
                w.sub("norm2").layerNorm(d, c.layerNormEps()),
                feedForward(w.sub("mlp"), c),
                w.sub("layer_scale2").parameter("lambda1", scale, d),
                w.dropout(0),
                w.dropPath(c.dropPathRate()));
    }

    private static FeedForward feedForward(Weights w, Dinov2Config c) {
        long d = c.hiddenSize(), inner = (long) (c.hiddenSize() * c.mlpRatio());
        if (!c.useSwigluFfn()) {
            return VisionLayers.mlp(
                    w.sub("fc1").linear(d, inner), c.hiddenAct(), w.sub("fc2").linear(inner, d));
        }
        long third = ((long) (inner * 2 / 3.0) + 7) / 8 * 8; // two thirds, rounded up to a multiple of 8
        return VisionLayers.swiglu(
                w.sub("weights_in").linear(d, 2 * third), w.sub("weights_out").linear(third, d));
    }

    /** Embeddings, layers, final norm. */
    static final class Body {
        private final Dinov2Embeddings embeddings;
        private final List<PreNormLayer> layers = new ArrayList<>();
        private final LayerNorm norm;

        Body(Weights w, Dinov2Config c) {
            embeddings = new Dinov2Embeddings(w.sub("embeddings"), c);
            for (int i = 0; i < c.numHiddenLayers(); i++) {
                layers.add(layer(w.sub("encoder.layer." + i), c));
            }
            norm = w.sub("layernorm").layerNorm(c.hiddenSize(), c.layerNormEps());
        }

        /** @return normalised last hidden state [B, S, D]; the trace receives embeddings and every layer's output */
        Tensor forward(Inputs in, Trace trace) {
            Tensor x = trace.hidden(embeddings.forward(in)); // [B, S, D]
            Tensor mask = Attention.additiveMask(in.optional("attention_mask"), Ops.type(x)); // [B, 1, 1, S]
            return norm.forward(trace.through(layers, x, (layer, y) -> layer.forward(y, mask, trace)));
        }
    }

    // === Models ===

    /** DINOv2 without a head; the pooled output is the normalised class token. */
    public static class Dinov2Model extends PreTrainedModel<BaseModelOutputWithPooling> {
        private final Body dinov2;

        Dinov2Model(Weights w, ConfigJson config) {
            super(w, config);
            dinov2 = new Body(w, Dinov2Config.of(config));
        }

        @Override
        protected BaseModelOutputWithPooling compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = dinov2.forward(in, trace); // [B, S, D]
            return new BaseModelOutputWithPooling(
                    x, x.select(1, 0).contiguous(), trace.hiddenStates(), trace.attentions());
        }
        /** From a folder or an id. */
        public static Dinov2Model fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Dinov2Model fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Dinov2Model.class, options);
        }
    }

    /** A Linear over the class token and the mean of the patches, side by side. */
    public static class Dinov2ForImageClassification extends PreTrainedModel<ImageClassifierOutput> {
        private final Body dinov2;
        private final int special;
        private final Linear classifier;

        Dinov2ForImageClassification(Weights w, ConfigJson config) {
            super(w, config);
            Dinov2Config c = Dinov2Config.of(config);
            dinov2 = new Body(w.sub(registers(config) ? "dinov2_with_registers" : "dinov2"), c);
            special = 1 + c.numRegisterTokens();
            classifier = w.head().sub("classifier").linear(2L * c.hiddenSize(), config.numLabels());
        }

        @Override
        protected ImageClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = dinov2.forward(in, trace); // [B, S, D]
            Tensor features = Vision.concat(
                    1, x.select(1, 0), x.narrow(1, special, x.size(1) - special).mean(1)); // [B, 2 D]
            return Vision.classified(classifier.forward(features), in, config(), trace);
        }
        /** From a folder or an id. */
        public static Dinov2ForImageClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Dinov2ForImageClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Dinov2ForImageClassification.class, options);
        }
    }

    /** DINOv2 with registers, without a head. */
    public static final class Dinov2WithRegistersModel extends Dinov2Model {
        Dinov2WithRegistersModel(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static Dinov2WithRegistersModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Dinov2WithRegistersModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Dinov2WithRegistersModel.class, options);
        }
    }

    /** DINOv2 with registers and a Linear over the class token and the mean of the patches. */
    public static final class Dinov2WithRegistersForImageClassification extends Dinov2ForImageClassification {
        Dinov2WithRegistersForImageClassification(Weights w, ConfigJson config) {
            super(w, config);
        }

        /** From a folder or an id. */
        public static Dinov2WithRegistersForImageClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static Dinov2WithRegistersForImageClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, Dinov2WithRegistersForImageClassification.class, options);
        }
    }
}
