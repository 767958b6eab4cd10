package dev.headstart.models;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.Outputs.BaseModelOutputWithPooling;
import dev.headstart.models.Vision.Sides;
import dev.headstart.models.VisionLayers.PreNormLayer;
import dev.headstart.models.VisionLayers.SelfAttention;
import dev.headstart.models.VisionOutputs.ImageClassifierOutput;
import dev.headstart.models.VisionOutputs.MaskedImageModelingOutput;
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
 * ViT (Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words"): patches as tokens, a class token, learned positions, pre-norm layers. Reference:
 * transformers {@code modeling_vit.py}; timm's checkpoints load too ({@link TimmNames}). B batch, N patches, S = N + 1, D hidden size, h heads.
 */
public final class Vit {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("vit", "vit")
            .add("ViTModel", ViTModel::new)
            .add("ViTForImageClassification", ViTForImageClassification::new)
            .add("ViTForMaskedImageModeling", ViTForMaskedImageModeling::new);

    private Vit() {}

    /** ViTConfig and DeiTConfig: transformers' field names and defaults. */
    record ViTConfig(
            int hiddenSize,
            int numHiddenLayers,
            int numAttentionHeads,
            int intermediateSize,
            Activation hiddenAct,
            double hiddenDropoutProb,
            double attentionProbsDropoutProb,
            double initializerRange,
            double layerNormEps,
            Sides imageSize,
            Sides patchSize,
            int numChannels,
            boolean qkvBias,
            int poolerOutputSize,
            Activation poolerAct) {
        static ViTConfig of(ConfigJson c) {
            int hidden = c.size("hidden_size", 768);
            return new ViTConfig(
                    hidden,
                    c.size("num_hidden_layers", 12),
                    c.size("num_attention_heads", 12),
                    c.size("intermediate_size", 3072),
                    Activation.of(c.text("hidden_act", "gelu")),
                    c.number("hidden_dropout_prob", 0),
                    c.number("attention_probs_dropout_prob", 0),
                    c.number("initializer_range", 0.02),
                    c.number("layer_norm_eps", 1e-12),
                    Sides.of(c, "image_size", 224),
                    Sides.of(c, "patch_size", 16),
                    c.size("num_channels", 3),
                    c.flag("qkv_bias", true),
                    c.size("pooler_output_size", hidden),
                    Activation.of(c.text("pooler_act", "tanh")));
        }
    }

    // === Layers ===

    /** Patches, class token, a distillation token where the family has one, positions (transformers ViTEmbeddings, DeiTEmbeddings). */
    static final class Embeddings {
        private final Conv2d projection;
        private final Parameter cls;
        private final @Nullable Parameter distillation;
        private final @Nullable Parameter maskToken;
        private final Parameter positions;
        private final Dropout dropout;
        private final Sides imageSize;
        private final Sides patchSize;
        private final int channels;

        Embeddings(Weights w, ViTConfig c, boolean distilled, boolean useMaskToken) {
            Init init = new Init.TruncatedNormal(c.initializerRange());
            long d = c.hiddenSize();
            imageSize = c.imageSize();
            patchSize = c.patchSize();
            channels = c.numChannels();
            long patches = (long) (imageSize.height() / patchSize.height()) * (imageSize.width() / patchSize.width());
            cls = w.parameter("cls_token", init, 1, 1, d);
            distillation = distilled ? w.parameter("distillation_token", init, 1, 1, d) : null;
            maskToken = useMaskToken ? w.parameter("mask_token", Init.ZEROS, 1, 1, d) : null;
            positions = w.parameter("position_embeddings", init, 1, patches + (distilled ? 2 : 1), d);
            projection = w.sub("patch_embeddings.projection")
                    .patches(channels, d, patchSize.height(), patchSize.width(), true);
            dropout = w.dropout(c.hiddenDropoutProb());
        }

        /** @return [B, S, D] */
        Tensor forward(Inputs in) {
            Tensor pixels = Vision.pixels(in, channels, cls.tensor()); // [B, channels, H, W]
            boolean interpolate = in.kwarg("interpolate_pos_encoding", false);
            long b = pixels.size(0), height = pixels.size(2), width = pixels.size(3);
            if (!interpolate && (height != imageSize.height() || width != imageSize.width())) {
                throw new HeadstartException(
                        "pixel_values: images are " + height + " x " + width + ", the model takes " + imageSize.height()
                                + " x " + imageSize.width() + "; resize them, or pass interpolate_pos_encoding");
            }
            Tensor x = projection.forward(pixels).flatten(2, -1).transpose(1, 2); // [B, N, D]
            Tensor masked = in.optional("bool_masked_pos");
            if (masked != null) {
                if (maskToken == null) {
                    throw new HeadstartException(
                            "bool_masked_pos: this class has no mask token; use the ForMaskedImageModeling class");
                }
                x = Vision.mask(x, masked, maskToken.tensor());
            }
            long n = x.size(1), d = x.size(2);
            int special = distillation == null ? 1 : 2;
            x = distillation == null
                    ? Vision.concat(1, cls.tensor().expand(b, 1, d), x)
                    : Vision.concat(
                            1,
                            cls.tensor().expand(b, 1, d),
                            distillation.tensor().expand(b, 1, d),
                            x); // [B, S, D]
            Tensor place = positions.tensor(); // [1, S, D]
            if (interpolate && !(n == place.size(1) - special && height == width)) {
                place = Vision.positions(place, special, height / patchSize.height(), width / patchSize.width());
            }
            return dropout.forward(x.add(place)); // [B, S, D]
        }
    }

    /** One layer under the names that ViT and DeiT checkpoints have. */
    static PreNormLayer layer(Weights w, ViTConfig c) {
        long d = c.hiddenSize();
        Weights self = w.sub("attention.attention");
        SelfAttention attention = new SelfAttention(
                self.sub("query").linear(d, d, c.qkvBias()),
                self.sub("key").linear(d, d, c.qkvBias()),
                self.sub("value").linear(d, d, c.qkvBias()),
                w.sub("attention.output.dense").linear(d, d),
                c.numAttentionHeads(),
                w.dropout(c.attentionProbsDropoutProb()));
        return new PreNormLayer(
                w.sub("layernorm_before").layerNorm(d, c.layerNormEps()),
                attention,
                null,
                w.sub("layernorm_after").layerNorm(d, c.layerNormEps()),
                VisionLayers.mlp(
                        w.sub("intermediate.dense").linear(d, c.intermediateSize()),
                        c.hiddenAct(),
                        w.sub("output.dense").linear(c.intermediateSize(), d)),
                null,
                w.dropout(c.hiddenDropoutProb()),
                w.dropPath(0));
    }

    /** Embeddings, layers, final norm, pooler: what every class of ViT and DeiT shares. */
    static final class Body {
        private final Embeddings embeddings;
        private final List<PreNormLayer> layers = new ArrayList<>();
        private final LayerNorm norm;
        private final @Nullable Linear pooler;
        private final Activation poolerAct;

        /** @param poolerIfPresent whether a pooler is part of the class when the checkpoint has one */
        Body(Weights w, ViTConfig c, boolean distilled, boolean useMaskToken, boolean poolerIfPresent) {
            embeddings = new Embeddings(w.sub("embeddings"), c, distilled, useMaskToken);
            for (int i = 0; i < c.numHiddenLayers(); i++) {
                layers.add(layer(w.sub("encoder.layer." + i), c));
            }
            norm = w.sub("layernorm").layerNorm(c.hiddenSize(), c.layerNormEps());
            Weights p = w.sub("pooler.dense");
            pooler = poolerIfPresent && p.has("weight") ? p.linear(c.hiddenSize(), c.poolerOutputSize()) : null;
            poolerAct = c.poolerAct();
        }

        /** @return normalised last hidden state [B, S, D]; the trace receives embeddings and every layer's output */
        Tensor forward(Inputs in, Trace trace) {
            Tensor x = trace.hidden(embeddings.forward(in)); // [B, S, D]
            Tensor mask = Attention.additiveMask(in.optional("attention_mask"), Ops.type(x)); // [B, 1, 1, S]
            for (PreNormLayer layer : layers) {
                x = trace.hidden(layer.forward(x, mask, trace));
            }
            return norm.forward(x);
        }

        BaseModelOutputWithPooling output(Inputs in) {
            Trace trace = in.trace();
            Tensor x = forward(in, trace);
            Tensor pooled = pooler == null ? null : pooler.forward(x.select(1, 0), poolerAct); // [B, P]
            return new BaseModelOutputWithPooling(x, pooled, trace.hiddenStates(), trace.attentions());
        }
    }

    // === Models ===

    /** ViT without a head: every token's hidden state, and the pooled class token where the checkpoint has a pooler. */
    public static final class ViTModel extends PreTrainedModel<BaseModelOutputWithPooling> {
        private final Body vit;

        ViTModel(Weights w, ConfigJson config) {
            super(w, config);
            vit = new Body(w, ViTConfig.of(config), false, false, true);
        }

        @Override
        protected BaseModelOutputWithPooling compute(Inputs in) {
            return vit.output(in);
        }

        /** From a folder or an id. */
        public static ViTModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ViTModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ViTModel.class, options);
        }
    }

    /** A Linear over the class token. */
    public static final class ViTForImageClassification extends PreTrainedModel<ImageClassifierOutput> {
        private final Body vit;
        private final Linear classifier;

        ViTForImageClassification(Weights w, ConfigJson config) {
            super(w, config);
            ViTConfig c = ViTConfig.of(config);
            vit = new Body(w.sub("vit"), c, false, false, false);
            classifier = w.head().sub("classifier").linear(c.hiddenSize(), config.numLabels());
        }

        @Override
        protected ImageClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = vit.forward(in, trace); // [B, S, D]
            return Vision.classified(classifier.forward(x.select(1, 0)), in, config(), trace);
        }

        /** From a folder or an id. */
        public static ViTForImageClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ViTForImageClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ViTForImageClassification.class, options);
        }
    }

    /** Masked patches made again (SimMIM, Xie et al. 2022). */
    public static final class ViTForMaskedImageModeling extends PreTrainedModel<MaskedImageModelingOutput> {
        private final Body vit;
        private final Vision.Reconstruction decoder;

        ViTForMaskedImageModeling(Weights w, ConfigJson config) {
            super(w, config);
            ViTConfig c = ViTConfig.of(config);
            vit = new Body(w.sub("vit"), c, false, true, false);
            decoder = new Vision.Reconstruction(w.head(), c.hiddenSize(), config, 16, c.imageSize(), c.patchSize());
        }

        @Override
        protected MaskedImageModelingOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = vit.forward(in, trace); // [B, S, D]
            return decoder.forward(
                    x.narrow(1, 1, x.size(1) - 1), in.required("pixel_values"), in.optional("bool_masked_pos"), trace);
        }

        /** From a folder or an id. */
        public static ViTForMaskedImageModeling fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ViTForMaskedImageModeling fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ViTForMaskedImageModeling.class, options);
        }
    }
}
