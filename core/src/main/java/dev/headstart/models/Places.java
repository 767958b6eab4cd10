package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.where;

import dev.headstart.nn.Memory;
import dev.headstart.nn.Ops;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Positions of tokens and their sinusoidal vectors (Vaswani et al. 2017, section 3.5). */
final class Places {
    private static final Device CPU = Memory.keep(new Device("cpu"));

    private Places() {}

    /** 0, 1, ... n - 1 where {@code like} lives, int64 [n]. */
    static Tensor upTo(long n, Tensor like) {
        return Ops.upTo(n, like.device());
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

    /**
     * Buckets of relative positions: small distances have one each, larger ones share in logarithmic steps (T5, Raffel et al. 2020, section 2.1).
     *
     * @param distance position of the key less that of the query, int64 [...]
     * @param buckets number of buckets
     * @param maxDistance from which on all share the last one
     * @param bothWays whether keys after the query have half of the buckets; otherwise they are in the first
     * @return int64 [...]
     */
    static Tensor relativeBuckets(Tensor distance, int buckets, int maxDistance, boolean bothWays) {
        if (distance.is_cuda()) {
            // a GPU divides by a constant as it multiplies by its inverse, and its logarithm rounds by itself:
            // distances at the edge of a bucket would fall
            // into the next one. All buckets that there are come from the CPU instead.
            Tensor all = relativeBuckets(
                    Ops.upTo(2L * maxDistance + 1, CPU).sub(new Scalar((long) maxDistance)),
                    buckets,
                    maxDistance,
                    bothWays);
            Tensor at = distance.clamp(
                            new ScalarOptional(new Scalar((long) -maxDistance)),
                            new ScalarOptional(new Scalar((long) maxDistance)))
                    .add(new Scalar((long) maxDistance));
            return all.to(distance.device(), ScalarType.Long)
                    .index_select(0, at.reshape(-1))
                    .view(distance.sizes());
        }
        int count = bothWays ? buckets / 2 : buckets;
        Tensor zero = distance.mul(new Scalar(0L));
        Tensor side = bothWays ? distance.gt(new Scalar(0L)).to(ScalarType.Long).mul(new Scalar((long) count)) : zero;
        Tensor far = bothWays ? distance.abs() : distance.minimum(zero).neg();
        int exact = count / 2;
        Tensor large = far.to(ScalarType.Float)
                .div(new Scalar((double) exact))
                .log()
                .div(new Scalar(Math.log((double) maxDistance / exact)))
                .mul(new Scalar((double) (count - exact)))
                .clamp_min(new Scalar(0.0)) // the distance 0 lies at minus infinity
                .to(ScalarType.Long)
                .add(new Scalar((long) exact))
                .clamp_max(new Scalar((long) (count - 1)));
        return side.add(where(far.lt(new Scalar((long) exact)), far, large));
    }
}
