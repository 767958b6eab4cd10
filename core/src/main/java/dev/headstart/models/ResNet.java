package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.adaptive_avg_pool2d;
import static org.bytedeco.pytorch.global.torch.avg_pool2d;
import static org.bytedeco.pytorch.global.torch.constant_pad_nd;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.Outputs.BaseModelOutputWithPooling;
import dev.headstart.models.VisionOutputs.ImageClassifierOutput;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Autocast;
import dev.headstart.nn.BlockedLayout;
import dev.headstart.nn.Conv2d;
import dev.headstart.nn.ConvNorm;
import dev.headstart.nn.ConvProgram;
import dev.headstart.nn.ConvPrograms;
import dev.headstart.nn.Init;
import dev.headstart.nn.Linear;
import dev.headstart.nn.MaxPool2d;
import dev.headstart.nn.Memory;
import dev.headstart.nn.ModelState;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * ResNet (He et al. 2016, "Deep Residual Learning for Image Recognition") in version 1.5 (the 3x3 convolution strides). Reference: transformers
 * {@code modeling_resnet.py}. Checkpoints of torchvision, timm and the CIFAR ResNets load too ({@link TorchResNetNames}); for what transformers'
 * configuration cannot say there are the fields {@code groups} (ResNeXt, Xie et al. 2017), {@code bottleneck_sizes} (ResNeXt; Wide ResNet, Zagoruyko
 * and Komodakis 2016), {@code stem} ("cifar": 3x3, no pooling; "deep": three 3x3 of {@code stem_sizes}, He et al. 2019, "Bag of Tricks"), {@code
 * shortcut} ("A": zeros instead of a projection; "D": the mean of 2x2 places before it) and {@code flat_pooler} (no spatial dimensions). B batch.
 */
public final class ResNet {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("resnet", "resnet")
            .add("ResNetModel", ResNetModel::new)
            .add("ResNetForImageClassification", ResNetForImageClassification::new);

    private static final double EPS = 1e-5;
    private static final MaxPool2d POOL = new MaxPool2d(3, 2, 1);
    private static final Init KAIMING = new Init.KaimingFanOut();

    private ResNet() {}

    /** ResNetConfig: transformers' field names and defaults, and ours. */
    record ResNetConfig(
            int numChannels,
            int embeddingSize,
            List<Integer> hiddenSizes,
            List<Integer> depths,
            boolean bottleneck,
            Activation hiddenAct,
            boolean downsampleInFirstStage,
            boolean downsampleInBottleneck,
            int groups,
            List<Integer> bottleneckSizes,
            String stem,
            List<Integer> stemSizes,
            String shortcut) {
        static ResNetConfig of(ConfigJson c) {
            List<Integer> sizes = c.integers("hidden_sizes", List.of(256, 512, 1024, 2048));
            List<Integer> depths = c.integers("depths", List.of(3, 4, 6, 3));
            String type = c.text("layer_type", "bottleneck");
            if (!type.equals("basic") && !type.equals("bottleneck")) {
                throw new HeadstartException(c.origin() + ": layer_type must be basic or bottleneck, found " + type);
            }
            if (sizes.size() != depths.size() || sizes.isEmpty()) {
                throw new HeadstartException(c.origin() + ": hidden_sizes and depths must be equally long, found "
                        + sizes + " and " + depths);
            }
            List<Integer> quarter = sizes.stream().map(s -> s / 4).toList();
            return new ResNetConfig(
                    c.size("num_channels", 3),
                    c.size("embedding_size", 64),
                    sizes,
                    depths,
                    type.equals("bottleneck"),
                    Activation.of(c.text("hidden_act", "relu")),
                    c.flag("downsample_in_first_stage", false),
                    c.flag("downsample_in_bottleneck", false),
                    c.size("groups", 1),
                    c.integers("bottleneck_sizes", quarter),
                    c.text("stem", ""),
                    c.integers("stem_sizes", List.of()),
                    c.text("shortcut", ""));
        }
    }

    // === Layers ===

    /** Convolution, batch normalization, activation (transformers ResNetConvLayer). */
    static final class ConvLayer {
        private final ConvNorm layers;
        private final Activation activation;

        ConvLayer(Weights w, long in, long out, long kernel, long stride, long groups, Activation activation) {
            layers = w.convNorm(
                    w.sub("convolution")
                            .conv2d(in, out, kernel, new Conv2d.Shape(stride, kernel / 2, 1, groups), false, KAIMING),
                    w.sub("normalization").batchNorm2d(out, EPS));
            this.activation = activation;
        }

        /** @param x [B, in, H, W]; @return [B, out, H / stride, W / stride] */
        Tensor forward(Tensor x) {
            return layers.forward(x, activation);
        }
    }

    /** What is added to the branch: the input itself, projected, or (option A) thinned out and padded with zero channels. */
    private interface Shortcut {
        Tensor forward(Tensor x);
    }

    /** Two 3x3 convolutions, or 1x1, 3x3, 1x1, and the shortcut (transformers ResNetBasicLayer, ResNetBottleNeckLayer). */
    static final class Block {
        private final List<ConvLayer> layers = new ArrayList<>();
        private final Shortcut shortcut;
        private final boolean identity;
        private final Activation activation;
        private final @Nullable ConvNorm projection;
        private final @Nullable ConvNorm strided; // the projection where it reads the input itself
        private final boolean bytes; // whether all layers that read the input or add to it can do so in 8 bits

        Block(Weights w, ResNetConfig c, long in, long out, long inner, long stride) {
            if (c.bottleneck()) {
                boolean early = c.downsampleInBottleneck();
                layers.add(new ConvLayer(w.sub("layer.0"), in, inner, 1, early ? stride : 1, 1, Activation.RELU));
                layers.add(new ConvLayer(
                        w.sub("layer.1"), inner, inner, 3, early ? 1 : stride, c.groups(), Activation.RELU));
                layers.add(new ConvLayer(w.sub("layer.2"), inner, out, 1, 1, 1, Activation.LINEAR));
            } else {
                layers.add(new ConvLayer(w.sub("layer.0"), in, out, 3, stride, 1, Activation.RELU));
                layers.add(new ConvLayer(w.sub("layer.1"), out, out, 3, 1, 1, Activation.LINEAR));
            }
            for (int i = 0; i + 1 < layers.size(); i++) {
                layers.get(i).layers.feeds(layers.get(i + 1).layers);
            }
            activation = c.hiddenAct();
            identity = in == out && stride == 1;
            ConvNorm first = first(), last = last();
            ConvNorm projection = null, strided = null;
            if (identity) {
                shortcut = x -> x;
            } else if (c.shortcut().equals("A")) {
                long before = (out - in) / 2, after = out - in - before;
                shortcut = x -> constant_pad_nd(thin(thin(x, 2, stride), 3, stride), 0, 0, 0, 0, before, after);
            } else if (c.shortcut().equals("D") && stride > 1) {
                ConvLayer mean = new ConvLayer(w.sub("shortcut"), in, out, 1, 1, 1, Activation.LINEAR);
                projection = mean.layers;
                shortcut = x -> mean.forward(mean(first.values(x), stride));
            } else {
                ConvLayer direct = new ConvLayer(w.sub("shortcut"), in, out, 1, stride, 1, Activation.LINEAR);
                projection = direct.layers;
                strided = projection;
                shortcut = direct::forward;
            }
            this.projection = projection;
            this.strided = strided;
            bytes = first.takesInt8() && last.takesInt8() && (projection == null || projection.takesInt8());
            if (projection != null) {
                last.addsResultOf(projection);
            } else {
                last.addsInputOf(first);
            }
        }

        /** Whether all its normalizations are by the batch's own statistics in training. */
        boolean learns() {
            return layers.stream().allMatch(l -> l.layers.learns()) && (projection == null || projection.learns());
        }

        private ConvNorm first() {
            return layers.get(0).layers;
        }

        private ConvNorm last() {
            return layers.get(layers.size() - 1).layers;
        }

        /** Says that this block reads what {@code before} makes, in 8 bits where both compute in them. */
        void reads(ConvNorm before) {
            if (bytes) {
                before.feeds(first());
            }
        }

        /** The values of an input that may be in 8 bits. */
        Tensor values(Tensor x) {
            return first().values(x);
        }

        private static Tensor thin(Tensor x, long dim, long step) {
            return x.slice(dim, new LongOptional(0), new LongOptional(x.size(dim)), step);
        }

        /** Means of windows of 2x2, at the edges of what is there. */
        private static Tensor mean(Tensor x, long stride) {
            return avg_pool2d(
                    x,
                    new long[] {2, 2},
                    new long[] {stride, stride},
                    new long[] {0, 0},
                    true,
                    false,
                    new LongOptional());
        }

        /**
         * @param x [B, in, H, W]
         * @param last whether nobody reads x afterwards
         * @return [B, out, H / stride, W / stride]
         */
        Tensor forward(Tensor x, boolean last) {
            return Memory.local(() -> {
                Tensor in = bytes ? first().quantized(x) : x;
                Tensor y = in;
                for (ConvLayer layer : layers.subList(0, layers.size() - 1)) {
                    y = layer.forward(y);
                }
                return last().forward(y, shortcut.forward(in), activation, last || !identity || in != x);
            });
        }

        /** The same, recorded; x may be written over. @return null where it cannot be */
        @Nullable
        Tensor record(ConvProgram program, Tensor x) {
            Tensor y = x;
            for (ConvLayer layer : layers.subList(0, layers.size() - 1)) {
                Tensor next = program.convolution(layer.layers, y, layer.activation, null);
                if (next == null) {
                    return null;
                }
                if (y != x) {
                    program.free(y);
                }
                y = next;
            }
            Tensor other = recordShortcut(program, x);
            if (other == null) {
                return null;
            }
            Tensor sum = program.convolution(last(), y, activation, other);
            if (sum == null) {
                return null;
            }
            program.free(y);
            if (sum != other && other != x) {
                program.free(other);
            }
            if (sum != x) {
                program.free(x);
            }
            return sum;
        }

        private @Nullable Tensor recordShortcut(ConvProgram program, Tensor x) {
            if (identity) {
                return x;
            }
            return strided == null ? null : program.convolution(strided, x, Activation.LINEAR, null);
        }
    }

    /** Stem and stages: what a head or a detector stands on. */
    static final class Body {
        private final List<ConvLayer> stem = new ArrayList<>();
        private final boolean pooled;
        private final List<List<Block>> stages = new ArrayList<>();
        private final int channels;
        private final Conv2d first;
        private final ModelState state;
        private final ConvPrograms programs;
        private final boolean blockable; // nothing but what oneDNN's own order of activations has

        Body(Weights w, ResNetConfig c) {
            channels = c.numChannels();
            state = w.state();
            programs = state.convPrograms();
            pooled = !c.stem().equals("cifar");
            boolean deep = c.stem().equals("deep");
            blockable = BlockedLayout.AVAILABLE
                    && c.hiddenAct() == Activation.RELU
                    && c.shortcut().isEmpty();
            long width = channels;
            for (int i = 0; deep && i < c.stemSizes().size(); i++) {
                long out = c.stemSizes().get(i);
                stem.add(new ConvLayer(w.sub("embedder.stem." + i), width, out, 3, i == 0 ? 2 : 1, 1, c.hiddenAct()));
                width = out;
            }
            stem.add(new ConvLayer(
                    w.sub("embedder.embedder"),
                    width,
                    c.embeddingSize(),
                    pooled && !deep ? 7 : 3,
                    pooled && !deep ? 2 : 1,
                    1,
                    c.hiddenAct()));
            first = stem.get(0).layers.convolution();
            for (int i = 0; i + 1 < stem.size(); i++) {
                stem.get(i).layers.feeds(stem.get(i + 1).layers);
            }
            ConvNorm before = stem.get(stem.size() - 1).layers;
            long in = c.embeddingSize();
            for (int i = 0; i < c.depths().size(); i++) {
                long out = c.hiddenSizes().get(i);
                List<Block> stage = new ArrayList<>();
                for (int j = 0; j < c.depths().get(i); j++) {
                    long stride = j == 0 && (i > 0 || c.downsampleInFirstStage()) ? 2 : 1;
                    stage.add(new Block(
                            w.sub("encoder.stages." + i + ".layers." + j),
                            c,
                            in,
                            out,
                            c.bottleneckSizes().get(i),
                            stride));
                    in = out;
                    stage.get(j).reads(before);
                    before = stage.get(j).last();
                }
                stages.add(stage);
            }
        }

        private static void record(Trace trace, Tensor x, Block next) {
            if (trace.wantsHidden()) {
                trace.hidden(next.values(x));
            }
        }

        /** @return last stage, [B, C, H / 32, W / 32]; the trace receives the stem's and every stage's output */
        Tensor forward(Inputs in, Trace trace) {
            Tensor x = Vision.pixels(in, channels, first.weight().tensor());
            if (state.training() && !trace.wantsHidden() && BlockedLayout.takes(x) && trainsInBlocks()) {
                Tensor blocked = BlockedLayout.of(x);
                return BlockedLayout.dense(Autocast.without(() -> layers(blocked, trace)))
                        .to(Ops.type(first.weight().tensor()));
            }
            x = layers(stem.get(0).layers.arrange(x), trace);
            trace.hidden(x);
            return x.to(Ops.type(first.weight().tensor())); // bf16 ends here
        }

        /** There is no gradient in oneDNN's order where running statistics normalise. */
        boolean trainsInBlocks() {
            return blockable
                    && stem.stream().allMatch(l -> l.layers.learns())
                    && stages.stream().flatMap(List::stream).allMatch(Block::learns);
        }

        private Tensor layers(Tensor pixels, Trace trace) {
            Tensor x = pixels;
            for (ConvLayer layer : stem) {
                x = layer.forward(x); // [B, E, H / 2, W / 2]
            }
            if (pooled) {
                x = POOL.forward(x); // [B, E, H / 4, W / 4]
            }
            ConvPrograms.Result begun = trace.wantsHidden() ? null : programs.run(x, this::record);
            int done = begun == null ? 0 : begun.layers();
            x = begun == null ? x : begun.y();
            for (List<Block> stage : stages) {
                if (done == 0) {
                    record(trace, x, stage.get(0));
                }
                for (int i = 0; i < stage.size(); i++) {
                    if (done > 0) {
                        done--;
                    } else { // the first one's input may be among the hidden states
                        x = stage.get(i).forward(x, i > 0 || !trace.wantsHidden());
                    }
                }
            }
            return x;
        }

        /** As many blocks as can be recorded. @return how many */
        private int record(ConvProgram program) {
            Tensor x = program.input();
            int blocks = 0;
            for (List<Block> stage : stages) {
                for (Block block : stage) {
                    int steps = program.steps();
                    Tensor y = block.record(program, x);
                    if (y == null) {
                        program.back(steps);
                        return blocks;
                    }
                    program.output(y);
                    x = y;
                    blocks++;
                }
            }
            return blocks;
        }
    }

    // === Models ===

    /** ResNet without a head; the pooled output is the mean over all places, [B, C, 1, 1]. */
    public static final class ResNetModel extends PreTrainedModel<BaseModelOutputWithPooling> {
        private final Body resnet;

        ResNetModel(Weights w, ConfigJson config) {
            super(w, config);
            resnet = new Body(w, ResNetConfig.of(config));
        }

        @Override
        protected BaseModelOutputWithPooling compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = resnet.forward(in, trace);
            Tensor pooled = adaptive_avg_pool2d(x, 1, 1); // [B, C, 1, 1]
            return new BaseModelOutputWithPooling(
                    x,
                    config().flag("flat_pooler", false) ? pooled.flatten(1, -1) : pooled,
                    trace.hiddenStates(),
                    null);
        }
        /** From a folder or an id. */
        public static ResNetModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ResNetModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ResNetModel.class, options);
        }
    }

    /** A Linear over the pooled features. */
    public static final class ResNetForImageClassification extends PreTrainedModel<ImageClassifierOutput> {
        private final Body resnet;
        private final Linear classifier;

        ResNetForImageClassification(Weights w, ConfigJson config) {
            super(w, config);
            ResNetConfig c = ResNetConfig.of(config);
            resnet = new Body(w.sub("resnet"), c);
            classifier = w.head()
                    .sub("classifier.1")
                    .torchLinear(c.hiddenSizes().get(c.hiddenSizes().size() - 1), config.numLabels());
        }

        @Override
        protected boolean trainsInBlocks() {
            return resnet.trainsInBlocks();
        }

        @Override
        protected ImageClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = adaptive_avg_pool2d(resnet.forward(in, trace), 1, 1).flatten(1, -1); // [B, C]
            return Vision.classified(classifier.forward(x), in, config(), trace);
        }
        /** From a folder or an id. */
        public static ResNetForImageClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static ResNetForImageClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, ResNetForImageClassification.class, options);
        }
    }
}
