package dev.headstart.generation;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import java.util.Arrays;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BestTest {
    /** What one topk over all sums finds, which is what transformers does. */
    @ParameterizedTest
    @CsvSource({
        "3, 4, 8, 32128",
        "2, 3, 6, 2111",
        "1, 4, 16, 4096",
        "2, 2, 4, 100",
        "2, 4, 8, 5",
        "1, 2, 4, 64",
        "2, 2, 4, 9000"
    })
    void equalsTopkOfTheSums(int prompts, int beams, int k, int vocabulary) {
        Random random = new Random(k + vocabulary);
        float[] x = new float[prompts * beams * vocabulary];
        for (int i = 0; i < x.length; i++) {
            x[i] = vocabulary == 9000 && i % vocabulary > 2 || random.nextInt(5) == 0
                    ? Float.NEGATIVE_INFINITY
                    : (float) random.nextGaussian();
        }
        float[] scores = new float[prompts * beams];
        for (int i = 0; i < scores.length; i++) {
            scores[i] = (float) (3 * random.nextGaussian());
        }
        try (PointerScope scope = new PointerScope()) {
            Tensor rows = Tensor.create(x, (long) prompts * beams, vocabulary);
            Best best = Best.of(rows.clone(), scores, beams, k);
            T_TensorTensor_T expected = torch.topk(
                    rows.add(Tensor.create(scores, scores.length, 1)).view(prompts, (long) beams * vocabulary), k);
            assertArrayEquals(Decoding.floats(expected.get0()), best.values());
            assertArrayEquals(Decoding.longs(expected.get1()), best.indices(), () -> Arrays.toString(best.values()));
        }
    }
}
