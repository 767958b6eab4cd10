package dev.headstart.nn;

import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.jspecify.annotations.Nullable;

/**
 * A convolution without bias and its batch normalization. For inference the two can be folded into one convolution, whose weights lie channels-last;
 * where gradients are asked for, and in training, the plain pair computes.
 */
public final class ConvNorm {
    private final Conv2d convolution;
    private final BatchNorm2d normalization;
    private volatile @Nullable Folded folded;

    private record Folded(Tensor weight, TensorOptional bias) {
        void close() {
            bias.close();
            weight.close();
        }
    }

    ConvNorm(Conv2d convolution, BatchNorm2d normalization) {
        this.convolution = convolution;
        this.normalization = normalization;
    }

    /** @param x [B, in, H, W]; @return [B, out, H', W'] */
    public Tensor forward(Tensor x) {
        Folded f = folded;
        if (f == null || GradMode.is_enabled()) {
            return normalization.forward(convolution.forward(x));
        }
        return convolution.apply(x, f.weight, f.bias);
    }

    /** The input in the order in which the folded convolution is fastest. */
    public Tensor arrange(Tensor x) {
        return folded == null || GradMode.is_enabled() ? x : x.contiguous(MemoryFormat.ChannelsLast);
    }

    /** The convolution. */
    public Conv2d convolution() {
        return convolution;
    }

    boolean folded() {
        return folded != null;
    }

    void fold() {
        unfold();
        Memory.scoped(() -> {
            Tensor[] affine = normalization.affine();
            Tensor w = convolution.weight().tensor().detach();
            Tensor scaled = w.mul(affine[0].detach().view(-1, 1, 1, 1)).contiguous(MemoryFormat.ChannelsLast);
            folded = new Folded(Memory.keep(scaled), Memory.keep(new TensorOptional(affine[1].detach())));
        });
    }

    void unfold() {
        Folded f = folded;
        folded = null;
        if (f != null) {
            f.close();
        }
    }
}
