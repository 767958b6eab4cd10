package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.argmax;
import static org.bytedeco.pytorch.global.torch.cross_entropy_loss;
import static org.bytedeco.pytorch.global.torch.maximum;
import static org.bytedeco.pytorch.global.torch.minimum;
import static org.bytedeco.pytorch.global.torch.softmax;

import dev.headstart.HeadstartException;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;

/**
 * The set loss of DETR (Carion et al. 2020, section 3.1; transformers {@code loss_for_object_detection.py}): predictions and objects are matched one to
 * one at the least cost, then classes and boxes are compared. B images, Q predictions an image, C classes, M matches. Boxes are centre x, centre y,
 * width, height, relative to the image.
 */
final class Detection {
    private Detection() {}

    /**
     * Parts of the loss, scalars.
     *
     * @param lossCe cross entropy, "no object" counted less
     * @param lossBbox sum of absolute differences an object
     * @param lossGiou 1 - generalised IoU, mean over the objects
     * @param cardinalityError error of the number of objects, for logs
     */
    record LossDict(Tensor lossCe, Tensor lossBbox, Tensor lossGiou, Tensor cardinalityError) implements ModelOutput {}

    /** One image's objects. @param classes int64 [T]; @param boxes [T, 4] */
    record Target(Tensor classes, Tensor boxes) {}

    /** Weights of the costs and of the parts of the loss; transformers' field names and defaults. */
    record LossConfig(
            double classCost,
            double bboxCost,
            double giouCost,
            double bboxLossCoefficient,
            double giouLossCoefficient,
            double eosCoefficient) {
        static LossConfig of(ConfigJson c) {
            return new LossConfig(
                    c.number("class_cost", 1),
                    c.number("bbox_cost", 5),
                    c.number("giou_cost", 2),
                    c.number("bbox_loss_coefficient", 5),
                    c.number("giou_loss_coefficient", 2),
                    c.number("eos_coefficient", 0.1));
        }

        Tensor total(LossDict parts) {
            return parts.lossCe
                    .add(parts.lossBbox.mul(new Scalar(bboxLossCoefficient)))
                    .add(parts.lossGiou.mul(new Scalar(giouLossCoefficient)));
        }
    }

    /** Linear, relu, Linear, relu, Linear (transformers DetrMLPPredictionHead). */
    static final class Mlp {
        private final List<Linear> layers = new ArrayList<>();

        Mlp(Weights w, long in, long hidden, long out, int count) {
            for (int i = 0; i < count; i++) {
                layers.add(w.sub("layers." + i).linear(i == 0 ? in : hidden, i == count - 1 ? out : hidden));
            }
        }

        /** @param x [..., in]; @return [..., out] */
        Tensor forward(Tensor x) {
            for (int i = 0; i < layers.size(); i++) {
                x = layers.get(i).forward(x, i < layers.size() - 1 ? Activation.RELU : Activation.LINEAR);
            }
            return x;
        }
    }

    /** {@code labels.0.class_labels}, {@code labels.0.boxes} ...; empty when none are given. */
    static List<Target> targets(Inputs in, long images) {
        List<Target> all = new ArrayList<>();
        for (int i = 0; i < images; i++) {
            String label = "labels." + i + ".";
            for (String unused : List.of("area", "iscrowd", "image_id", "orig_size", "size")) {
                in.optional(label + unused);
            }
            Tensor classes = in.optional(label + "class_labels"), boxes = in.optional(label + "boxes");
            if (classes != null && boxes != null) {
                all.add(new Target(classes, boxes));
            }
        }
        if (!all.isEmpty() && all.size() != images) {
            throw new HeadstartException("labels: " + all.size() + " of " + images
                    + " images have class_labels and boxes; give them for every image");
        }
        return all;
    }

    /**
     * Matches and compares.
     *
     * @param logits [B, Q, C + 1], the last class being "no object"
     * @param boxes [B, Q, 4]
     */
    static LossDict loss(Tensor logits, Tensor boxes, List<Target> targets, LossConfig c) {
        int images = (int) logits.size(0), queries = (int) logits.size(1), classes = (int) logits.size(2);
        float[] probability = Tensors.floats(softmax(logits.detach(), -1)), predicted = Tensors.floats(boxes);
        long[] expected = new long[images * queries]; // class of every prediction
        Arrays.fill(expected, classes - 1);
        List<Long> matched = new ArrayList<>();
        List<float[]> objects = new ArrayList<>();
        float[] lengths = new float[images];
        for (int b = 0; b < images; b++) {
            long[] labels = Tensors.longs(targets.get(b).classes());
            float[] truth = Tensors.floats(targets.get(b).boxes());
            lengths[b] = labels.length;
            double[][] cost = new double[queries][labels.length];
            for (int q = 0; q < queries; q++) {
                for (int t = 0; t < labels.length; t++) {
                    int p = b * queries + q;
                    if (labels[t] < 0 || labels[t] >= classes) {
                        throw new HeadstartException(
                                "labels." + b + ".class_labels: " + labels[t] + " is outside 0.." + (classes - 2));
                    }
                    double l1 = 0;
                    for (int k = 0; k < 4; k++) {
                        l1 += Math.abs(predicted[4 * p + k] - truth[4 * t + k]);
                    }
                    double value = c.bboxCost() * l1
                            - c.classCost() * probability[p * classes + (int) labels[t]]
                            - c.giouCost() * giou(predicted, 4 * p, truth, 4 * t);
                    cost[q][t] = Double.isFinite(value) ? value : Float.MAX_VALUE;
                }
            }
            int[] query = assign(cost, labels.length);
            for (int t = 0; t < labels.length; t++) {
                if (query[t] >= 0) {
                    int p = b * queries + query[t];
                    expected[p] = labels[t];
                    matched.add((long) p);
                    objects.add(Arrays.copyOfRange(truth, 4 * t, 4 * t + 4));
                }
            }
        }
        double count = 0;
        for (float n : lengths) {
            count += n;
        }
        return compare(logits, boxes, expected, matched, objects, lengths, Math.max(count, 1), c);
    }

    private static LossDict compare(
            Tensor logits,
            Tensor boxes,
            long[] expected,
            List<Long> matched,
            List<float[]> objects,
            float[] lengths,
            double count,
            LossConfig c) {
        long classes = logits.size(2);
        var device = logits.device();
        float[] weights = new float[(int) classes];
        Arrays.fill(weights, 1);
        weights[weights.length - 1] = (float) c.eosCoefficient();
        Tensor ce = cross_entropy_loss(
                logits.reshape(-1, classes),
                Tensors.int64(expected).to(device, org.bytedeco.pytorch.global.torch.ScalarType.Long),
                new TensorOptional(Tensors.float32(weights, classes).to(device, Ops.type(logits))),
                1,
                -100,
                0);
        float[] flat = new float[4 * objects.size()];
        for (int i = 0; i < objects.size(); i++) {
            System.arraycopy(objects.get(i), 0, flat, 4 * i, 4);
        }
        Tensor at = Tensors.int64(matched.stream().mapToLong(Long::longValue).toArray())
                .to(device, org.bytedeco.pytorch.global.torch.ScalarType.Long); // [M]
        Tensor own = boxes.reshape(-1, 4).index_select(0, at); // [M, 4]
        Tensor truth = Tensors.float32(flat, objects.size(), 4).to(device, Ops.type(boxes)); // [M, 4]
        Tensor bbox = own.sub(truth).abs().sum().div(new Scalar(count));
        Tensor giou = giou(corners(own), corners(truth))
                .neg()
                .add(new Scalar(1.0))
                .sum()
                .div(new Scalar(count));
        Tensor found = argmax(logits.detach(), new LongOptional(2), false)
                .ne(new Scalar(classes - 1))
                .sum(1); // [B]
        Tensor cardinality = found.to(org.bytedeco.pytorch.global.torch.ScalarType.Float)
                .sub(Tensors.float32(lengths, lengths.length)
                        .to(device, org.bytedeco.pytorch.global.torch.ScalarType.Float))
                .abs()
                .mean();
        return new LossDict(ce, bbox, giou, cardinality);
    }

    /** @param boxes [..., 4] as centre and size; @return [..., 4] as left, top, right, bottom */
    static Tensor corners(Tensor boxes) {
        Tensor centre = boxes.narrow(-1, 0, 2), half = boxes.narrow(-1, 2, 2).mul(new Scalar(0.5));
        return Vision.concat(-1, centre.sub(half), centre.add(half));
    }

    /** Generalised IoU (Rezatofighi et al. 2019) of corresponding boxes. @param a corners [M, 4]; @param b corners [M, 4]; @return [M] */
    private static Tensor giou(Tensor a, Tensor b) {
        Tensor inner =
                area(minimum(a.narrow(1, 2, 2), b.narrow(1, 2, 2)).sub(maximum(a.narrow(1, 0, 2), b.narrow(1, 0, 2))));
        Tensor union = area(a.narrow(1, 2, 2).sub(a.narrow(1, 0, 2)))
                .add(area(b.narrow(1, 2, 2).sub(b.narrow(1, 0, 2))))
                .sub(inner);
        Tensor hull =
                area(maximum(a.narrow(1, 2, 2), b.narrow(1, 2, 2)).sub(minimum(a.narrow(1, 0, 2), b.narrow(1, 0, 2))));
        return inner.div(union).sub(hull.sub(union).div(hull));
    }

    /** @param sides [M, 2], negative ones counting as 0; @return [M] */
    private static Tensor area(Tensor sides) {
        Tensor s = sides.clamp_min(new Scalar(0.0));
        return s.select(1, 0).mul(s.select(1, 1));
    }

    private static double giou(float[] a, int i, float[] b, int j) {
        double ax0 = a[i] - a[i + 2] / 2,
                ay0 = a[i + 1] - a[i + 3] / 2,
                ax1 = a[i] + a[i + 2] / 2,
                ay1 = a[i + 1] + a[i + 3] / 2;
        double bx0 = b[j] - b[j + 2] / 2,
                by0 = b[j + 1] - b[j + 3] / 2,
                bx1 = b[j] + b[j + 2] / 2,
                by1 = b[j + 1] + b[j + 3] / 2;
        double inner = Math.max(0, Math.min(ax1, bx1) - Math.max(ax0, bx0))
                * Math.max(0, Math.min(ay1, by1) - Math.max(ay0, by0));
        double union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - inner;
        double hull = Math.max(0, Math.max(ax1, bx1) - Math.min(ax0, bx0))
                * Math.max(0, Math.max(ay1, by1) - Math.min(ay0, by0));
        return inner / union - (hull - union) / hull;
    }

    /**
     * The assignment of least total cost, each row and each column used at most once (Hungarian algorithm with potentials, O(n^3)).
     *
     * @param cost by row and column
     * @param columns number of columns, which a matrix without rows does not show
     * @return the row of each column, -1 for columns left over when there are more columns than rows
     */
    static int[] assign(double[][] cost, int columns) {
        int rows = cost.length;
        boolean flipped = columns > rows; // the short side is assigned
        int n = Math.min(rows, columns), m = Math.max(rows, columns);
        double[] u = new double[n + 1], v = new double[m + 1];
        int[] owner = new int[m + 1], way = new int[m + 1];
        for (int i = 1; i <= n; i++) {
            owner[0] = i;
            int at = 0;
            double[] least = new double[m + 1];
            boolean[] used = new boolean[m + 1];
            Arrays.fill(least, Double.POSITIVE_INFINITY);
            do {
                used[at] = true;
                int row = owner[at], next = 0;
                double delta = Double.POSITIVE_INFINITY;
                for (int j = 1; j <= m; j++) {
                    if (!used[j]) {
                        double reduced = (flipped ? cost[row - 1][j - 1] : cost[j - 1][row - 1]) - u[row] - v[j];
                        if (reduced < least[j]) {
                            least[j] = reduced;
                            way[j] = at;
                        }
                        if (least[j] < delta) {
                            delta = least[j];
                            next = j;
                        }
                    }
                }
                for (int j = 0; j <= m; j++) {
                    if (used[j]) {
                        u[owner[j]] += delta;
                        v[j] -= delta;
                    } else {
                        least[j] -= delta;
                    }
                }
                at = next;
            } while (owner[at] != 0);
            do {
                owner[at] = owner[way[at]];
                at = way[at];
            } while (at != 0);
        }
        int[] result = new int[columns];
        Arrays.fill(result, -1);
        for (int j = 1; j <= m; j++) {
            if (owner[j] > 0) {
                if (flipped) {
                    result[j - 1] = owner[j] - 1;
                } else {
                    result[owner[j] - 1] = j - 1;
                }
            }
        }
        return result;
    }
}
