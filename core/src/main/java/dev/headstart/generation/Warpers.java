package dev.headstart.generation;

import static org.bytedeco.pytorch.global.torch.min;
import static org.bytedeco.pytorch.global.torch.scalar_tensor;
import static org.bytedeco.pytorch.global.torch.sort;
import static org.bytedeco.pytorch.global.torch.topk;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * The processors that only sampling uses: they change the distribution's temperature or cut its tail. Arithmetic and order are those of
 * transformers 5.23 (generation/logits_process.py); each method names its class and paper.
 */
final class Warpers {
    private static final int TOP_H_CANDIDATES = 100; // TopHLogitsWarper.top_n

    private Warpers() {}

    /** What {@code config} asks for, in transformers' order. */
    static List<LogitsProcessor> of(GenerationConfig config, int endTokens) {
        // a beam must keep one token that does not end the text
        int keep = config.integer("num_beams", 1) > 1 ? (endTokens > 0 ? endTokens + 1 : 2) : 1;
        List<LogitsProcessor> all = new ArrayList<>();
        double temperature = config.number("temperature", 1);
        if (temperature != 1) {
            all.add((rows, scores) -> scores.div(new Scalar(temperature)));
        }
        if (config.has("top_h")) {
            double h = config.number("top_h", 1);
            all.add((rows, scores) -> topH(scores, h));
        }
        int k = config.integer("top_k", 0);
        if (k > 0) {
            all.add((rows, scores) -> topK(scores, Math.max(k, keep)));
        }
        double p = config.number("top_p", 1);
        if (p < 1) {
            all.add((rows, scores) -> topP(scores, p, keep));
        }
        if (config.has("min_p")) {
            double least = config.number("min_p", 0);
            all.add((rows, scores) -> minP(scores, least, keep));
        }
        double mass = config.number("typical_p", 1);
        if (mass < 1) {
            all.add((rows, scores) -> typical(scores, mass, keep));
        }
        double epsilon = config.number("epsilon_cutoff", 0);
        if (epsilon > 0 && epsilon < 1) {
            all.add((rows, scores) -> {
                Tensor low = scores.softmax(-1).lt(new Scalar(epsilon));
                return cut(scores, low.logical_and(belowTop(scores, keep)));
            });
        }
        double eta = config.number("eta_cutoff", 0);
        if (eta > 0 && eta < 1) {
            all.add((rows, scores) -> eta(scores, eta, keep));
        }
        return all;
    }

    /** TopKLogitsWarper: keeps the k best, and what ties with the last of them. */
    static Tensor topK(Tensor scores, int k) {
        return cut(scores, belowTop(scores, k));
    }

    /** TopPLogitsWarper (nucleus sampling, Holtzman et al. 2020): keeps the smallest set of tokens whose probability reaches p. */
    static Tensor topP(Tensor scores, double p, int keep) {
        T_TensorTensor_T sorted = sort(scores, -1, false);
        Tensor cumulative = sorted.get0().softmax(-1).cumsum(-1); // [R, V], least likely first
        Tensor remove = cumulative.le(new Scalar(1 - p));
        long vocab = scores.size(1);
        long kept = Math.min(keep, vocab);
        remove.narrow(1, vocab - kept, kept).fill_(new Scalar(0));
        return cut(scores, remove.scatter(1, sorted.get1(), remove));
    }

    /** MinPLogitsWarper (Nguyen et al. 2024): removes what is less likely than a share of the likeliest token. */
    static Tensor minP(Tensor scores, double least, int keep) {
        Tensor probabilities = scores.softmax(-1);
        Tensor remove =
                probabilities.lt(probabilities.amax(new long[] {-1}, true).mul(new Scalar(least)));
        Tensor best = topk(probabilities, Math.min(keep, scores.size(1))).get1();
        return cut(scores, remove.scatter(-1, best, new Scalar(0)));
    }

    /** TypicalLogitsWarper (Meister et al. 2022): keeps the tokens whose surprise is nearest to the entropy, up to a mass. */
    static Tensor typical(Tensor scores, double mass, int keep) {
        Tensor logProbabilities = scores.log_softmax(-1);
        Tensor entropy = logProbabilities
                .mul(logProbabilities.exp())
                .nansum(new long[] {-1}, true, new ScalarTypeOptional())
                .neg(); // [R, 1]
        Tensor distance = logProbabilities.neg().sub(entropy).abs();
        T_TensorTensor_T sorted = sort(distance, -1, false);
        Tensor cumulative = scores.gather(-1, sorted.get1()).softmax(-1).cumsum(-1);
        Tensor last = cumulative
                .lt(new Scalar(mass))
                .sum(1)
                .clamp_max(new Scalar(scores.size(1) - 1))
                .view(-1, 1); // [R, 1]
        Tensor remove = sorted.get0().gt(sorted.get0().gather(1, last));
        remove.narrow(1, 0, Math.min(keep, scores.size(1))).fill_(new Scalar(0));
        return cut(scores, remove.scatter(1, sorted.get1(), remove));
    }

    /** EtaLogitsWarper (Hewitt et al. 2022): a cutoff that falls with the entropy. */
    static Tensor eta(Tensor scores, double epsilon, int keep) {
        Tensor eps = scalar_tensor(new Scalar((float) epsilon), scores.options());
        Tensor threshold = min(eps, eps.sqrt().mul(entropy(scores).neg().exp())).unsqueeze(-1); // [R, 1]
        return cut(scores, scores.softmax(-1).lt(threshold).logical_and(belowTop(scores, keep)));
    }

    /** TopHLogitsWarper (entropy-bounded sampling): the likeliest tokens whose summed entropy stays below a share of the whole. */
    static Tensor topH(Tensor scores, double h) {
        T_TensorTensor_T top = topk(scores, Math.min(TOP_H_CANDIDATES, scores.size(1)));
        Tensor normalised = top.get0().sub(top.get0().logsumexp(new long[] {-1}, true));
        Tensor probabilities = normalised.softmax(-1);
        Tensor limit = entropy(top.get0()).mul(new Scalar(h)).unsqueeze(-1); // [R, 1]
        Tensor cumulative = probabilities.neg().mul(probabilities.log()).cumsum(-1);
        Tensor keep = cumulative.le(limit);
        keep.narrow(1, 0, 1).fill_(new Scalar(1));
        Tensor kept = torch.zeros_like(scores).gt(new Scalar(0)).scatter(1, top.get1(), keep);
        return cut(scores, kept.logical_not());
    }

    /** Entropy of the distribution of each row, [R], as {@code torch.distributions.Categorical} computes it. */
    private static Tensor entropy(Tensor scores) {
        Tensor normalised = scores.sub(scores.logsumexp(new long[] {-1}, true));
        Tensor finite = normalised.clamp_min(new Scalar((double) -Float.MAX_VALUE));
        return finite.mul(normalised.softmax(-1)).sum(-1).neg();
    }

    /** True where a score is below the k-th best of its row. */
    private static Tensor belowTop(Tensor scores, int k) {
        long kept = Math.min(k, scores.size(1));
        return scores.lt(topk(scores, kept).get0().narrow(1, kept - 1, 1));
    }

    private static Tensor cut(Tensor scores, Tensor remove) {
        return scores.masked_fill(remove, new Scalar(Double.NEGATIVE_INFINITY));
    }
}
