package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.arange;
import static org.bytedeco.pytorch.global.torch.cat;

import dev.headstart.nn.Ops;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Positions of tokens and their sinusoidal vectors (Vaswani et al. 2017, section 3.5). */
final class Places {
    private Places() {}

    /** 0, 1, ... n - 1 where {@code like} lives, int64 [n]. */
    static Tensor upTo(long n, Tensor like) {
        return arange(new Scalar(n)).to(like.device(), ScalarType.Long);
    }

    /**
     * Sines in the first half, cosines in the second, computed in double precision.
     *
     * @param at positions, [B or 1, S]
     * @param like its type and device are the result's
     * @param size length of each vector
     * @param spread over how many steps wavelengths grow to 10000: size / 2 in the paper, size / 2 - 1 in fairseq
     * @return [B or 1, S, size]
     */
    static Tensor sinusoids(Tensor at, Tensor like, long size, double spread) {
        Tensor rate = upTo((size + 1) / 2, like)
                .to(ScalarType.Double)
                .mul(new Scalar(-Math.log(10000.0) / spread))
                .exp(); // [size / 2]
        Tensor angle = at.to(ScalarType.Double).unsqueeze(-1).mul(rate); // [B, S, size / 2]
        return cat(new TensorVector(angle.sin(), angle.narrow(-1, 0, size / 2).cos()), -1)
                .to(Ops.type(like));
    }
}
