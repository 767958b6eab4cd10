package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.pixel_shuffle;
import static org.bytedeco.pytorch.global.torch.upsample_bicubic2d;
import static org.bytedeco.pytorch.global.torch.upsample_bilinear2d;

import dev.headstart.HeadstartException;
import dev.headstart.models.VisionOutputs.ImageClassifierOutput;
import dev.headstart.models.VisionOutputs.MaskedImageModelingOutput;
import dev.headstart.nn.Conv2d;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.List;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.jspecify.annotations.Nullable;

/** What vision families do alike: reading pixels, resizing position tables, heads. */
final class Vision {
    private static final OperatorHandle ANTIALIASED = Ops.find("aten::_upsample_bicubic2d_aa", "");

    private Vision() {}

    /** Height and width of a size that config.json gives as one number or two. */
    record Sides(int height, int width) {
        static Sides of(ConfigJson c, String field, int absent) {
            List<Integer> sides = c.integers(field, List.of(absent));
            if (sides.isEmpty() || sides.size() > 2 || sides.stream().anyMatch(s -> s < 1)) {
                throw new HeadstartException(
                        c.origin() + ": " + field + " must be a side or [height, width], found " + sides);
            }
            return new Sides(sides.get(0), sides.get(sides.size() - 1));
        }
    }

    /** {@code pixel_values}, [B, channels, H, W], in the type of the model's weights. */
    static Tensor pixels(Inputs in, int channels, Tensor like) {
        Tensor x = in.required("pixel_values");
        if (x.dim() != 4 || x.size(1) != channels) {
            throw new HeadstartException("pixel_values: expected [batch, " + channels + ", height, width], found "
                    + java.util.Arrays.toString(x.shape()) + "; num_channels in config.json says " + channels);
        }
        return Ops.type(x) == Ops.type(like) ? x : x.to(Ops.type(like));
    }

    /** Concatenates along a dimension. */
    static Tensor concat(long dim, Tensor... parts) {
        return cat(new TensorVector(parts), dim);
    }

    /** F.interpolate(mode="bilinear", align_corners=False). @param x [B, C, H, W] */
    static Tensor bilinear(Tensor x, long height, long width) {
        return upsample_bilinear2d(
                x, new long[] {height, width}, false, new DoubleOptional((Pointer) null), new DoubleOptional((Pointer)
                        null));
    }

    /**
     * A square table of position embeddings for another grid of patches, by bicubic interpolation (DINO; transformers {@code interpolate_pos_encoding}).
     *
     * @param table [1, special + n * n, D]
     * @param special leading rows that stay as they are (class token, distillation token)
     * @return [1, special + height * width, D]
     */
    static Tensor positions(Tensor table, int special, long height, long width) {
        return positions(table, special, height, width, false);
    }

    /** The same. @param antialias whether the filter widens where the grid shrinks */
    static Tensor positions(Tensor table, int special, long height, long width, boolean antialias) {
        long side = (long) Math.sqrt((double) table.size(1) - special);
        Tensor resized = grid(table.narrow(1, special, table.size(1) - special), side, side, height, width, antialias);
        return special == 0 ? resized : concat(1, table.narrow(1, 0, special), resized);
    }

    /** A table over one grid for another, by bicubic interpolation. @param table [L, fromHeight * fromWidth, D]; @return [L, height * width, D] */
    static Tensor grid(Tensor table, long fromHeight, long fromWidth, long height, long width) {
        return grid(table, fromHeight, fromWidth, height, width, false);
    }

    private static Tensor grid(
            Tensor table, long fromHeight, long fromWidth, long height, long width, boolean antialias) {
        long l = table.size(0), d = table.size(2);
        Tensor grid = table.reshape(l, fromHeight, fromWidth, d).permute(0, 3, 1, 2); // [L, D, fromHeight, fromWidth]
        Tensor full = grid.to(org.bytedeco.pytorch.global.torch.ScalarType.Float);
        return (antialias
                        ? Ops.call(
                                ANTIALIASED,
                                new IValue(full),
                                Ops.longs(height, width),
                                new IValue(false),
                                new IValue(),
                                new IValue())
                        : upsample_bicubic2d(full, new long[] {height, width}, false))
                .to(Ops.type(table))
                .permute(0, 2, 3, 1)
                .reshape(l, height * width, d);
    }

    /** Replaces the embeddings of masked patches. @param x [B, N, D]; @param mask {@code bool_masked_pos} [B, N]; @param token broadcastable to [B, N, D] */
    static Tensor mask(Tensor x, Tensor mask, Tensor token) {
        Tensor m = mask.reshape(x.size(0), -1).unsqueeze(2).to(Ops.type(x)); // [B, N, 1]
        return x.mul(m.neg().add(new Scalar(1))).add(token.mul(m)); // [B, N, D]
    }

    /** Logits with the loss that {@code labels} ask for. @param logits [B, C] */
    static ImageClassifierOutput classified(Tensor logits, Inputs in, ConfigJson config, Trace trace) {
        Tensor labels = in.optional("labels");
        Tensor loss = labels == null ? null : Losses.sequenceClassification(logits, labels, config.problemType());
        return new ImageClassifierOutput(loss, logits, trace.hiddenStates(), trace.attentions());
    }

    /**
     * Cross entropy of logits that are first enlarged to the labels' size; with one class, binary cross entropy.
     *
     * @param logits [B, C, H', W']
     * @param labels int64 [B, H, W]
     * @param ignored label that counts for nothing
     */
    static Tensor segmentationLoss(Tensor logits, Tensor labels, int ignored) {
        Tensor full = bilinear(logits, labels.size(-2), labels.size(-1)); // [B, C, H, W]
        if (logits.size(1) > 1) {
            return Losses.crossEntropy(full.permute(0, 2, 3, 1), labels, ignored, 0);
        }
        Tensor valid = labels.ge(new Scalar(0))
                .logical_and(labels.ne(new Scalar(ignored)))
                .to(Ops.type(full)); // [B, H, W]
        Tensor x = full.squeeze(1), y = labels.to(Ops.type(full));
        Tensor each = x.clamp_min(new Scalar(0.0))
                .sub(x.mul(y))
                .add(x.abs().neg().exp().log1p()); // binary cross entropy with logits
        return each.mul(valid).mean();
    }

    /** Convolution and pixel shuffle that turn the last hidden state into an image (SimMIM, Xie et al. 2022), and its loss on masked patches. */
    static final class Reconstruction {
        private final Conv2d decoder;
        private final int stride;
        private final int channels;
        private final Sides patch;
        private final Sides image;

        Reconstruction(Weights w, int hidden, ConfigJson c, int strideAbsent, Sides image, Sides patch) {
            stride = c.size("encoder_stride", strideAbsent);
            channels = c.size("num_channels", 3);
            decoder = w.sub("decoder.0")
                    .conv2d(hidden, (long) stride * stride * channels, 1, Conv2d.Shape.of(1, 0), true);
            this.patch = patch;
            this.image = image;
        }

        /** @param tokens patches only, [B, N, D]; @param pixels [B, channels, H, W] */
        MaskedImageModelingOutput forward(Tensor tokens, Tensor pixels, @Nullable Tensor mask, Trace trace) {
            long side = (long) Math.sqrt((double) tokens.size(1));
            Tensor x =
                    tokens.permute(0, 2, 1).reshape(tokens.size(0), tokens.size(2), side, side); // [B, D, side, side]
            Tensor image = pixel_shuffle(decoder.forward(x), stride); // [B, channels, H, W]
            return new MaskedImageModelingOutput(
                    mask == null ? null : loss(pixels, image, mask), image, trace.hiddenStates(), trace.attentions());
        }

        private Tensor loss(Tensor pixels, Tensor reconstruction, Tensor mask) {
            Tensor m = mask.reshape(-1, image.height() / patch.height(), image.width() / patch.width())
                    .repeat_interleave(
                            patch.height(),
                            new org.bytedeco.pytorch.LongOptional(1),
                            new org.bytedeco.pytorch.LongOptional((Pointer) null))
                    .repeat_interleave(
                            patch.width(),
                            new org.bytedeco.pytorch.LongOptional(2),
                            new org.bytedeco.pytorch.LongOptional((Pointer) null))
                    .unsqueeze(1)
                    .to(Ops.type(pixels)); // [B, 1, H, W]
            return pixels.sub(reconstruction)
                    .abs()
                    .mul(m)
                    .sum()
                    .div(m.sum().add(new Scalar(1e-5)))
                    .div(new Scalar((double) channels));
        }
    }
}
