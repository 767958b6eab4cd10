package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;

import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.MemoryFormat;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The 3x3 convolution with half of its multiplications beside the one in double precision. */
class RowWinogradTest {
    private static final Conv2d.Shape SHAPE = Conv2d.Shape.of(1, 1);

    @BeforeAll
    static void load() {
        Natives.load();
    }

    /** Full and half-full tiles, wide and narrow images, pieces of a batch with a rest, layouts, additions, activations; the memory is used again. */
    @ParameterizedTest
    @CsvSource({
        "1, 64, 16, 16, 1, RELU, false, true",
        "5, 64, 15, 9, 2, RELU, false, true",
        "5, 64, 15, 9, 2, RELU, true, false",
        "3, 96, 7, 20, 3, LINEAR, true, true",
        "4, 64, 6, 5, 3, GELU, true, true",
        "2, 128, 9, 1, 1, LINEAR, false, false"
    })
    void isTheConvolution(long b, long c, long h, long w, long n, Activation act, boolean adds, boolean last) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            torch.manual_seed(b + h);
            Tensor weight = torch.randn(c, c, 3, 3), bias = torch.randn(c);
            Tensor x = arranged(torch.randn(b, c, h, w), last), other = arranged(torch.randn(b, c, h, w), last);
            Tensor expected = expected(x, weight, bias, adds ? other : null, act);
            RowWinograd kernel = new RowWinograd(weight, bias, new FusedConv2d(weight, bias, SHAPE, ScalarType.Float));
            double largest = expected.abs().max().item_double();
            for (int i = 0; i < 2; i++) {
                Tensor y = kernel.apply(x, act, adds ? other : null, n);
                assertThat(y.shape()).containsExactly(b, c, h, w);
                double off = y.to(ScalarType.Double).sub(expected).abs().max().item_double();
                assertThat(off / largest).isLessThan(4e-6);
                x = x.mul(new Scalar(-0.5));
                expected = expected(x, weight, bias, adds ? other : null, act);
            }
            kernel.close();
        }
    }

    private static Tensor arranged(Tensor x, boolean channelsLast) {
        return channelsLast ? x.contiguous(MemoryFormat.ChannelsLast) : x;
    }

    private static Tensor expected(Tensor x, Tensor weight, Tensor bias, @Nullable Tensor other, Activation act) {
        Tensor y = torch.conv2d(
                x.to(ScalarType.Double),
                weight.to(ScalarType.Double),
                new TensorOptional(bias.to(ScalarType.Double)),
                new long[] {1, 1},
                new long[] {1, 1},
                new long[] {1, 1},
                1);
        return act.apply(other == null ? y : y.add(other.to(ScalarType.Double)));
    }

    @Test
    void goesThroughInPiecesWhereThatPays() {
        assertThat(RowWinograd.images(8, 64, 56, 56, 2)).isEqualTo(1);
        assertThat(RowWinograd.images(8, 256, 14, 14, 2)).isEqualTo(4);
        assertThat(RowWinograd.images(1, 256, 14, 14, 2)).isZero(); // a single image
        assertThat(RowWinograd.images(8, 256, 14, 14, 64)).isZero(); // threads would wait
        assertThat(RowWinograd.images(8, 64, 5, 400, 2)).isZero(); // a tile with one row
        assertThat(RowWinograd.images(8, 64, 512, 512, 2)).isZero(); // larger than caches
        Tensor square = torch.empty(64, 64, 3, 3);
        assertThat(RowWinograd.fits(square, SHAPE)).isTrue();
        assertThat(RowWinograd.fits(square, Conv2d.Shape.of(2, 1))).isFalse();
        assertThat(RowWinograd.fits(torch.empty(64, 32, 3, 3), SHAPE)).isFalse();
        assertThat(RowWinograd.fits(torch.empty(64, 64, 1, 1), SHAPE)).isFalse();
        assertThat(RowWinograd.fits(torch.empty(32, 32, 3, 3), SHAPE)).isFalse();
    }
}
