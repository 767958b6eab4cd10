package dev.headstart.train.vision;

import dev.headstart.HeadstartException;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Mixes each image of a batch with the one that stands opposite, and their labels alike: mixup (Zhang et al. 2018) blends whole images, cutmix (Yun et
 * al. 2019) replaces a rectangle. With both, one of the two is drawn for each batch.
 *
 * @param mixup alpha of mixup's Beta distribution; 0: none
 * @param cutmix alpha of cutmix's; 0: none
 */
record Mixing(double mixup, double cutmix) {
    Mixing {
        if (!(mixup >= 0 && cutmix >= 0)) {
            throw new HeadstartException("--mixup and --cutmix must be 0 or above, found " + mixup + " and " + cutmix);
        }
    }

    /** Changes {@code pixel_values} [B, 3, H, W] in place and {@code labels} from int64 [B] to float [B, classes]. */
    void apply(Map<String, Tensor> batch, int classes, SplittableRandom random) {
        Tensor x = Objects.requireNonNull(batch.get("pixel_values"));
        Tensor labels = torch.one_hot(Objects.requireNonNull(batch.get("labels")), classes)
                .to(ScalarType.Float); // [B, C]
        boolean cut = cutmix > 0 && (mixup == 0 || random.nextBoolean());
        double alpha = cut ? cutmix : mixup, keep = beta(alpha, random);
        Tensor other = x.flip(0); // [B, 3, H, W]
        if (cut) {
            long h = x.size(2), w = x.size(3);
            double side = Math.sqrt(1 - keep);
            long cy = random.nextLong(h), cx = random.nextLong(w);
            long y0 = Math.max(0, cy - (long) (h * side / 2)), y1 = Math.min(h, cy + (long) (h * side / 2));
            long x0 = Math.max(0, cx - (long) (w * side / 2)), x1 = Math.min(w, cx + (long) (w * side / 2));
            if (y1 > y0 && x1 > x0) {
                x.narrow(2, y0, y1 - y0)
                        .narrow(3, x0, x1 - x0)
                        .copy_(other.narrow(2, y0, y1 - y0).narrow(3, x0, x1 - x0));
            }
            keep = 1 - (double) ((y1 - y0) * (x1 - x0)) / (h * w);
        } else {
            x.mul_(new Scalar(keep)).add_(other, new Scalar(1 - keep));
        }
        batch.put("labels", labels.mul(new Scalar(keep)).add(labels.flip(0), new Scalar(1 - keep)));
    }

    /** From Beta(alpha, alpha) (Johnk's method; for alpha above 1 as a ratio of sums). */
    static double beta(double alpha, SplittableRandom random) {
        double a = gamma(alpha, random), b = gamma(alpha, random);
        return a + b == 0 ? 0.5 : a / (a + b);
    }

    /** From Gamma(alpha, 1) (Marsaglia and Tsang 2000). */
    private static double gamma(double alpha, SplittableRandom random) {
        if (alpha < 1) {
            return gamma(alpha + 1, random) * Math.pow(1 - random.nextDouble(), 1 / alpha);
        }
        double d = alpha - 1.0 / 3, c = 1 / Math.sqrt(9 * d);
        while (true) {
            double x = random.nextGaussian(), v = Math.pow(1 + c * x, 3);
            if (v > 0 && Math.log(1 - random.nextDouble()) < 0.5 * x * x + d - d * v + d * Math.log(v)) {
                return d * v;
            }
        }
    }
}
