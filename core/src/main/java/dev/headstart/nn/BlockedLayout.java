package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.max_pool2d;

import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Training of convolutional networks under autocast on the CPU with activations in oneDNN's own order (blocks of channels, torch's mkldnn layout): there its batch
 * normalization takes half of what torch's takes, forward and backward, and its convolutions need no order of their own. Gradients go through torch's autograd
 * as ever. Weights stay plain fp32; convolutions cast them while they reorder them. In fp32 the plain order stays: oneDNN adds in single precision, which is far below the
 * rounding of bf16 but above torch's in fp32 (1e-4 beside 3e-6 of the gradient of a small network's normalization).
 */
public final class BlockedLayout {
    /** Whether this build of libtorch has oneDNN. */
    public static final boolean AVAILABLE = torch.hasMKLDNN();

    private static final long[] ONE = {1, 1};
    private static final long[] NOTHING = {0, 0};
    private static final boolean HAS_BF16 = Processor.current().fastBf16();

    private BlockedLayout() {}

    /** Whether a gradient of pixels is so computed: with autocast on, where the processor has instructions for it. In inference there is no such order. */
    public static boolean takes(Tensor x) {
        return HAS_BF16
                && !x.is_cuda()
                && Ops.type(x) == ScalarType.Float
                && GradMode.is_enabled()
                && Autocast.isOn(DeviceType.CPU);
    }

    /** The pixels in that order, in bf16. */
    public static Tensor of(Tensor x) {
        return Autocast.operand(x).to_mkldnn();
    }

    /**
     * Every so many rows and columns of activations in that order: the largest values of windows of one place. A 1x1 convolution with a stride computes its input's gradient in
     * channels-last order, which the sum with a residual connection's other gradient then has to bring back by oneDNN's slowest kernel.
     */
    static Tensor every(Tensor x, long[] steps) {
        return max_pool2d(x, ONE, steps, NOTHING, ONE, false);
    }

    /** In the ordinary order again. */
    public static Tensor dense(Tensor x) {
        return x.to_dense();
    }
}
