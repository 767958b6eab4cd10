package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.upsample_nearest2d;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.io.TensorSource;
import dev.headstart.models.Detection.LossConfig;
import dev.headstart.models.Detection.LossDict;
import dev.headstart.models.Detection.Target;
import dev.headstart.models.ResNet.ResNetConfig;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Conv2d;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * DETR (Carion et al. 2020, "End-to-End Object Detection with Transformers"): a ResNet whose batch normalization is frozen, an encoder over its last
 * stage, a decoder over learned queries, each of which says a class and a box. Reference: transformers {@code modeling_detr.py}; backbones under timm's
 * names load too. B batch, S places of the last stage, Q queries, D model size, C classes.
 */
public final class Detr {
    private static final String BACKBONE = "model.backbone.conv_encoder.model.";

    /** The classes of this family. */
    static final Family FAMILY = Family.of("detr", "model")
            .add("DetrModel", DetrModel::new)
            .add("DetrForObjectDetection", DetrForObjectDetection::new)
            .adapting(Detr::adapt);

    private Detr() {}

    /** A backbone under timm's names becomes transformers' ResNet. */
    private static TensorSource adapt(TensorSource source, ConfigJson config) {
        String prefix = source.names().stream().anyMatch(n -> n.startsWith(BACKBONE))
                ? BACKBONE
                : BACKBONE.substring("model.".length());
        if (!source.names().contains(prefix + "layer1.0.conv1.weight")) {
            return source;
        }
        ConfigJson backbone = new ConfigJson(
                com.fasterxml.jackson.databind.node.JsonNodeFactory.instance.objectNode(), config.origin());
        TensorSource renamed = TorchResNetNames.adapt(source, backbone, prefix);
        config.node().set("backbone_config", backbone.node());
        config.node().put("use_timm_backbone", false);
        config.node().remove("backbone");
        return renamed;
    }

    /** DetrConfig: transformers' field names and defaults. */
    record DetrConfig(
            int numQueries,
            int encoderLayers,
            int encoderFfnDim,
            int encoderAttentionHeads,
            int decoderLayers,
            int decoderFfnDim,
            int decoderAttentionHeads,
            Activation activationFunction,
            int dModel,
            double dropout,
            double attentionDropout,
            double activationDropout,
            boolean auxiliaryLoss) {
        static DetrConfig of(ConfigJson c) {
            if (!c.text("position_embedding_type", "sine").equals("sine")) {
                throw new HeadstartException(c.origin() + ": position_embedding_type must be sine, found "
                        + c.text("position_embedding_type", ""));
            }
            return new DetrConfig(
                    c.size("num_queries", 100),
                    c.size("encoder_layers", 6),
                    c.size("encoder_ffn_dim", 2048),
                    c.size("encoder_attention_heads", 8),
                    c.size("decoder_layers", 6),
                    c.size("decoder_ffn_dim", 2048),
                    c.size("decoder_attention_heads", 8),
                    Activation.of(c.text("activation_function", "relu")),
                    c.size("d_model", 256),
                    c.number("dropout", 0.1),
                    c.number("attention_dropout", 0),
                    c.number("activation_dropout", 0),
                    c.flag("auxiliary_loss", false));
        }
    }

    // === Layers ===

    /** Attention whose queries and keys carry positions and whose values do not (transformers DetrSelfAttention, DetrCrossAttention). */
    static final class DetrAttention {
        private final Linear query;
        private final Linear key;
        private final Linear value;
        private final Linear output;
        private final Dropout dropout;
        private final int heads;

        DetrAttention(Weights w, DetrConfig c, int heads) {
            long d = c.dModel();
            query = w.sub("q_proj").linear(d, d);
            key = w.sub("k_proj").linear(d, d);
            value = w.sub("v_proj").linear(d, d);
            output = w.sub("out_proj").linear(d, d);
            dropout = w.dropout(c.attentionDropout());
            this.heads = Checks.heads((int) d, heads);
        }

        /** @param x [B, Sq, D]; @param seen [B, Sk, D]; @return [B, Sq, D] */
        Tensor forward(Tensor x, Tensor place, Tensor seen, Tensor seenPlace, @Nullable Tensor mask, Trace trace) {
            Tensor q = Attention.splitHeads(query.forward(x.add(place)), heads); // [B, h, Sq, D/h]
            Tensor k = Attention.splitHeads(key.forward(seen.add(seenPlace)), heads); // [B, h, Sk, D/h]
            Tensor v = Attention.splitHeads(value.forward(seen), heads);
            double scale = 1 / Math.sqrt((double) query.out() / heads);
            return output.forward(Attention.mergeHeads(Attention.attend(q, k, v, mask, scale, dropout, trace)));
        }
    }

    /** One layer of the encoder, or with attention to the encoder of the decoder; post-norm (transformers DetrEncoderLayer, DetrDecoderLayer). */
    static final class DetrLayer {
        private final DetrAttention self;
        private final LayerNorm selfNorm;
        private final @Nullable DetrAttention cross;
        private final @Nullable LayerNorm crossNorm;
        private final Linear up;
        private final Linear down;
        private final LayerNorm norm;
        private final Activation activation;
        private final Dropout dropout;
        private final Dropout activationDropout;

        DetrLayer(Weights w, DetrConfig c, boolean decoder) {
            long d = c.dModel(), inner = decoder ? c.decoderFfnDim() : c.encoderFfnDim();
            int heads = decoder ? c.decoderAttentionHeads() : c.encoderAttentionHeads();
            self = new DetrAttention(w.sub("self_attn"), c, heads);
            selfNorm = w.sub("self_attn_layer_norm").layerNorm(d, 1e-5);
            cross = decoder ? new DetrAttention(w.sub("encoder_attn"), c, heads) : null;
            crossNorm = decoder ? w.sub("encoder_attn_layer_norm").layerNorm(d, 1e-5) : null;
            up = w.sub("fc1").linear(d, inner);
            down = w.sub("fc2").linear(inner, d);
            norm = w.sub("final_layer_norm").layerNorm(d, 1e-5);
            activation = c.activationFunction();
            dropout = w.dropout(c.dropout());
            activationDropout = w.dropout(c.activationDropout());
        }

        /** @param x [B, S, D]; @return [B, S, D] */
        Tensor encode(Tensor x, Tensor place, @Nullable Tensor mask, Trace trace) {
            x = selfNorm.forward(dropout.forward(self.forward(x, place, x, place, mask, trace))
                    .add(x));
            return feedForward(x);
        }

        /** @param x [B, Q, D]; @param queries their positions [1, Q, D]; @param encoded [B, S, D] with positions {@code place}; @return [B, Q, D] */
        Tensor decode(
                Tensor x,
                Tensor queries,
                @Nullable Tensor selfMask,
                Tensor encoded,
                Tensor place,
                @Nullable Tensor mask,
                Trace trace,
                Trace crossTrace) {
            if (cross == null || crossNorm == null) {
                throw new IllegalStateException("built without attention to the encoder");
            }
            x = selfNorm.forward(dropout.forward(self.forward(x, queries, x, queries, selfMask, trace))
                    .add(x));
            x = crossNorm.forward(dropout.forward(cross.forward(x, queries, encoded, place, mask, crossTrace))
                    .add(x));
            return feedForward(x);
        }

        private Tensor feedForward(Tensor x) {
            Tensor u = activationDropout.forward(up.forward(x, activation)); // [B, S, I]
            return norm.forward(dropout.forward(down.forward(u)).add(x));
        }
    }

    /** What encoder and decoder give. */
    private record Result(Tensor decoded, Tensor encoded, Trace decoder, Trace cross, Trace encoder) {}

    /** Backbone, encoder, decoder. */
    static final class Body {
        private final ResNet.Body backbone;
        private final Conv2d projection;
        private final Embedding queries;
        private final List<DetrLayer> encoder = new ArrayList<>();
        private final List<DetrLayer> decoder = new ArrayList<>();
        private final LayerNorm norm;
        private final Dropout dropout;
        private final DetrConfig c;

        Body(Weights w, ConfigJson config, DetrConfig c) {
            this.c = c;
            ResNetConfig resnet = ResNetConfig.of(config.sub("backbone_config"));
            Weights b = w.sub("backbone.conv_encoder.model");
            backbone = new ResNet.Body(b, resnet);
            w.state().parameters().values().stream()
                    .filter(p -> p.name().startsWith(b.path() + ".") && p.name().contains(".normalization."))
                    .forEach(p -> p.freeze(true));
            long in = resnet.hiddenSizes().get(resnet.hiddenSizes().size() - 1);
            projection = w.sub("input_projection").conv2d(in, c.dModel(), 1, Conv2d.Shape.of(1, 0), true);
            queries = w.sub("query_position_embeddings").embedding(c.numQueries(), c.dModel());
            for (int i = 0; i < c.encoderLayers(); i++) {
                encoder.add(new DetrLayer(w.sub("encoder.layers." + i), c, false));
            }
            for (int i = 0; i < c.decoderLayers(); i++) {
                decoder.add(new DetrLayer(w.sub("decoder.layers." + i), c, true));
            }
            norm = w.sub("decoder.layernorm").layerNorm(c.dModel(), 1e-5);
            dropout = w.dropout(c.dropout());
        }

        Result forward(Inputs in) {
            Tensor map = backbone.forward(in, Trace.none()); // [B, C, h, w]
            Tensor projected = projection.forward(map); // [B, D, h, w]
            long b = projected.size(0), height = projected.size(2), width = projected.size(3);
            Tensor given = in.optional("pixel_mask"); // [B, H, W]
            Tensor mask = given == null
                    ? org.bytedeco.pytorch.global.torch.ones(b, height, width)
                    : upsample_nearest2d(given.to(ScalarType.Float).unsqueeze(0), new long[] {height, width})
                            .squeeze(0); // [B, h, w]
            Tensor place = positions(mask, c.dModel()).to(map.device(), Ops.type(map)); // [B, S, D]
            Tensor additive =
                    Attention.additiveMask(mask.flatten(1, -1).to(ScalarType.Long), Ops.type(map)); // [B, 1, 1, S]
            Trace encoderTrace = in.trace(), decoderTrace = in.trace(), crossTrace = new Trace(false, in.attentions());
            Tensor x =
                    encoderTrace.hidden(dropout.forward(projected.flatten(2, -1).transpose(1, 2))); // [B, S, D]
            for (DetrLayer layer : encoder) {
                x = encoderTrace.hidden(layer.encode(x, place, additive, encoderTrace));
            }
            Tensor query = queries.weight().tensor().unsqueeze(0); // [1, Q, D]
            Tensor start = in.optional("decoder_inputs_embeds"), seen = in.optional("decoder_attention_mask");
            Tensor selfMask = Attention.additiveMask(seen, Ops.type(map)); // [B, 1, 1, Q]
            Tensor y = decoderTrace.hidden(
                    start == null
                            ? query.expand(b, query.size(1), query.size(2)).mul(new org.bytedeco.pytorch.Scalar(0.0))
                            : start); // [B, Q, D]
            for (int i = 0; i < decoder.size(); i++) {
                y = decoder.get(i).decode(y, query, selfMask, x, place, additive, decoderTrace, crossTrace);
                y = c.auxiliaryLoss() ? norm.forward(y) : y; // as the reference does
                if (i < decoder.size() - 1) {
                    decoderTrace.hidden(y);
                }
            }
            return new Result(decoderTrace.hidden(norm.forward(y)), x, decoderTrace, crossTrace, encoderTrace);
        }

        /** Sines of the place within what is no padding, rows first (transformers DetrSinePositionEmbedding). @param mask [B, h, w]; @return [B, h w, d] */
        private static Tensor positions(Tensor mask, int d) {
            int b = (int) mask.size(0), h = (int) mask.size(1), w = (int) mask.size(2), half = d / 2;
            float[] seen = Tensors.floats(mask), out = new float[b * h * w * d];
            for (int n = 0; n < b; n++) {
                double[] rows = new double[h * w], columns = new double[h * w];
                for (int y = 0; y < h; y++) {
                    for (int x = 0; x < w; x++) {
                        int i = y * w + x;
                        float one = seen[n * h * w + i];
                        rows[i] = one + (y > 0 ? rows[i - w] : 0);
                        columns[i] = one + (x > 0 ? columns[i - 1] : 0);
                    }
                }
                for (int i = 0; i < h * w; i++) {
                    double y = rows[i] / (rows[(h - 1) * w + i % w] + 1e-6) * 2 * Math.PI;
                    double x = columns[i] / (columns[i - i % w + w - 1] + 1e-6) * 2 * Math.PI;
                    int at = (n * h * w + i) * d;
                    for (int k = 0; k < half; k++) {
                        double frequency = Math.pow(10000, 2.0 * (k / 2) / half);
                        out[at + k] = (float) (k % 2 == 0 ? Math.sin(y / frequency) : Math.cos(y / frequency));
                        out[at + half + k] = (float) (k % 2 == 0 ? Math.sin(x / frequency) : Math.cos(x / frequency));
                    }
                }
            }
            return Tensors.float32(out, b, (long) h * w, d);
        }
    }

    // === Models ===

    /**
     * DETR's states.
     *
     * @param lastHiddenState of the queries, [B, Q, D]
     * @param decoderHiddenStates each [B, Q, D]; null unless asked for
     * @param decoderAttentions each [B, h, Q, Q]; null unless asked for
     * @param crossAttentions each [B, h, Q, S]; null unless asked for
     * @param encoderLastHiddenState [B, S, D]
     * @param encoderHiddenStates each [B, S, D]; null unless asked for
     * @param encoderAttentions each [B, h, S, S]; null unless asked for
     */
    public record DetrModelOutput(
            Tensor lastHiddenState,
            @Nullable List<Tensor> decoderHiddenStates,
            @Nullable List<Tensor> decoderAttentions,
            @Nullable List<Tensor> crossAttentions,
            Tensor encoderLastHiddenState,
            @Nullable List<Tensor> encoderHiddenStates,
            @Nullable List<Tensor> encoderAttentions)
            implements ModelOutput {}

    /** DETR without heads. */
    public static final class DetrModel extends PreTrainedModel<DetrModelOutput> {
        private final Body body;

        DetrModel(Weights w, ConfigJson config) {
            super(w, config);
            body = new Body(w, config, DetrConfig.of(config));
        }

        @Override
        protected DetrModelOutput compute(Inputs in) {
            Result r = body.forward(in);
            return new DetrModelOutput(
                    r.decoded(),
                    r.decoder().hiddenStates(),
                    r.decoder().attentions(),
                    r.cross().attentions(),
                    r.encoded(),
                    r.encoder().hiddenStates(),
                    r.encoder().attentions());
        }
        /** From a folder or an id. */
        public static DetrModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DetrModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DetrModel.class, options);
        }
    }

    /**
     * Classes and boxes.
     *
     * @param loss scalar; null without labels
     * @param lossDict its parts; null without labels
     * @param logits [B, Q, C + 1], the last class being "no object"
     * @param predBoxes centre x, centre y, width, height in [0, 1], [B, Q, 4]
     * @param lastHiddenState of the queries, [B, Q, D]
     * @param decoderHiddenStates each [B, Q, D]; null unless asked for
     * @param decoderAttentions each [B, h, Q, Q]; null unless asked for
     * @param crossAttentions each [B, h, Q, S]; null unless asked for
     * @param encoderLastHiddenState [B, S, D]
     * @param encoderHiddenStates each [B, S, D]; null unless asked for
     * @param encoderAttentions each [B, h, S, S]; null unless asked for
     */
    public record DetrObjectDetectionOutput(
            @Nullable Tensor loss,
            @Nullable ModelOutput lossDict,
            Tensor logits,
            Tensor predBoxes,
            Tensor lastHiddenState,
            @Nullable List<Tensor> decoderHiddenStates,
            @Nullable List<Tensor> decoderAttentions,
            @Nullable List<Tensor> crossAttentions,
            Tensor encoderLastHiddenState,
            @Nullable List<Tensor> encoderHiddenStates,
            @Nullable List<Tensor> encoderAttentions)
            implements ModelOutput {}

    /** A class and a box for each query. */
    public static final class DetrForObjectDetection extends PreTrainedModel<DetrObjectDetectionOutput> {
        private final Body body;
        private final Linear classifier;
        private final Detection.Mlp boxes;
        private final LossConfig loss;
        private final boolean auxiliary;

        DetrForObjectDetection(Weights w, ConfigJson config) {
            super(w, config);
            DetrConfig c = DetrConfig.of(config);
            body = new Body(w.sub("model"), config, c);
            classifier = w.head().sub("class_labels_classifier").linear(c.dModel(), config.numLabels() + 1);
            boxes = new Detection.Mlp(w.head().sub("bbox_predictor"), c.dModel(), c.dModel(), 4, 3);
            loss = LossConfig.of(config);
            auxiliary = c.auxiliaryLoss();
        }

        @Override
        protected DetrObjectDetectionOutput compute(Inputs in) {
            Result r = body.forward(in);
            Tensor logits = classifier.forward(r.decoded()); // [B, Q, C + 1]
            Tensor predicted = boxes.forward(r.decoded()).sigmoid(); // [B, Q, 4]
            List<Target> targets = Detection.targets(in, logits.size(0));
            if (!targets.isEmpty() && auxiliary) {
                throw new HeadstartException(
                        config().origin()
                                + ": auxiliary_loss is true, the loss of the decoder's middle layers is not computed; set it to false");
            }
            LossDict parts = targets.isEmpty() ? null : Detection.loss(logits, predicted, targets, loss);
            return new DetrObjectDetectionOutput(
                    parts == null ? null : loss.total(parts),
                    parts,
                    logits,
                    predicted,
                    r.decoded(),
                    r.decoder().hiddenStates(),
                    r.decoder().attentions(),
                    r.cross().attentions(),
                    r.encoded(),
                    r.encoder().hiddenStates(),
                    r.encoder().attentions());
        }
        /** From a folder or an id. */
        public static DetrForObjectDetection fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DetrForObjectDetection fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DetrForObjectDetection.class, options);
        }
    }
}
