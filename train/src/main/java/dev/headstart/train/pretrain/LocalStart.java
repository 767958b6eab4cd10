package dev.headstart.train.pretrain;

import dev.headstart.HeadstartException;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import java.nio.FloatBuffer;
import java.util.Map;
import java.util.Map.Entry;
import java.util.regex.Pattern;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * New weights with which the heads of an encoder's first layer attend to the tokens beside their own: head 0 to the one before, head 1 to the one behind,
 * then two away, and so on. Trained encoders have such heads (Voita et al. 2019; Clark et al. 2019, section 3.1), and a masked word is known by its
 * neighbours alone; from plain random weights a small BERT needs many millions of tokens to find them. The like for images is ConViT's start (d'Ascoli et
 * al. 2021).
 *
 * <p>Position t starts as sines and cosines of w_i t, i in [0, H/2), w_i falling evenly from pi to pi/100. Every head owns d/2 of the frequencies; its key
 * reads them, its query reads them turned by the angle w_i o of the head's offset o, so that the score of t and s is 2 sum_i cos(w_i (t + o - s)), highest
 * at s = t + o. Nothing holds the weights there: training goes on from them as from any.
 */
final class LocalStart {
    private static final Pattern POSITIONS = Pattern.compile(".*embeddings\\.position_embeddings\\.weight");
    private static final Pattern SEGMENTS = Pattern.compile(".*embeddings\\.token_type_embeddings\\.weight");
    private static final Pattern QUERY = Pattern.compile(".*layer\\.0\\.attention\\.(self\\.query|q_lin)\\.weight");
    private static final Pattern KEY = Pattern.compile(".*layer\\.0\\.attention\\.(self\\.key|k_lin)\\.weight");
    private static final double SLOWEST = 0.01;
    private static final float SEGMENTS_SHARE = 0.1f;
    private static final float GAIN = (float) Math.sqrt(2);

    private LocalStart() {}

    /**
     * Writes over the first layer's positions, queries and keys.
     *
     * @param model with new weights
     * @param heads of a layer
     * @param std standard deviation of new weights (initializer_range)
     * @throws HeadstartException when the model has no learnt positions, or its layers have other names
     */
    static void apply(PreTrainedModel<?> model, int heads, double std) {
        Map<String, Parameter> all = model.namedParameters();
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Tensor positions = find(all, POSITIONS); // [P, H]
            Tensor query = find(all, QUERY); // [H, H]
            Tensor key = find(all, KEY); // [H, H]
            int width = (int) positions.size(1);
            int size = width / heads;
            if (width % (2 * heads) != 0) {
                throw new HeadstartException("--init local needs heads of an even size, found " + heads + " heads in "
                        + width + " dimensions");
            }
            positions.copy_(matrix(positions(positions.size(0), width, Math.sqrt(2) * std)));
            float[][] turned = new float[width][width];
            float[][] read = new float[width][width];
            for (int h = 0; h < heads; h++) {
                for (int j = 0; j < size / 2; j++) {
                    int i = j * heads + h; // the frequency
                    double angle = frequency(i, width / 2) * offset(h);
                    float sin = GAIN * (float) Math.sin(angle), cos = GAIN * (float) Math.cos(angle);
                    int row = h * size + 2 * j;
                    read[row][2 * i] = GAIN;
                    read[row + 1][2 * i + 1] = GAIN;
                    turned[row][2 * i] = cos; // sin(w (t + o)) = sin(wt) cos(wo) + cos(wt) sin(wo)
                    turned[row][2 * i + 1] = sin;
                    turned[row + 1][2 * i] = -sin; // cos(w (t + o)) = cos(wt) cos(wo) - sin(wt) sin(wo)
                    turned[row + 1][2 * i + 1] = cos;
                }
            }
            query.add_(matrix(turned).to(query.device(), Ops.type(query))); // to the random weights
            key.add_(matrix(read).to(key.device(), Ops.type(key)));
            all.forEach((name, p) -> {
                if (SEGMENTS.matcher(name).matches()) {
                    p.tensor().mul_(new Scalar(SEGMENTS_SHARE));
                }
            });
        }
    }

    /** Which neighbour a head attends to: -1, 1, -2, 2, ... */
    static int offset(int head) {
        return head % 2 == 0 ? -(head / 2 + 1) : head / 2 + 1;
    }

    private static double frequency(int i, int count) {
        return Math.PI * (1 - (1 - SLOWEST) * i / Math.max(1, count - 1));
    }

    private static float[][] positions(long rows, int width, double scale) {
        float[][] values = new float[(int) rows][width];
        for (int t = 0; t < rows; t++) {
            for (int i = 0; i < width / 2; i++) {
                double angle = frequency(i, width / 2) * t;
                values[t][2 * i] = (float) (scale * Math.sin(angle));
                values[t][2 * i + 1] = (float) (scale * Math.cos(angle));
            }
        }
        return values;
    }

    private static Tensor matrix(float[][] rows) {
        int width = rows[0].length;
        FloatBuffer flat = FloatBuffer.allocate(rows.length * width);
        for (float[] row : rows) {
            flat.put(row);
        }
        return Tensors.float32(flat.array(), rows.length, width);
    }

    private static Tensor find(Map<String, Parameter> all, Pattern name) {
        return all.entrySet().stream()
                .filter(e -> name.matcher(e.getKey()).matches())
                .map(Entry::getValue)
                .findFirst()
                .orElseThrow(() -> new HeadstartException("--init local is for BERT and its like with learnt positions:"
                        + " this model has no weight " + name.pattern().replace("\\", "")))
                .tensor();
    }
}
