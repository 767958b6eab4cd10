package dev.headstart.nn;

import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A convolution without bias and its batch normalization. For inference the two can be folded into one convolution with its activation and a residual added;
 * where gradients are asked for, and in training, the plain pair computes.
 */
public final class ConvNorm {
    private final Conv2d convolution;
    private final BatchNorm2d normalization;
    private volatile @Nullable FusedConv2d folded;

    ConvNorm(Conv2d convolution, BatchNorm2d normalization) {
        this.convolution = convolution;
        this.normalization = normalization;
    }

    /** @param x [B, in, H, W]; @return [B, out, H', W'] */
    public Tensor forward(Tensor x) {
        return forward(x, Activation.LINEAR);
    }

    /** @param x [B, in, H, W]; @return act(norm(conv(x))), [B, out, H', W'] */
    public Tensor forward(Tensor x, Activation act) {
        FusedConv2d f = folded;
        if (f == null || GradMode.is_enabled()) {
            return act.apply(normalization.forward(convolution.forward(x)));
        }
        return f.apply(x, act, null);
    }

    /** A residual connection's end. @param other [B, out, H', W']; @return act(norm(conv(x)) + other) */
    public Tensor forward(Tensor x, Tensor other, Activation act) {
        FusedConv2d f = folded;
        if (f == null || GradMode.is_enabled()) {
            return act.apply(normalization.forward(convolution.forward(x)).add(other));
        }
        return f.apply(x, act, other);
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

    /** @param type of the folded weights and of the results: float or bfloat16 */
    void fold(ScalarType type) {
        unfold();
        Memory.scoped(() -> {
            Tensor[] affine = normalization.affine();
            Tensor w = convolution.weight().tensor().detach();
            Tensor scaled = w.mul(affine[0].detach().view(-1, 1, 1, 1));
            folded = new FusedConv2d(scaled, affine[1].detach(), convolution.shape(), type);
        });
    }

    void unfold() {
        FusedConv2d f = folded;
        folded = null;
        if (f != null) {
            f.close();
        }
    }
}
