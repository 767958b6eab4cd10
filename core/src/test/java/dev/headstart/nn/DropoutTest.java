package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DropoutTest {
    private static float[] floats(Tensor t) {
        Tensor f = t.to(ScalarType.Float).contiguous();
        float[] values = new float[(int) f.numel()];
        new FloatPointer(f.data_ptr()).get(values);
        return values;
    }

    private static float[] mask(ScalarType type, double p, long seed, long... shape) {
        torch.manual_seed(seed);
        return floats(Dropout.drop(torch.ones(shape).to(type), p));
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.1, 0.25, 0.5, 0.9})
    void dropsAsOftenAsAskedAndScalesTheRestAsTorchDoes(double p) {
        try (PointerScope scope = new PointerScope()) {
            for (ScalarType type : new ScalarType[] {ScalarType.Float, ScalarType.BFloat16}) {
                float[] ours = mask(type, p, 1, 401, 999); // no multiple of a chunk
                float[] torchs = floats(torch.dropout(torch.ones(401, 999).to(type), p, true));
                assertThat(values(ours)).isEqualTo(values(torchs));
                assertThat(zeros(ours)).isCloseTo(p, within(4 * Math.sqrt(p * (1 - p) / ours.length)));
                double[] places = new double[4]; // of the four elements that share a random number
                for (int i = 0; i + 4 <= ours.length; i += 4) {
                    for (int k = 0; k < 4; k++) {
                        places[k] += ours[i + k] == 0 ? 4.0 / ours.length : 0;
                    }
                }
                for (double place : places) {
                    assertThat(place).isCloseTo(p, within(0.008));
                }
                double both = 0; // neighbours drop independently
                for (int i = 1; i < ours.length; i++) {
                    both += ours[i] == 0 && ours[i - 1] == 0 ? 1.0 / (ours.length - 1) : 0;
                }
                assertThat(both).isCloseTo(p * p, within(0.008));
            }
        }
    }

    private static java.util.Set<Float> values(float[] v) {
        java.util.Set<Float> all = new java.util.TreeSet<>();
        for (float f : v) {
            all.add(f);
        }
        return all;
    }

    private static double zeros(float[] v) {
        int n = 0;
        for (float f : v) {
            n += f == 0 ? 1 : 0;
        }
        return (double) n / v.length;
    }

    @Test
    void theSeedDecides() {
        try (PointerScope scope = new PointerScope()) {
            float[] first = mask(ScalarType.Float, 0.3, 7, 5000);
            assertThat(mask(ScalarType.Float, 0.3, 7, 5000)).isEqualTo(first);
            assertThat(mask(ScalarType.Float, 0.3, 8, 5000)).isNotEqualTo(first);
            torch.manual_seed(7);
            Tensor one = torch.ones(5000);
            assertThat(floats(Dropout.drop(one, 0.3))).isEqualTo(first);
            assertThat(floats(Dropout.drop(one, 0.3))).isNotEqualTo(first); // the next call draws anew
        }
    }

    @Test
    void theNumberOfThreadsDoesNot() {
        int before = torch.get_num_threads();
        try (PointerScope scope = new PointerScope()) {
            torch.set_num_threads(2);
            float[] two = mask(ScalarType.Float, 0.1, 7, 3, 300_001); // several parts, the last one short
            torch.set_num_threads(1);
            assertThat(mask(ScalarType.Float, 0.1, 7, 3, 300_001)).isEqualTo(two);
            assertThat(zeros(java.util.Arrays.copyOfRange(two, 800_000, two.length)))
                    .isCloseTo(0.1, within(0.004));
        } finally {
            torch.set_num_threads(before);
        }
    }

    @Test
    void gradientsFlowWhereNothingWasDropped() {
        try (PointerScope scope = new PointerScope()) {
            Tensor x = torch.ones(100, 7);
            x.set_requires_grad(true);
            Tensor y = Dropout.drop(x, 0.4);
            y.sum().backward();
            assertThat(floats(x.grad())).isEqualTo(floats(y.detach()));
        }
    }
}
