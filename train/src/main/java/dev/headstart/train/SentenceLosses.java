package dev.headstart.train;

import dev.headstart.HeadstartException;
import java.util.List;
import java.util.function.Function;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * Losses over sentence vectors, as sentence-transformers computes them (the reference class is named at each). Columns are [B, D]: anchors,
 * positives, then any number of hard negatives; scores are [B].
 */
public final class SentenceLosses {
    /** sentence-transformers' factor of cosines. */
    public static final double SCALE = 20;

    private SentenceLosses() {}

    /**
     * MultipleNegativesRankingLoss (Henderson et al. 2017): an anchor's own positive must be nearer than every other positive and every negative
     * of the batch.
     *
     * @param columns anchors, positives and, if there are any, negatives, each [B, D]
     */
    public static Tensor multipleNegativesRanking(List<Tensor> columns, double scale) {
        if (columns.size() < 2) {
            throw new HeadstartException("ranking needs pairs: anchors and positives; found one column");
        }
        Tensor anchors = normalise(columns.get(0)); // [B, D]
        Tensor candidates = normalise(torch.cat(
                new TensorVector(columns.subList(1, columns.size()).toArray(Tensor[]::new)), 0)); // [B * (1 + N), D]
        Tensor scores = anchors.matmul(candidates.transpose(0, 1)).mul(new Scalar(scale)); // [B, B * (1 + N)]
        Tensor own = torch.arange(new Scalar(anchors.size(0))).to(anchors.device(), torch.ScalarType.Long);
        return torch.cross_entropy_loss(scores, own, new TensorOptional(), 1, -100, 0);
    }

    /** CoSENTLoss: pairs with a higher score must have a higher cosine. @param a [B, D]; @param b [B, D]; @param scores [B] */
    public static Tensor cosent(Tensor a, Tensor b, Tensor scores, double scale) {
        Tensor cos = cosines(a, b).mul(new Scalar(scale)); // [B]
        Tensor lower = scores.unsqueeze(1).lt(scores.unsqueeze(0)); // [B, B]: row's score below column's
        Tensor differences = cos.unsqueeze(1).sub(cos.unsqueeze(0)); // [B, B]
        Tensor counted = differences
                .masked_fill(lower.logical_not(), new Scalar(Double.NEGATIVE_INFINITY))
                .reshape(-1);
        Tensor zero = torch.zeros_like(counted.narrow(0, 0, 1));
        return torch.cat(new TensorVector(zero, counted), 0).logsumexp(new long[] {0}, false);
    }

    /** CosineSimilarityLoss: the mean square of cosine minus score. @param scores [B], in [-1, 1] */
    public static Tensor cosine(Tensor a, Tensor b, Tensor scores) {
        return torch.mse_loss(cosines(a, b), scores);
    }

    /**
     * MatryoshkaLoss (Kusupati et al. 2022): the sum of a loss over the vectors' first D elements, for each D.
     *
     * @param dims the Ds, none above the vectors' size
     */
    public static Tensor matryoshka(List<Tensor> columns, List<Integer> dims, Function<List<Tensor>, Tensor> loss) {
        Tensor sum = null;
        for (int dim : dims) {
            if (dim < 1 || dim > columns.get(0).size(1)) {
                throw new HeadstartException("matryoshka dimension " + dim + ": expected 1 to "
                        + columns.get(0).size(1) + ", the size of this model's vectors");
            }
            Tensor one = loss.apply(
                    columns.stream().map(c -> normalise(c.narrow(1, 0, dim))).toList());
            sum = sum == null ? one : sum.add(one);
        }
        if (sum == null) {
            throw new HeadstartException("matryoshka needs at least one dimension");
        }
        return sum;
    }

    /** @return [B] */
    public static Tensor cosines(Tensor a, Tensor b) {
        return normalise(a).mul(normalise(b)).sum(1);
    }

    /** @return [A, B]: each of a with each of b */
    public static Tensor cosineMatrix(Tensor a, Tensor b) {
        return normalise(a).matmul(normalise(b).transpose(0, 1));
    }

    private static Tensor normalise(Tensor x) {
        Tensor norm = x.norm(new ScalarOptional(new Scalar(2.0)), new long[] {1}, true)
                .clamp(new ScalarOptional(new Scalar(1e-12)));
        return x.div(norm);
    }
}
