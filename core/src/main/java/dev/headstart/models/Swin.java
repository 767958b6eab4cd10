package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.constant_pad_nd;
import static org.bytedeco.pytorch.global.torch.roll;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.Vision.Sides;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Conv2d;
import dev.headstart.nn.DropPath;
import dev.headstart.nn.Dropout;
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
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Swin (Liu et al. 2021, "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows"). Reference: transformers {@code modeling_swin.py}. B
 * batch, H and W places of a stage, N = H W, D its width, h heads, W windows of M = window * window places.
 */
public final class Swin {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("swin", "swin")
            .add("SwinModel", SwinModel::new)
            .add("SwinForImageClassification", SwinForImageClassification::new)
            .add("SwinForMaskedImageModeling", SwinForMaskedImageModeling::new);

    /** Patch norm and merging have torch's epsilon. */
    private static final double EPS = 1e-5;

    private Swin() {}

    /** SwinConfig: transformers' field names and defaults. */
    record SwinConfig(
            Sides imageSize,
            Sides patchSize,
            int numChannels,
            int embedDim,
            List<Integer> depths,
            List<Integer> numHeads,
            int windowSize,
            double mlpRatio,
            boolean qkvBias,
            double hiddenDropoutProb,
            double attentionProbsDropoutProb,
            double dropPathRate,
            Activation hiddenAct,
            boolean useAbsoluteEmbeddings,
            double layerNormEps) {
        static SwinConfig of(ConfigJson c) {
            List<Integer> depths = c.integers("depths", List.of(2, 2, 6, 2));
            List<Integer> heads = c.integers("num_heads", List.of(3, 6, 12, 24));
            if (heads.size() < depths.size()) {
                throw new HeadstartException(c.origin() + ": num_heads needs an entry for each of the " + depths.size()
                        + " stages, found " + heads);
            }
            return new SwinConfig(
                    Sides.of(c, "image_size", 224),
                    Sides.of(c, "patch_size", 4),
                    c.size("num_channels", 3),
                    c.size("embed_dim", 96),
                    depths,
                    heads,
                    c.size("window_size", 7),
                    c.number("mlp_ratio", 4),
                    c.flag("qkv_bias", true),
                    c.number("hidden_dropout_prob", 0),
                    c.number("attention_probs_dropout_prob", 0),
                    c.number("drop_path_rate", 0.1),
                    Activation.of(c.text("hidden_act", "gelu")),
                    c.flag("use_absolute_embeddings", false),
                    c.number("layer_norm_eps", 1e-5));
        }

        int width(int stage) {
            return embedDim << stage;
        }

        int lastWidth() {
            return width(depths.size() - 1);
        }
    }

    // === Layers ===

    /** A feature map as tokens. @param tokens [B, H W, D] */
    private record Map2d(Tensor tokens, long height, long width) {
        /** [B, D, H, W] */
        Tensor spatial() {
            return tokens.view(tokens.size(0), height, width, tokens.size(2))
                    .permute(0, 3, 1, 2)
                    .contiguous();
        }
    }

    /** Patches, norm, absolute positions if asked for (transformers SwinEmbeddings). */
    static final class SwinEmbeddings {
        private final Conv2d projection;
        private final LayerNorm norm;
        private final @Nullable Parameter maskToken;
        private final @Nullable Parameter positions;
        private final Dropout dropout;
        private final SwinConfig c;

        SwinEmbeddings(Weights w, SwinConfig c, boolean useMaskToken) {
            this.c = c;
            Sides image = c.imageSize(), patch = c.patchSize();
            long d = c.embedDim(), patches = (long) (image.height() / patch.height()) * (image.width() / patch.width());
            projection = w.sub("patch_embeddings.projection")
                    .patches(c.numChannels(), d, patch.height(), patch.width(), true);
            maskToken = useMaskToken ? w.parameter("mask_token", Init.ZEROS, 1, 1, d) : null;
            positions =
                    c.useAbsoluteEmbeddings() ? w.parameter("position_embeddings", Init.ZEROS, 1, patches, d) : null;
            norm = w.sub("norm").layerNorm(d, EPS);
            dropout = w.dropout(c.hiddenDropoutProb());
        }

        Map2d forward(Inputs in) {
            Tensor pixels =
                    Vision.pixels(in, c.numChannels(), projection.weight().tensor()); // [B, channels, H, W]
            boolean interpolate = in.kwarg("interpolate_pos_encoding", false);
            long height = pixels.size(2),
                    width = pixels.size(3),
                    ph = c.patchSize().height(),
                    pw = c.patchSize().width();
            Tensor whole = height % ph == 0 && width % pw == 0
                    ? pixels
                    : constant_pad_nd(pixels, 0, (pw - width % pw) % pw, 0, (ph - height % ph) % ph);
            Tensor grid = projection.forward(whole); // [B, D, H', W']
            Tensor x = norm.forward(grid.flatten(2, -1).transpose(1, 2)); // [B, N, D]
            Tensor masked = in.optional("bool_masked_pos");
            if (masked != null) {
                if (maskToken == null) {
                    throw new HeadstartException(
                            "bool_masked_pos: this class has no mask token; use SwinForMaskedImageModeling");
                }
                x = Vision.mask(x, masked, maskToken.tensor());
            }
            if (positions != null) {
                Tensor place = positions.tensor(); // [1, N, D]
                if (interpolate && !(x.size(1) == place.size(1) && height == width)) {
                    place = Vision.positions(place, 0, height / ph, width / pw);
                }
                x = x.add(place);
            }
            return new Map2d(dropout.forward(x), grid.size(2), grid.size(3));
        }
    }

    /** Attention inside windows with a bias for each relative position (transformers SwinAttention). */
    static final class WindowAttention {
        private final Linear query;
        private final Linear key;
        private final Linear value;
        private final Linear output;
        private final Parameter table;
        private final Dropout dropout;
        private final int heads;
        private final long window;

        WindowAttention(Weights w, SwinConfig c, long d, int heads) {
            window = c.windowSize();
            query = w.sub("self.query").linear(d, d, c.qkvBias());
            key = w.sub("self.key").linear(d, d, c.qkvBias());
            value = w.sub("self.value").linear(d, d, c.qkvBias());
            output = w.sub("output.dense").linear(d, d);
            table = w.parameter(
                    "self.relative_position_bias_table", Init.ZEROS, (2 * window - 1) * (2 * window - 1), heads);
            dropout = w.dropout(c.attentionProbsDropoutProb());
            this.heads = Checks.heads((int) d, heads);
        }

        /** [1, h, M, M] */
        private Tensor bias() {
            int n = (int) window, m = n * n;
            long[] index = new long[m * m];
            for (int a = 0; a < m; a++) {
                for (int b = 0; b < m; b++) {
                    index[a * m + b] = (long) (a / n - b / n + n - 1) * (2 * n - 1) + a % n - b % n + n - 1;
                }
            }
            Tensor at =
                    Tensors.int64(index).to(table.tensor().device(), org.bytedeco.pytorch.global.torch.ScalarType.Long);
            return table.tensor()
                    .index_select(0, at)
                    .view(m, m, heads)
                    .permute(2, 0, 1)
                    .unsqueeze(0); // [1, h, M, M]
        }

        /** @param x [B W, M, D]; @param mask [W, M, M] or null; @return [B W, M, D] */
        Tensor forward(Tensor x, @Nullable Tensor mask, Trace trace) {
            Tensor q = Attention.splitHeads(query.forward(x), heads); // [B W, h, M, D/h]
            Tensor k = Attention.splitHeads(key.forward(x), heads);
            Tensor v = Attention.splitHeads(value.forward(x), heads);
            Tensor bias = bias();
            if (mask != null) {
                long windows = mask.size(0), m = mask.size(1), b = x.size(0) / windows;
                bias = bias.add(mask.unsqueeze(1)
                        .unsqueeze(0)
                        .expand(b, windows, 1, m, m)
                        .reshape(-1, 1, m, m)); // [B W, h, M, M]
            }
            double scale = 1 / Math.sqrt((double) query.out() / heads);
            return output.forward(Attention.mergeHeads(Attention.attend(q, k, v, bias, scale, dropout, trace)));
        }
    }

    /** Window attention and feed-forward, pre-norm; every second layer shifts the windows by half (transformers SwinLayer). */
    static final class SwinLayer {
        private final WindowAttention attention;
        private final LayerNorm before;
        private final LayerNorm after;
        private final Linear up;
        private final Linear down;
        private final Activation activation;
        private final Dropout dropout;
        private final DropPath dropPath;
        private final long window;
        private final long shift;

        SwinLayer(Weights w, SwinConfig c, long d, int heads, double drop, boolean shifted) {
            long inner = (long) (c.mlpRatio() * d);
            attention = new WindowAttention(w.sub("attention"), c, d, heads);
            before = w.sub("layernorm_before").layerNorm(d, c.layerNormEps());
            after = w.sub("layernorm_after").layerNorm(d, c.layerNormEps());
            up = w.sub("intermediate.dense").linear(d, inner);
            down = w.sub("output.dense").linear(inner, d);
            activation = c.hiddenAct();
            dropout = w.dropout(c.hiddenDropoutProb());
            dropPath = w.dropPath(drop);
            window = c.windowSize();
            shift = shifted ? window / 2 : 0;
        }

        Map2d forward(Map2d in, Trace trace) {
            long height = in.height(), width = in.width();
            Tensor x = in.tokens(); // [B, N, D]
            long b = x.size(0), d = x.size(2);
            if (Math.min(height, width) < window) {
                throw new HeadstartException("pixel_values: a stage has " + height + " x " + width
                        + " places, fewer than the window of " + window + "; give larger images");
            }
            long s = Math.min(height, width) <= window ? 0 : shift;
            long right = (window - width % window) % window, bottom = (window - height % window) % window;
            Tensor grid = before.forward(x).view(b, height, width, d); // [B, H, W, D]
            if (right > 0 || bottom > 0) {
                grid = constant_pad_nd(grid, 0, 0, 0, right, 0, bottom);
            }
            long h = height + bottom, w = width + right;
            Tensor shifted = s > 0 ? roll(grid, new long[] {-s, -s}, 1, 2) : grid;
            Tensor mask = s > 0 ? mask(h, w, s, x) : null; // [W, M, M]
            Tensor windows = partition(shifted).view(-1, window * window, d); // [B W, M, D]
            Tensor y = dropout.forward(attention.forward(windows, mask, trace));
            y = y.view(b, h / window, w / window, window, window, d)
                    .transpose(2, 3)
                    .contiguous()
                    .view(b, h, w, d); // [B, H, W, D]
            y = s > 0 ? roll(y, new long[] {s, s}, 1, 2) : y;
            y = y.narrow(1, 0, height).narrow(2, 0, width).reshape(b, height * width, d); // [B, N, D]
            x = x.add(dropPath.forward(y));
            y = dropout.forward(down.forward(up.forward(after.forward(x), activation)));
            return new Map2d(y.add(x), height, width);
        }

        /** @param x [B, H, W, D]; @return [B W, window, window, D] */
        private Tensor partition(Tensor x) {
            return x.view(x.size(0), x.size(1) / window, window, x.size(2) / window, window, x.size(3))
                    .transpose(2, 3)
                    .contiguous()
                    .view(-1, window, window, x.size(3));
        }

        /** -100 between places that only the shift has brought into one window, [W, M, M]. */
        private Tensor mask(long h, long w, long s, Tensor like) {
            float[] region = new float[(int) (h * w)];
            for (int y = 0, i = 0; y < h; y++) {
                for (int x = 0; x < w; x++, i++) {
                    int row = (y >= h - window ? 1 : 0) + (y >= h - s ? 1 : 0),
                            column = (x >= w - window ? 1 : 0) + (x >= w - s ? 1 : 0);
                    region[i] = row * 3 + column;
                }
            }
            Tensor windows = partition(Tensors.float32(region, 1, h, w, 1)).view(-1, window * window); // [W, M]
            Tensor apart = windows.unsqueeze(1).ne(windows.unsqueeze(2)); // [W, M, M]
            return apart.to(org.bytedeco.pytorch.global.torch.ScalarType.Float)
                    .mul(new org.bytedeco.pytorch.Scalar(-100.0))
                    .to(like.device(), Ops.type(like));
        }
    }

    /** Four neighbours become one place of twice the width (transformers SwinPatchMerging). */
    static final class PatchMerging {
        private final Linear reduction;
        private final LayerNorm norm;

        PatchMerging(Weights w, long d) {
            reduction = w.sub("reduction").linear(4 * d, 2 * d, false);
            norm = w.sub("norm").layerNorm(4 * d, EPS);
        }

        Map2d forward(Map2d in) {
            Tensor x = in.tokens();
            long b = x.size(0), d = x.size(2), height = in.height(), width = in.width();
            Tensor grid = x.view(b, height, width, d);
            if (height % 2 == 1 || width % 2 == 1) {
                grid = constant_pad_nd(grid, 0, 0, 0, width % 2, 0, height % 2);
            }
            Tensor[] parts = new Tensor[4];
            for (int i = 0; i < 4; i++) { // rows first, then columns
                parts[i] = every2nd(every2nd(grid, 1, i % 2), 2, i / 2); // [B, H / 2, W / 2, D]
            }
            Tensor joined = Vision.concat(3, parts).view(b, -1, 4 * d); // [B, N / 4, 4 D]
            return new Map2d(reduction.forward(norm.forward(joined)), (height + 1) / 2, (width + 1) / 2);
        }

        private static Tensor every2nd(Tensor x, long dim, long from) {
            return x.slice(dim, new LongOptional(from), new LongOptional(x.size(dim)), 2);
        }
    }

    /** Embeddings, stages, norm. */
    static final class Body {
        private final SwinEmbeddings embeddings;
        private final List<List<SwinLayer>> stages = new ArrayList<>();
        private final List<@Nullable PatchMerging> merging = new ArrayList<>();
        private final LayerNorm norm;

        Body(Weights w, SwinConfig c, boolean useMaskToken) {
            embeddings = new SwinEmbeddings(w.sub("embeddings"), c, useMaskToken);
            int all = c.depths().stream().mapToInt(Integer::intValue).sum();
            for (int i = 0, done = 0; i < c.depths().size(); i++) {
                Weights stage = w.sub("encoder.layers." + i);
                List<SwinLayer> layers = new ArrayList<>();
                for (int j = 0; j < c.depths().get(i); j++, done++) {
                    layers.add(new SwinLayer(
                            stage.sub("blocks." + j),
                            c,
                            c.width(i),
                            c.numHeads().get(i),
                            c.dropPathRate() * done / Math.max(all - 1, 1),
                            j % 2 == 1));
                }
                stages.add(layers);
                merging.add(i < c.depths().size() - 1 ? new PatchMerging(stage.sub("downsample"), c.width(i)) : null);
            }
            norm = w.sub("layernorm").layerNorm(c.lastWidth(), c.layerNormEps());
        }

        /** @return normalised last stage, [B, N, D]; the last layer of each stage shows its attention */
        Tensor forward(Inputs in, SwinTrace trace) {
            Map2d x = trace.hidden(embeddings.forward(in));
            for (int i = 0; i < stages.size(); i++) {
                List<SwinLayer> layers = stages.get(i);
                for (int j = 0; j < layers.size(); j++) {
                    x = layers.get(j).forward(x, j == layers.size() - 1 ? trace.trace : Trace.none());
                }
                PatchMerging merge = merging.get(i);
                x = trace.hidden(merge == null ? x : merge.forward(x));
            }
            return norm.forward(x.tokens());
        }
    }

    /** Hidden states in both forms. */
    private static final class SwinTrace {
        private final Trace trace;
        private final @Nullable List<Tensor> reshaped;

        SwinTrace(Inputs in) {
            trace = in.trace();
            reshaped = trace.wantsHidden() ? new ArrayList<>() : null;
        }

        Map2d hidden(Map2d x) {
            trace.hidden(x.tokens());
            if (reshaped != null) {
                reshaped.add(x.spatial());
            }
            return x;
        }
    }

    // === Models ===

    /**
     * Swin's features.
     *
     * @param lastHiddenState [B, N, D]
     * @param poolerOutput mean over the places, [B, D]
     * @param hiddenStates embeddings and every stage's output, each [B, N, D]; null unless asked for
     * @param attentions of every stage's last layer, each [B W, h, M, M]; null unless asked for
     * @param reshapedHiddenStates the hidden states as [B, D, H, W]; null unless asked for
     */
    public record SwinModelOutput(
            Tensor lastHiddenState,
            Tensor poolerOutput,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions,
            @Nullable List<Tensor> reshapedHiddenStates)
            implements ModelOutput {}

    /**
     * Scores for the classes of an image.
     *
     * @param loss scalar; null without labels
     * @param logits [B, C]
     * @param hiddenStates embeddings and every stage's output, each [B, N, D]; null unless asked for
     * @param attentions of every stage's last layer, each [B W, h, M, M]; null unless asked for
     * @param reshapedHiddenStates the hidden states as [B, D, H, W]; null unless asked for
     */
    public record SwinImageClassifierOutput(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions,
            @Nullable List<Tensor> reshapedHiddenStates)
            implements ModelOutput {}

    /**
     * An image made again from its visible patches.
     *
     * @param loss scalar; null without {@code bool_masked_pos}
     * @param reconstruction [B, channels, H, W]
     * @param hiddenStates embeddings and every stage's output, each [B, N, D]; null unless asked for
     * @param attentions of every stage's last layer, each [B W, h, M, M]; null unless asked for
     * @param reshapedHiddenStates the hidden states as [B, D, H, W]; null unless asked for
     */
    public record SwinMaskedImageModelingOutput(
            @Nullable Tensor loss,
            Tensor reconstruction,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions,
            @Nullable List<Tensor> reshapedHiddenStates)
            implements ModelOutput {}

    /** Swin without a head. */
    public static final class SwinModel extends PreTrainedModel<SwinModelOutput> {
        private final Body swin;

        SwinModel(Weights w, ConfigJson config) {
            super(w, config);
            swin = new Body(w, SwinConfig.of(config), false);
        }

        @Override
        protected SwinModelOutput compute(Inputs in) {
            SwinTrace trace = new SwinTrace(in);
            Tensor x = swin.forward(in, trace); // [B, N, D]
            return new SwinModelOutput(
                    x, x.mean(1), trace.trace.hiddenStates(), trace.trace.attentions(), trace.reshaped);
        }
        /** From a folder or an id. */
        public static SwinModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static SwinModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, SwinModel.class, options);
        }
    }

    /** A Linear over the mean of the last stage. */
    public static final class SwinForImageClassification extends PreTrainedModel<SwinImageClassifierOutput> {
        private final Body swin;
        private final Linear classifier;

        SwinForImageClassification(Weights w, ConfigJson config) {
            super(w, config);
            SwinConfig c = SwinConfig.of(config);
            swin = new Body(w.sub("swin"), c, false);
            classifier = w.head().sub("classifier").linear(c.lastWidth(), config.numLabels());
        }

        @Override
        protected SwinImageClassifierOutput compute(Inputs in) {
            SwinTrace trace = new SwinTrace(in);
            Tensor logits = classifier.forward(swin.forward(in, trace).mean(1)); // [B, C]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.sequenceClassification(logits, labels, config().problemType());
            return new SwinImageClassifierOutput(
                    loss, logits, trace.trace.hiddenStates(), trace.trace.attentions(), trace.reshaped);
        }
        /** From a folder or an id. */
        public static SwinForImageClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static SwinForImageClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, SwinForImageClassification.class, options);
        }
    }

    /** Masked patches made again (SimMIM, Xie et al. 2022). */
    public static final class SwinForMaskedImageModeling extends PreTrainedModel<SwinMaskedImageModelingOutput> {
        private final Body swin;
        private final Vision.Reconstruction decoder;

        SwinForMaskedImageModeling(Weights w, ConfigJson config) {
            super(w, config);
            SwinConfig c = SwinConfig.of(config);
            swin = new Body(w.sub("swin"), c, true);
            decoder = new Vision.Reconstruction(w.head(), c.lastWidth(), config, 32, c.imageSize(), c.patchSize());
        }

        @Override
        protected SwinMaskedImageModelingOutput compute(Inputs in) {
            SwinTrace trace = new SwinTrace(in);
            Tensor x = swin.forward(in, trace);
            var made = decoder.forward(x, in.required("pixel_values"), in.optional("bool_masked_pos"), trace.trace);
            return new SwinMaskedImageModelingOutput(
                    made.loss(), made.reconstruction(), made.hiddenStates(), made.attentions(), trace.reshaped);
        }
        /** From a folder or an id. */
        public static SwinForMaskedImageModeling fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static SwinForMaskedImageModeling fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, SwinForMaskedImageModeling.class, options);
        }
    }
}
