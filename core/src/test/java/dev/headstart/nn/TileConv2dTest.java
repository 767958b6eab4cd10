package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
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

/** Convolutions by code made at run time beside torch's in double precision. */
class TileConv2dTest {
    /** Of the largest: up to 4,608 products are added in single precision. */
    private static final double EXACT = 4e-6;

    /** Of the largest: a result in bfloat16 is rounded to half of 2^-8. */
    private static final double HALF = 2.1e-3;

    @BeforeAll
    static void load() {
        Natives.load();
        assumeTrue(MachineCode.available() != null, "this processor or system lets no code be made");
    }

    /** A convolution and its input. */
    private record Case(Tensor x, Tensor weight, Tensor bias, Conv2d.Shape shape) {
        static Case of(long b, long in, long out, long h, long w, long kernel, long stride, long padding) {
            torch.manual_seed(b + h);
            Tensor weight = torch.randn(out, in, kernel, kernel).div(new Scalar(Math.sqrt(in * kernel * kernel)));
            return new Case(torch.randn(b, in, h, w), weight, torch.randn(out), Conv2d.Shape.of(stride, padding));
        }

        /** Of other values, in double precision. */
        Tensor exact(Tensor values, Tensor w, Activation act, @Nullable Tensor other) {
            Tensor y = torch.conv2d(
                    values.to(ScalarType.Double),
                    w.to(ScalarType.Double),
                    new TensorOptional(bias.to(ScalarType.Double)),
                    new long[] {shape.stride(), shape.stride()},
                    new long[] {shape.padding(), shape.padding()},
                    new long[] {1, 1},
                    1);
            return act.apply(other == null ? y : y.add(other.to(ScalarType.Double)));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "1, 64, 64, 56, 56, 1, 1, 0, RELU, false, false",
        "3, 96, 128, 13, 9, 3, 1, 1, RELU, true, false",
        "5, 32, 192, 14, 15, 3, 2, 1, LINEAR, true, true",
        "2, 512, 64, 7, 7, 3, 1, 1, RELU, false, false",
        "2, 72, 64, 9, 11, 3, 1, 0, GELU, true, false",
        "4, 40, 64, 9, 7, 1, 2, 0, LINEAR, false, false",
        "2, 8, 64, 11, 5, 5, 2, 2, RELU, false, false",
        "1, 16, 64, 1, 1, 3, 1, 1, RELU, true, false",
        "1, 16, 64, 1, 4, 1, 1, 1, LINEAR, false, false"
    })
    void isTheConvolution(
            long b,
            long in,
            long out,
            long h,
            long w,
            long kernel,
            long stride,
            long padding,
            Activation act,
            boolean adds,
            boolean overwrites) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Case c = Case.of(b, in, out, h, w, kernel, stride, padding);
            for (ScalarType type : new ScalarType[] {ScalarType.Float, ScalarType.BFloat16}) {
                assertThat(TileConv2d.fits(c.weight, c.shape, type)).isTrue();
                TileConv2d kernel2d = new TileConv2d(c.weight, c.bias, c.shape, type);
                Tensor x = c.x.to(type), plain = c.exact(x, c.weight.to(type), Activation.LINEAR, null);
                Tensor other = adds ? torch.randn(plain.shape()).to(type) : null;
                Tensor expected = c.exact(x, c.weight.to(type), act, other);
                for (int i = 0; i < 2; i++) { // in either order of the memory
                    Tensor given = other == null ? null : other.clone();
                    Tensor y = kernel2d.apply(x, act, given, overwrites);
                    assertThat(y.shape()).containsExactly(expected.shape());
                    assertThat(off(y, expected)).isLessThan(type == ScalarType.Float ? EXACT : 2 * HALF);
                    assertThat(given == null || overwrites || given.equal(other))
                            .isTrue();
                    x = x.contiguous(MemoryFormat.ChannelsLast);
                    other = other == null ? null : other.contiguous(MemoryFormat.ChannelsLast);
                }
                kernel2d.close();
            }
        }
    }

    private static double off(Tensor y, Tensor expected) {
        return y.to(ScalarType.Double).sub(expected).abs().max().item_double()
                / expected.abs().max().item_double();
    }

    /** Rectified and other inputs and results, sums, ranges that are measured and not; in steps of the result's range. */
    @ParameterizedTest
    @CsvSource({
        "2, 64, 128, 9, 7, 3, 1, 1, RELU, true, false",
        "3, 32, 64, 14, 14, 3, 2, 1, RELU, true, true",
        "1, 96, 64, 13, 13, 1, 1, 0, LINEAR, true, true",
        "1, 64, 64, 8, 9, 1, 2, 0, LINEAR, false, false",
        "2, 64, 64, 8, 9, 3, 1, 0, RELU, false, true"
    })
    void isTheConvolutionOfBytes(
            long b,
            long in,
            long out,
            long h,
            long w,
            long kernel,
            long stride,
            long padding,
            Activation act,
            boolean positive,
            boolean adds) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Case c = Case.of(b, in, out, h, w, kernel, stride, padding);
            Tensor x = positive ? c.x.relu() : c.x;
            ActivationRange range = ActivationRange.of(x);
            QuantizedWeight q = QuantizedWeight.convolution(c.weight);
            Tensor weight = q.values().to(ScalarType.Float).mul(q.scales().view(-1, 1, 1, 1));
            Tensor read = range.values(range.bytes(x));
            Tensor other = adds ? torch.randn(c.exact(read, weight, act, null).shape()) : null;
            ActivationRange added = other == null ? ActivationRange.UNKNOWN : ActivationRange.of(other);
            Tensor more = other == null ? null : added.values(added.bytes(other));
            Tensor expected = c.exact(read, weight, act, more);
            ActivationRange to = ActivationRange.of(expected);

            TileInt8Conv2d small = new TileInt8Conv2d(c.weight, c.bias, c.shape, range, to, added);
            for (Tensor given : new Tensor[] {x, range.bytes(x)}) {
                Tensor y = small.apply(given, act, other == null ? null : added.bytes(other), adds);
                assertThat(Ops.type(y)).isEqualTo(ScalarType.Byte);
                Tensor steps = to.values(y).to(ScalarType.Double).sub(expected).div(new Scalar(to.scale()));
                assertThat(steps.abs().max().item_double()).isLessThan(0.51);
            }
            small.close();
            for (ActivationRange known : new ActivationRange[] {range, ActivationRange.UNKNOWN}) {
                TileInt8Conv2d wide = new TileInt8Conv2d(c.weight, c.bias, c.shape, known, null, added);
                Tensor y = wide.apply(x, act, other == null ? null : added.bytes(other), false);
                assertThat(Ops.type(y)).isEqualTo(ScalarType.Float);
                assertThat(off(y, expected)).isLessThan(EXACT);
                wide.close();
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "1, 64, 16, 16, 1, RELU, false",
        "5, 64, 15, 9, 2, RELU, true",
        "4, 128, 6, 5, 3, GELU, true",
        "3, 192, 7, 20, 3, LINEAR, false",
        "1, 64, 9, 1, 1, LINEAR, true"
    })
    void isTheConvolutionWithHalfOfTheMultiplications(
            long b, long channels, long h, long w, long n, Activation act, boolean adds) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Case c = Case.of(b, channels, channels, h, w, 3, 1, 1);
            assertThat(TileWinograd.fits(c.weight, c.shape)).isTrue();
            TileConv2d direct = new TileConv2d(c.weight, c.bias, c.shape, ScalarType.Float);
            TileWinograd kernel = new TileWinograd(c.weight, c.bias, direct);
            Tensor other = adds ? torch.randn(b, channels, h, w) : null;
            Tensor x = c.x;
            for (int i = 0; i < 2; i++) {
                Tensor expected = c.exact(x, c.weight, act, other);
                assertThat(off(kernel.apply(x, act, other, n), expected)).isLessThan(EXACT);
                x = x.mul(new Scalar(-0.5)).contiguous(MemoryFormat.ChannelsLast);
            }
            kernel.close();
        }
    }

    @Test
    void isSharedByThreads() {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Case c = Case.of(2, 64, 64, 20, 20, 3, 1, 1);
            TileWinograd kernel =
                    new TileWinograd(c.weight, c.bias, new TileConv2d(c.weight, c.bias, c.shape, ScalarType.Float));
            List<Tensor> inputs = new ArrayList<>(), results = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                inputs.add(torch.randn(2, 64, i % 2 == 0 ? 20 : 5, 20)); // the direct way too
                results.add(kernel.apply(inputs.get(i), Activation.RELU, null, false));
            }
            boolean same = IntStream.range(0, 8).parallel().allMatch(i -> {
                try (PointerScope own = new PointerScope();
                        NoGradGuard none = new NoGradGuard()) {
                    boolean equal = true;
                    for (int k = 0; k < 10; k++) {
                        equal &= kernel.apply(inputs.get(i), Activation.RELU, null, false)
                                .equal(results.get(i));
                    }
                    return equal;
                }
            });
            assertThat(same).isTrue();
            kernel.close();
        }
    }

    @Test
    void isChosenWhereThereIsCode() {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Case c = Case.of(1, 64, 64, 4, 4, 3, 1, 1), strided = Case.of(1, 64, 64, 4, 4, 3, 2, 1);
            Case narrow = Case.of(1, 64, 48, 4, 4, 1, 1, 0), colours = Case.of(1, 3, 64, 4, 4, 7, 2, 3);
            assertThat(chosen(c, Precision.FP32)).isInstanceOf(TileWinograd.class);
            assertThat(chosen(strided, Precision.FP32)).isInstanceOf(TileConv2d.class);
            assertThat(chosen(c, Precision.BF16)).isInstanceOf(TileConv2d.class);
            assertThat(chosen(c, Precision.INT8)).isInstanceOf(TileInt8Conv2d.class);
            assertThat(chosen(narrow, Precision.FP32)).isInstanceOf(FusedConv2d.class);
            assertThat(chosen(narrow, Precision.INT8)).isInstanceOf(Int8Conv2d.class);
            assertThat(chosen(colours, Precision.FP32)).isInstanceOf(FusedConv2d.class);
            System.setProperty(MachineCode.ALLOWED, "false");
            assertThat(chosen(c, Precision.FP32)).isInstanceOf(RowWinograd.class);
            assertThat(chosen(c, Precision.BF16)).isInstanceOf(FusedConv2d.class);
            assertThat(chosen(c, Precision.INT8)).isInstanceOf(Int8Conv2d.class);
        } finally {
            System.clearProperty(MachineCode.ALLOWED);
        }
    }

    private static ConvKernel chosen(Case c, Precision precision) {
        ActivationRange none = ActivationRange.UNKNOWN;
        ConvKernel made = Kernels.convolution(c.weight, c.bias, c.shape, precision, none, null, none);
        made.close();
        return made;
    }

    @Test
    void threadsGetEqualParts() {
        assertThat(TileConvolution.chunk(3136, 1, 2, 10_000)).isEqualTo(1572); // a panel: two halves of the rows
        assertThat(TileConvolution.chunk(49, 8, 2, 10_000)).isEqualTo(54); // panels enough
        assertThat(TileConvolution.chunk(3136, 4, 2, 800)).isEqualTo(786); // what the cache holds
        assertThat(TileConvolution.chunk(5, 1, 64, 10_000)).isEqualTo(6);
    }

    @Test
    void goesThroughInPiecesWhereThatPays() {
        assertThat(TileWinograd.images(1, 64, 56, 56, 2)).isEqualTo(1);
        assertThat(TileWinograd.images(1, 512, 7, 7, 2)).isZero(); // twice the weights for a few places
        assertThat(TileWinograd.images(8, 64, 5, 400, 2)).isZero(); // a tile with one row
        assertThat(TileWinograd.images(8, 256, 14, 14, 64)).isZero(); // threads would wait
        assertThat(TileWinograd.images(8, 64, 512, 512, 2)).isZero(); // larger than caches
    }
}
