package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.argmax;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.Outputs.BaseModelOutputWithPooling;
import dev.headstart.models.VisionLayers.PreNormLayer;
import dev.headstart.models.VisionLayers.SelfAttention;
import dev.headstart.models.VisionOutputs.ImageClassifierOutput;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Conv2d;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.Init;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * CLIP (Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision"): an image and a text tower whose embeddings of one
 * thing lie close together. Reference: transformers {@code modeling_clip.py}. B images, T texts, S tokens, D hidden size, P projection size, h heads.
 */
public final class Clip {
    /** The classes of both towers. */
    static final Family FAMILY = Family.of("clip", "clip")
            .add("CLIPModel", CLIPModel::new)
            .add("CLIPForImageClassification", CLIPForImageClassification::new)
            .add("CLIPVisionModel", CLIPVisionModel::new)
            .add("CLIPVisionModelWithProjection", CLIPVisionModelWithProjection::new)
            .add("CLIPTextModel", CLIPTextModel::new)
            .add("CLIPTextModelWithProjection", CLIPTextModelWithProjection::new);

    /** The image tower by itself. */
    static final Family VISION_FAMILY = Family.of("clip_vision_model", "")
            .add("CLIPVisionModel", CLIPVisionModel::new)
            .add("CLIPVisionModelWithProjection", CLIPVisionModelWithProjection::new);

    /** The text tower by itself. */
    static final Family TEXT_FAMILY = Family.of("clip_text_model", "")
            .add("CLIPTextModel", CLIPTextModel::new)
            .add("CLIPTextModelWithProjection", CLIPTextModelWithProjection::new);

    private Clip() {}

    /** What both towers' configurations share (transformers CLIPTextConfig, CLIPVisionConfig). */
    record Tower(
            int hiddenSize,
            int intermediateSize,
            int numHiddenLayers,
            int numAttentionHeads,
            Activation hiddenAct,
            double layerNormEps,
            double attentionDropout) {
        static Tower of(ConfigJson c, boolean text) {
            return new Tower(
                    c.size("hidden_size", text ? 512 : 768),
                    c.size("intermediate_size", text ? 2048 : 3072),
                    c.size("num_hidden_layers", 12),
                    c.size("num_attention_heads", text ? 8 : 12),
                    Activation.of(c.text("hidden_act", "quick_gelu")),
                    c.number("layer_norm_eps", 1e-5),
                    c.number("attention_dropout", 0));
        }
    }

    /** A tower's own configuration, whether config.json is the tower's or the whole model's. */
    private static ConfigJson tower(ConfigJson c, String field) {
        if (c.has(field + "_dict")) { // of the first checkpoints; it wins
            ConfigJson merged = c.sub(field);
            merged.node().setAll(c.sub(field + "_dict").node());
            return merged;
        }
        return c.has(field) ? c.sub(field) : c;
    }

    /** A tower by itself: transformers 4 saved it below its name in the whole model, transformers 5 without. */
    private static Weights bare(Weights w, String name, String probe) {
        return w.has(name + "." + probe) ? w.sub(name) : w;
    }

    // === Layers ===

    private static PreNormLayer layer(Weights w, Tower c) {
        long d = c.hiddenSize();
        Weights self = w.sub("self_attn");
        SelfAttention attention = new SelfAttention(
                self.sub("q_proj").linear(d, d),
                self.sub("k_proj").linear(d, d),
                self.sub("v_proj").linear(d, d),
                self.sub("out_proj").linear(d, d),
                c.numAttentionHeads(),
                w.dropout(c.attentionDropout()));
        return new PreNormLayer(
                w.sub("layer_norm1").layerNorm(d, c.layerNormEps()),
                attention,
                null,
                w.sub("layer_norm2").layerNorm(d, c.layerNormEps()),
                VisionLayers.mlp(
                        w.sub("mlp.fc1").linear(d, c.intermediateSize()),
                        c.hiddenAct(),
                        w.sub("mlp.fc2").linear(c.intermediateSize(), d)),
                null,
                w.dropout(0),
                w.dropPath(0));
    }

    private static List<PreNormLayer> layers(Weights w, Tower c) {
        List<PreNormLayer> layers = new ArrayList<>();
        for (int i = 0; i < c.numHiddenLayers(); i++) {
            layers.add(layer(w.sub("encoder.layers." + i), c));
        }
        return layers;
    }

    private static Tensor run(List<PreNormLayer> layers, Tensor x, @Nullable Tensor mask, Trace trace) {
        return trace.through(layers, trace.hidden(x), (layer, y) -> layer.forward(y, mask, trace));
    }

    /** A tower's result. @param last [B, S, D]; @param pooled [B, D] */
    private record Encoded(Tensor last, Tensor pooled, Trace trace) {
        BaseModelOutputWithPooling output(Tensor pooledOutput) {
            return new BaseModelOutputWithPooling(last, pooledOutput, trace.hiddenStates(), trace.attentions());
        }
    }

    /** The image tower (transformers CLIPVisionModel). */
    static final class VisionTower {
        private final Parameter cls;
        private final Conv2d patches;
        private final Embedding positions;
        private final LayerNorm before;
        private final List<PreNormLayer> layers;
        private final LayerNorm after;
        private final int channels;
        private final int imageSize;
        private final int patchSize;
        private final int width;

        VisionTower(Weights w, ConfigJson json) {
            Tower c = Tower.of(json, false);
            width = c.hiddenSize();
            channels = json.size("num_channels", 3);
            imageSize = json.size("image_size", 224);
            patchSize = json.size("patch_size", 32);
            long side = imageSize / patchSize;
            cls = w.parameter("embeddings.class_embedding", new Init.Normal(1 / Math.sqrt(width)), width);
            patches = w.sub("embeddings.patch_embedding").patches(channels, width, patchSize, patchSize, false);
            positions = w.sub("embeddings.position_embedding").embedding(side * side + 1, width);
            before = w.sub("pre_layrnorm").layerNorm(width, c.layerNormEps()); // sic
            layers = layers(w, c);
            after = w.sub("post_layernorm").layerNorm(width, c.layerNormEps());
        }

        Encoded forward(Inputs in) {
            Trace trace = in.trace();
            Tensor pixels = Vision.pixels(in, channels, cls.tensor()); // [B, channels, H, W]
            boolean interpolate = in.kwarg("interpolate_pos_encoding", false);
            long b = pixels.size(0), height = pixels.size(2), w = pixels.size(3);
            if (!interpolate && (height != imageSize || w != imageSize)) {
                throw new HeadstartException("pixel_values: images are " + height + " x " + w + ", the model takes "
                        + imageSize + " x " + imageSize + "; resize them, or pass interpolate_pos_encoding");
            }
            Tensor x = patches.forward(pixels).flatten(2, -1).transpose(1, 2); // [B, N, D]
            long places = positions.weight().size(0);
            // looked up, so that its gradient shares no memory with the class embedding's
            Tensor place = interpolate && !(x.size(1) == places - 1 && height == w)
                    ? Vision.positions(positions.weight().tensor().unsqueeze(0), 1, height / patchSize, w / patchSize)
                    : positions.forward(Places.upTo(places, x)).unsqueeze(0); // [1, S, D]
            x = Vision.concat(1, cls.tensor().view(1, 1, -1).expand(b, 1, width), x)
                    .add(place); // [B, S, D]
            x = run(layers, before.forward(x), null, trace);
            return new Encoded(x, after.forward(x.select(1, 0)), trace);
        }
    }

    /** The text tower: causal, pooled at the end-of-text token (transformers CLIPTextModel). */
    static final class TextTower {
        private final Embedding tokens;
        private final Embedding positions;
        private final List<PreNormLayer> layers;
        private final LayerNorm norm;
        private final int vocabSize;
        private final int maxPositions;
        private final int eos;
        private final int width;

        TextTower(Weights w, ConfigJson json) {
            Tower c = Tower.of(json, true);
            width = c.hiddenSize();
            vocabSize = json.size("vocab_size", 49408);
            maxPositions = json.size("max_position_embeddings", 77);
            eos = json.integer("eos_token_id", 49407);
            tokens = w.sub("embeddings.token_embedding").embedding(vocabSize, width);
            positions = w.sub("embeddings.position_embedding").embedding(maxPositions, width);
            layers = layers(w, c);
            norm = w.sub("final_layer_norm").layerNorm(width, c.layerNormEps());
        }

        Encoded forward(Inputs in) {
            Trace trace = in.trace();
            Tensor ids = Checks.ids(in.required("input_ids"), "input_ids", vocabSize);
            ids = ids.view(-1, ids.size(-1)); // [T, S]
            long t = ids.size(0), s = Checks.length(ids.size(1), maxPositions);
            Tensor given = in.optional("position_ids");
            Tensor place = given == null
                    ? positions.weight().tensor().narrow(0, 0, s)
                    : positions.forward(Checks.ids(given, "position_ids", maxPositions));
            Tensor x = tokens.forward(ids).add(place); // [T, S, D]
            Tensor padding = in.optional("attention_mask");
            Tensor allowed = org.bytedeco
                    .pytorch
                    .global
                    .torch
                    .ones(s, s)
                    .tril()
                    .to(x.device(), ScalarType.Long)
                    .unsqueeze(0); // [1, S, S]
            Tensor seen = padding == null
                    ? allowed.expand(t, s, s)
                    : allowed.mul(padding.to(ScalarType.Long).unsqueeze(1)); // [T, S, S]
            x = norm.forward(run(layers, x, Attention.additiveMask(seen, Ops.type(x)), trace)); // [T, S, D]
            // transformers: an eos_token_id of 2 is that of configurations made before it was right; then the highest
            // id is the end
            Tensor scores = eos == 2 ? ids : ids.eq(new Scalar(eos)).to(ScalarType.Long);
            Tensor end = argmax(scores.to(ScalarType.Int), new LongOptional(1), false); // [T], the first of several
            Tensor pooled =
                    x.gather(1, end.view(t, 1, 1).expand(t, 1, x.size(2))).squeeze(1); // [T, D]
            return new Encoded(x, pooled, trace);
        }
    }

    // === Models ===

    /**
     * How well images and texts fit.
     *
     * @param loss scalar; null unless {@code return_loss} is given
     * @param logitsPerImage [B, T]
     * @param logitsPerText [T, B]
     * @param textEmbeds normalised, [T, P]
     * @param imageEmbeds normalised, [B, P]
     * @param textModelOutput the text tower's; its pooled output is projected, [T, P]
     * @param visionModelOutput the image tower's; its pooled output is projected, [B, P]
     */
    public record CLIPOutput(
            @Nullable Tensor loss,
            Tensor logitsPerImage,
            Tensor logitsPerText,
            Tensor textEmbeds,
            Tensor imageEmbeds,
            BaseModelOutputWithPooling textModelOutput,
            BaseModelOutputWithPooling visionModelOutput)
            implements ModelOutput {}

    /** Both towers. */
    public static final class CLIPModel extends PreTrainedModel<CLIPOutput> {
        private final TextTower text;
        private final VisionTower vision;
        private final Linear textProjection;
        private final Linear visualProjection;
        private final Parameter logitScale;

        CLIPModel(Weights w, ConfigJson config) {
            super(w, config);
            text = new TextTower(w.sub("text_model"), tower(config, "text_config"));
            vision = new VisionTower(w.sub("vision_model"), tower(config, "vision_config"));
            long p = config.size("projection_dim", 512);
            visualProjection = w.sub("visual_projection").linear(vision.width, p, false);
            textProjection = w.sub("text_projection").linear(text.width, p, false);
            logitScale = w.parameter("logit_scale", new Init.Constant(config.number("logit_scale_init_value", 2.6592)));
        }

        @Override
        protected CLIPOutput compute(Inputs in) {
            Encoded images = vision.forward(in), texts = text.forward(in);
            Tensor image = visualProjection.forward(images.pooled()); // [B, P]
            Tensor words = textProjection.forward(texts.pooled()); // [T, P]
            Tensor imageEmbeds = normalised(image), textEmbeds = normalised(words);
            Tensor perText = textEmbeds
                    .matmul(imageEmbeds.transpose(0, 1))
                    .mul(logitScale.tensor().exp()); // [T, B]
            Tensor loss = in.kwarg("return_loss", false) ? contrastive(perText) : null;
            return new CLIPOutput(
                    loss,
                    perText.transpose(0, 1).contiguous(),
                    perText,
                    textEmbeds,
                    imageEmbeds,
                    texts.output(words),
                    images.output(image));
        }

        /** Projected embeddings of images, not normalised: transformers' {@code get_image_features}. */
        public BaseModelOutputWithPooling imageFeatures(Inputs in) {
            return call(in.gradients(), () -> {
                Encoded images = vision.forward(place(in));
                return images.output(visualProjection.forward(images.pooled()));
            });
        }

        /** Projected embeddings of texts, not normalised: transformers' {@code get_text_features}. */
        public BaseModelOutputWithPooling textFeatures(Inputs in) {
            return call(in.gradients(), () -> {
                Encoded texts = text.forward(place(in));
                return texts.output(textProjection.forward(texts.pooled()));
            });
        }

        /** The factor of the cosine similarity: exp(logit_scale). */
        public double logitScale() {
            return Math.exp(logitScale.tensor().item_double());
        }

        private static Tensor normalised(Tensor x) {
            return x.div(x.square()
                    .sum(new long[] {-1}, true, new org.bytedeco.pytorch.ScalarTypeOptional())
                    .sqrt());
        }

        private static Tensor contrastive(Tensor similarity) {
            Tensor diagonal = Places.upTo(similarity.size(0), similarity);
            return Losses.crossEntropy(similarity, diagonal)
                    .add(Losses.crossEntropy(similarity.transpose(0, 1), diagonal))
                    .div(new Scalar(2.0));
        }
        /** From a folder or an id. */
        public static CLIPModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static CLIPModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, CLIPModel.class, options);
        }
    }

    /** The image tower without projection. */
    public static final class CLIPVisionModel extends PreTrainedModel<BaseModelOutputWithPooling> {
        private final VisionTower vision;

        CLIPVisionModel(Weights w, ConfigJson config) {
            super(w, config);
            vision = new VisionTower(
                    bare(w, "vision_model", "embeddings.class_embedding"), tower(config, "vision_config"));
        }

        @Override
        protected BaseModelOutputWithPooling compute(Inputs in) {
            Encoded images = vision.forward(in);
            return images.output(images.pooled());
        }
        /** From a folder or an id. */
        public static CLIPVisionModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static CLIPVisionModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, CLIPVisionModel.class, options);
        }
    }

    /** The text tower without projection. */
    public static final class CLIPTextModel extends PreTrainedModel<BaseModelOutputWithPooling> {
        private final TextTower text;

        CLIPTextModel(Weights w, ConfigJson config) {
            super(w, config);
            text = new TextTower(
                    bare(w, "text_model", "embeddings.token_embedding.weight"), tower(config, "text_config"));
        }

        @Override
        protected BaseModelOutputWithPooling compute(Inputs in) {
            Encoded texts = text.forward(in);
            return texts.output(texts.pooled());
        }
        /** From a folder or an id. */
        public static CLIPTextModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static CLIPTextModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, CLIPTextModel.class, options);
        }
    }

    /**
     * Projected images.
     *
     * @param imageEmbeds [B, P], not normalised
     * @param lastHiddenState [B, S, D]
     * @param hiddenStates every layer's, each [B, S, D]; null unless asked for
     * @param attentions every layer's, each [B, h, S, S]; null unless asked for
     */
    public record CLIPVisionModelOutput(
            Tensor imageEmbeds,
            Tensor lastHiddenState,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /** The image tower with projection. */
    public static final class CLIPVisionModelWithProjection extends PreTrainedModel<CLIPVisionModelOutput> {
        private final VisionTower vision;
        private final Linear projection;

        CLIPVisionModelWithProjection(Weights w, ConfigJson config) {
            super(w, config);
            ConfigJson c = tower(config, "vision_config");
            vision = new VisionTower(w.sub("vision_model"), c);
            projection = w.sub("visual_projection").linear(vision.width, config.size("projection_dim", 512), false);
        }

        @Override
        protected CLIPVisionModelOutput compute(Inputs in) {
            Encoded images = vision.forward(in);
            return new CLIPVisionModelOutput(
                    projection.forward(images.pooled()),
                    images.last(),
                    images.trace().hiddenStates(),
                    images.trace().attentions());
        }
        /** From a folder or an id. */
        public static CLIPVisionModelWithProjection fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static CLIPVisionModelWithProjection fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, CLIPVisionModelWithProjection.class, options);
        }
    }

    /**
     * Projected texts.
     *
     * @param textEmbeds [T, P], not normalised
     * @param lastHiddenState [T, S, D]
     * @param hiddenStates every layer's, each [T, S, D]; null unless asked for
     * @param attentions every layer's, each [T, h, S, S]; null unless asked for
     */
    public record CLIPTextModelOutput(
            Tensor textEmbeds,
            Tensor lastHiddenState,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /** The text tower with projection. */
    public static final class CLIPTextModelWithProjection extends PreTrainedModel<CLIPTextModelOutput> {
        private final TextTower text;
        private final Linear projection;

        CLIPTextModelWithProjection(Weights w, ConfigJson config) {
            super(w, config);
            text = new TextTower(w.sub("text_model"), tower(config, "text_config"));
            projection = w.sub("text_projection").linear(text.width, config.size("projection_dim", 512), false);
        }

        @Override
        protected CLIPTextModelOutput compute(Inputs in) {
            Encoded texts = text.forward(in);
            return new CLIPTextModelOutput(
                    projection.forward(texts.pooled()),
                    texts.last(),
                    texts.trace().hiddenStates(),
                    texts.trace().attentions());
        }
        /** From a folder or an id. */
        public static CLIPTextModelWithProjection fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static CLIPTextModelWithProjection fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, CLIPTextModelWithProjection.class, options);
        }
    }

    /** A Linear over the mean of the image tower's patches. */
    public static final class CLIPForImageClassification extends PreTrainedModel<ImageClassifierOutput> {
        private final VisionTower vision;
        private final Linear classifier;

        CLIPForImageClassification(Weights w, ConfigJson config) {
            super(w, config);
            vision = new VisionTower(w.sub("vision_model"), tower(config, "vision_config"));
            classifier = w.head().sub("classifier").linear(vision.width, config.numLabels());
        }

        @Override
        protected ImageClassifierOutput compute(Inputs in) {
            Encoded images = vision.forward(in);
            Tensor x = images.last().narrow(1, 1, images.last().size(1) - 1).mean(1); // [B, D]
            return Vision.classified(classifier.forward(x), in, config(), images.trace());
        }
        /** From a folder or an id. */
        public static CLIPForImageClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static CLIPForImageClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, CLIPForImageClassification.class, options);
        }
    }
}
