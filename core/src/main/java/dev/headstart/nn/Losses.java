package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.binary_cross_entropy_with_logits;
import static org.bytedeco.pytorch.global.torch.cross_entropy_loss;
import static org.bytedeco.pytorch.global.torch.mse_loss;

import dev.headstart.HeadstartException;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** Losses as the reference's heads compute them; all are means, scalars. */
public final class Losses {
    private static final long MEAN = 1;

    private Losses() {}

    /** Cross entropy over the last dimension, positions labelled -100 left out. @param logits [..., C]; @param labels int64 [...] */
    public static Tensor crossEntropy(Tensor logits, Tensor labels) {
        return crossEntropy(logits, labels, -100, 0);
    }

    /**
     * Cross entropy over the last dimension.
     *
     * @param logits [..., C]
     * @param labels int64 [...]
     * @param ignoreIndex label that counts for nothing
     * @param smoothing label smoothing in [0, 1)
     */
    public static Tensor crossEntropy(Tensor logits, Tensor labels, long ignoreIndex, double smoothing) {
        long classes = logits.size(-1);
        if (!labels.is_cuda()) { // where looking would stall the GPU, it is the one that fails
            Tensor outside = labels.lt(new Scalar(0)).logical_or(labels.ge(new Scalar((double) classes)));
            Tensor wrong = labels.masked_select(outside.logical_and(labels.ne(new Scalar((double) ignoreIndex))));
            if (wrong.numel() > 0) {
                throw new HeadstartException(
                        "labels: " + wrong.flatten().select(0, 0).item_long()
                                + " is outside 0.." + (classes - 1)
                                + "; does the model have as many classes (num_labels) as the data?");
            }
        }
        Tensor flat = logits.reshape(-1, classes).to(ScalarType.Float); // [N, C]
        return cross_entropy_loss(flat, labels.reshape(-1), new TensorOptional(), MEAN, ignoreIndex, smoothing);
    }

    /**
     * The loss of a sequence classification head, as transformers chooses it: by config.json's problem_type, else by the number of labels (1 is
     * regression) and the labels' type (integers are classes, floats are several labels at once).
     *
     * @param logits [B, C]
     * @param labels int64 [B], or float [B] for regression, or float [B, C] for several labels
     */
    public static Tensor sequenceClassification(Tensor logits, Tensor labels, String problemType) {
        String type = problemType;
        if (type.isEmpty()) {
            boolean integers = !labels.is_floating_point();
            type = logits.size(-1) == 1
                    ? "regression"
                    : integers ? "single_label_classification" : "multi_label_classification";
        }
        return switch (type) {
            case "regression" ->
                logits.size(-1) == 1
                        ? mse_loss(
                                logits.reshape(-1), labels.to(Ops.type(logits)).reshape(-1))
                        : mse_loss(logits, labels.to(Ops.type(logits)));
            case "multi_label_classification" -> binary_cross_entropy_with_logits(logits, labels.to(Ops.type(logits)));
            default -> crossEntropy(logits, labels);
        };
    }

    /**
     * Binary cross entropy of one score a position.
     *
     * @param logits [B, S]
     * @param labels [B, S], 0 or 1
     * @param mask [B, S]; positions where it is not 1 are left out; null when all count
     */
    public static Tensor binary(Tensor logits, Tensor labels, @Nullable Tensor mask) {
        Tensor target = labels.to(Ops.type(logits));
        if (mask == null) {
            return binary_cross_entropy_with_logits(logits, target);
        }
        Tensor counts = mask.eq(new Scalar(1L)); // [B, S]
        return binary_cross_entropy_with_logits(logits.masked_select(counts), target.masked_select(counts));
    }
}
