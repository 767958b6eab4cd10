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
 * transformers {@code modeling_vit.py}. timm's checkpoints load too ({@link TimmNames}); what transformers' configuration cannot say of them is in the
 * fields of {@link Variant}. B batch, N patches, S = N + 1, D hidden size, h heads.
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
            Activation poolerAct,
            Variant variant) {
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
                    Activation.of(c.text("pooler_act", "tanh")),
                    Variant.of(c));
        }
    }

    /**
     * Fields of ours for timm's models.
     *
     * @param classToken {@code class_token}: whether there is one
     * @param registers {@code num_register_tokens}: more tokens behind it (Darcet et al. 2024)
     * @param placed {@code embed_class}: whether those tokens have positions too
     * @param patchBias {@code patch_bias}
     * @param preNorm {@code pre_norm}: a norm before the layers, as CLIP has
     * @param layerScale {@code layer_scale} (Touvron et al. 2021)
     * @param swiglu {@code swiglu}: SwiGLU in place of the two Linears
     * @param pool {@code global_pool}: token, avg, or distilled (the mean of two tokens): what the pooled output and the classifier take; empty as
     *     transformers does
     * @param poolNorm {@code fc_norm}: the last norm comes after pooling
     * @param representation {@code representation_size}: a Linear and tanh before the classifier; 0 for none
     */
    record Variant(
            boolean classToken,
            int registers,
            boolean placed,
            boolean patchBias,
            boolean preNorm,
            boolean layerScale,
            boolean swiglu,
            String pool,
            boolean poolNorm,
            int representation) {
        static Variant of(ConfigJson c) {
            return new Variant(
                    c.flag("class_token", true),
                    c.integer("num_register_tokens", 0),
                    c.flag("embed_class", true),
                    c.flag("patch_bias", true),
                    c.flag("pre_norm", false),
                    c.flag("layer_scale", false),
                    c.flag("swiglu", false),
                    c.text("global_pool", ""),
                    c.flag("fc_norm", false),
                    c.integer("representation_size", 0));
        }
    }

    // === Layers ===

    /** Patches, class token, a distillation token where the family has one, positions (transformers ViTEmbeddings, DeiTEmbeddings). */
    static final class Embeddings {
        private final Conv2d projection;
        private final List<Parameter> special =
                new ArrayList<>(); // class, distillation, register tokens, each [1, n, D]
        private final int tokens;
        private final boolean placed;
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
            Variant v = c.variant();
            if (v.classToken()) {
                special.add(w.parameter("cls_token", init, 1, 1, d));
            }
            if (distilled) {
                special.add(w.parameter("distillation_token", init, 1, 1, d));
            }
            if (v.registers() > 0) {
                special.add(w.parameter("register_tokens", init, 1, v.registers(), d));
            }
            tokens = (v.classToken() ? 1 : 0) + (distilled ? 1 : 0) + v.registers();
            placed = v.placed();
            maskToken = useMaskToken ? w.parameter("mask_token", Init.ZEROS, 1, 1, d) : null;
            positions = w.parameter("position_embeddings", init, 1, patches + (placed ? tokens : 0), d);
            projection = w.sub("patch_embeddings.projection")
                    .patches(channels, d, patchSize.height(), patchSize.width(), v.patchBias());
            dropout = w.dropout(c.hiddenDropoutProb());
        }

        /** @return [B, S, D] */
        Tensor forward(Inputs in) {
            Tensor pixels = Vision.pixels(in, channels, positions.tensor()); // [B, channels, H, W]
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
            Tensor place = positions.tensor(); // [1, S, D]
            int before = placed ? tokens : 0;
            if (interpolate && !(x.size(1) == place.size(1) - before && height == width)) {
                place = Vision.positions(place, before, height / patchSize.height(), width / patchSize.width());
            }
            x = placed ? behind(x).add(place) : behind(x.add(place)); // [B, S, D]
            return dropout.forward(x);
        }

        /** The special tokens, then the patches. @param x [B, N, D]; @return [B, S, D] */
        private Tensor behind(Tensor x) {
            if (special.isEmpty()) {
                return x;
            }
            Tensor[] parts = new Tensor[special.size() + 1];
            for (int i = 0; i < special.size(); i++) {
                parts[i] = special.get(i).tensor().expand(x.size(0), -1, -1);
            }
            parts[special.size()] = x;
            return Vision.concat(1, parts);
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
        boolean scaled = c.variant().layerScale();
        Init scale = new Init.Constant(1e-5);
        Linear up = w.sub("intermediate.dense").linear(d, (c.variant().swiglu() ? 2L : 1L) * c.intermediateSize());
        Linear down = w.sub("output.dense").linear(c.intermediateSize(), d);
        return new PreNormLayer(
                w.sub("layernorm_before").layerNorm(d, c.layerNormEps()),
                attention,
                scaled ? w.sub("layer_scale1").parameter("lambda1", scale, d) : null,
                w.sub("layernorm_after").layerNorm(d, c.layerNormEps()),
                c.variant().swiglu() ? VisionLayers.swiglu(up, down) : VisionLayers.mlp(up, c.hiddenAct(), down),
                scaled ? w.sub("layer_scale2").parameter("lambda1", scale, d) : null,
                w.dropout(c.hiddenDropoutProb()),
                w.dropPath(0));
    }

    /** Embeddings, layers, final norm, pooler: what every class of ViT and DeiT shares. */
    static final class Body {
        private final Embeddings embeddings;
        private final List<PreNormLayer> layers = new ArrayList<>();
        private final @Nullable LayerNorm preNorm;
        private final LayerNorm norm;
        private final @Nullable Linear pooler;
        private final Activation poolerAct;
        private final Variant variant;

        /** @param poolerIfPresent whether a pooler is part of the class when the checkpoint has one */
        Body(Weights w, ViTConfig c, boolean distilled, boolean useMaskToken, boolean poolerIfPresent) {
            variant = c.variant();
            embeddings = new Embeddings(w.sub("embeddings"), c, distilled, useMaskToken);
            preNorm = variant.preNorm() ? w.sub("pre_layernorm").layerNorm(c.hiddenSize(), c.layerNormEps()) : null;
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
            return forward(in, trace, Long.MAX_VALUE);
        }

        /** As {@link #forward(Inputs, Trace)} for a head that reads the first tokens alone. @return [B, first or S, D] */
        Tensor forward(Inputs in, Trace trace, long first) {
            Tensor embedded = embeddings.forward(in); // [B, S, D]
            Tensor x = trace.hidden(preNorm == null ? embedded : preNorm.forward(embedded));
            Tensor mask = Attention.additiveMask(in.optional("attention_mask"), Ops.type(x)); // [B, 1, 1, S]
            Tensor last = trace.through(
                    layers, x, first, (layer, y, positions) -> layer.forward(y, mask, trace, positions)); // [B, S, D]
            return variant.poolNorm() ? last : norm.forward(last);
        }

        /** What a classifier takes. @return [B, D] */
        Tensor pooled(Inputs in, Trace trace) {
            long read = switch (variant.pool()) {
                case "avg" -> Long.MAX_VALUE;
                case "distilled" -> 2;
                default -> 1;
            };
            return pool(forward(in, trace, read));
        }

        /** The same of what is there. @param x last hidden state [B, S, D], or as much of it as is read; @return [B, D] */
        Tensor pool(Tensor x) {
            long special = embeddings.tokens;
            Tensor pooled = switch (variant.pool()) {
                case "avg" -> x.narrow(1, special, x.size(1) - special).mean(1);
                case "distilled" -> x.narrow(1, 0, 2).mean(1);
                default -> x.select(1, 0);
            };
            return variant.poolNorm() ? norm.forward(pooled) : pooled;
        }

        BaseModelOutputWithPooling output(Inputs in) {
            Trace trace = in.trace();
            Tensor x = forward(in, trace);
            Tensor pooled = pooler != null
                    ? pooler.forward(x.select(1, 0), poolerAct) // [B, P]
                    : variant.pool().isEmpty() ? null : pool(x).contiguous(); // [B, D]
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
        private final @Nullable Linear representation;
        private final Linear classifier;

        ViTForImageClassification(Weights w, ConfigJson config) {
            super(w, config);
            ViTConfig c = ViTConfig.of(config);
            vit = new Body(w.sub("vit"), c, false, false, false);
            int between = c.variant().representation();
            representation = between == 0 ? null : w.sub("pre_logits.fc").linear(c.hiddenSize(), between);
            classifier = w.head().sub("classifier").linear(between == 0 ? c.hiddenSize() : between, config.numLabels());
        }

        @Override
        protected ImageClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = vit.pooled(in, trace); // [B, D]
            x = representation == null ? x : representation.forward(x, Activation.TANH);
            return Vision.classified(classifier.forward(x), in, config(), trace);
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
