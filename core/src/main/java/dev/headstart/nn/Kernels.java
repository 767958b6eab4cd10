package dev.headstart.nn;

import dev.headstart.nn.TileLinear.Use;
import java.util.List;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** The one place that decides which kernel a {@link Linear} uses, by device, precision and mode, and builds it. */
public final class Kernels {
    /** Inputs from which on normalised rows may share a scale: BERT-base loses nothing by it, MiniLM (384) 0.02 points on STS-B. */
    private static final long WIDE = 384;

    private Kernels() {}

    /**
     * Packs a Linear for inference on the CPU at the given precision: fp32 and bf16 through oneDNN's prepacked linear, int8 with per-channel weights
     * and dynamic activations. Linears over the same input become one product. On other devices the plain kernel is the fast one, so nothing happens.
     *
     * @param shared whether an embedding shares the weight, which then stays
     */
    public static void pack(Linear layer, Precision precision, boolean shared) {
        pack(layer, shared, (w, bias) -> manyRows(w, bias, precision, layer.even()));
    }

    /** Makes the kernel of a weight [out, in], any strides. */
    private interface Maker {
        Kernel make(Tensor w, @Nullable TensorOptional bias);
    }

    private static void pack(Linear layer, boolean shared, Maker maker) {
        if (layer.fixed() || layer.weight().tensor().is_cuda()) {
            return;
        }
        List<Linear> joined = layer.joined();
        if (joined.isEmpty() || shared || !joinable(joined)) {
            Memory.scoped(() -> {
                layer.unpack();
                layer.pack(maker.make(stored(layer), layer.biasOrNull()), shared);
            });
        } else if (joined.get(0) == layer || !joined.get(0).isJoint()) {
            Memory.scoped(() -> packJoint(joined, maker));
        }
    }

    private static Tensor stored(Linear layer) {
        Tensor stored = layer.weight().tensor().detach();
        return layer.transposed() ? stored.transpose(0, 1) : stored; // [out, in]
    }

    private static boolean joinable(List<Linear> layers) {
        Linear first = layers.get(0);
        return layers.stream()
                .allMatch(l -> l.lora() == null
                        && !l.fixed()
                        && l.in() == first.in()
                        && (l.bias() == null) == (first.bias() == null));
    }

    private static void packJoint(List<Linear> layers, Maker maker) {
        layers.forEach(Linear::unpack);
        TensorVector weights = new TensorVector();
        TensorVector biases = new TensorVector();
        for (Linear l : layers) {
            weights.push_back(stored(l));
            if (l.bias() != null) {
                biases.push_back(l.bias().tensor().detach());
            }
        }
        TensorOptional bias = biases.empty() ? null : new TensorOptional(torch.cat(biases, 0));
        JointKernel joint = new JointKernel(maker.make(torch.cat(weights, 0), bias)); // [sum of out, in]
        long start = 0;
        for (Linear l : layers) {
            l.pack(joint.part(start, l.out()), false);
            start += l.out();
        }
    }

    /**
     * Packs a Linear of a model that generates, one token after the other, where reading the weights is what takes time: fp32 laid out for it,
     * bf16 with half-precision weights, int8 and int4 with quantized ones. Linears over the same input become one product. Does nothing on other devices.
     *
     * @param shared whether an embedding shares the weight, which then stays unless the kernel can look up its rows
     */
    public static void packForDecoding(Linear layer, Precision precision, boolean shared) {
        pack(layer, shared, (w, bias) -> {
            boolean table = shared && Ops.type(w) == ScalarType.Float; // its rows are looked up in fp32
            if (table == shared && TileLinear.fits(precision, w.size(1))) {
                return TileLinear.of(precision, w, bias, table ? Use.TABLE : Use.DECODING);
            }
            if (precision == Precision.FP32 && table == shared && DecodeFp32.pays(w)) {
                return new DecodeFp32(w, bias);
            }
            boolean half = precision == Precision.BF16 && table == shared && HalfDecode.fits(w);
            if (half && HalfDecode.pays(w, table)) {
                return new HalfDecode(w, bias, table);
            }
            return half && !shared && HalfRows.SUPPORTED
                    ? new PackedHalf(w, bias)
                    : build(w.contiguous(), bias, precision, table);
        });
    }

    /**
     * Gives a Linear on the CPU the kernel for weights that are stored in few bits; it keeps it until it is unpacked for training.
     *
     * @param generates whether few rows come at a time
     */
    static void packQuantized(Linear layer, QuantizedWeight w, boolean shared, boolean generates) {
        Natives.blasThreads(false);
        layer.unpack();
        Kernel kernel = w.bits() == 4
                ? int4(w, layer.biasOrNull())
                : generates ? decodeInt8(w, layer.biasOrNull(), shared) : int8(w, layer.biasOrNull(), layer.even());
        layer.pack(kernel, shared);
        layer.fix();
    }

    /** For models whose rows come many at a time. */
    private static Kernel manyRows(Tensor w, @Nullable TensorOptional bias, Precision precision, boolean even) {
        if (TileLinear.fits(precision, w.size(1))) {
            return TileLinear.of(precision, w, bias, Use.ENCODING);
        }
        Tensor rows = w.contiguous();
        return precision == Precision.INT8
                ? int8(QuantizedWeight.int8(rows), bias, even)
                : build(rows, bias, precision, false);
    }

    private static Kernel int8(QuantizedWeight w, @Nullable TensorOptional bias, boolean even) {
        if (TileLinear.fits(Precision.INT8, w.in())) {
            return TileLinear.int8(w, bias, Use.ENCODING);
        }
        return OneDnnInt8.SUPPORTED ? new OneDnnInt8(w, bias, even && w.in() >= WIDE) : new DynamicInt8(w, bias, false);
    }

    /** @param table whether an embedding reads rows of the weight */
    private static Kernel decodeInt8(QuantizedWeight w, @Nullable TensorOptional bias, boolean table) {
        if (TileLinear.fits(Precision.INT8, w.in())) {
            return TileLinear.int8(w, bias, table ? Use.TABLE : Use.DECODING);
        }
        return table && DecodeInt8.pays(w) ? new DecodeInt8(w, bias) : new DynamicInt8(w, bias, table);
    }

    private static Kernel int4(QuantizedWeight w, @Nullable TensorOptional bias) {
        return RowsInt4.fits(w) ? new RowsInt4(w, bias) : new GroupInt4(w, bias);
    }

    private static Kernel build(Tensor w, @Nullable TensorOptional bias, Precision precision, boolean table) {
        return switch (precision) {
            case FP32 -> new OneDnn(w, bias, ScalarType.Float);
            case BF16 -> new OneDnn(w, bias, ScalarType.BFloat16);
            case INT8 -> decodeInt8(QuantizedWeight.int8(w), bias, table);
            case INT4 -> {
                // what embeddings read has 8 bits either way, as in a quantized folder
                QuantizedWeight q = table ? null : QuantizedWeight.int4(w, QuantizedWeight.GROUP);
                yield q == null ? decodeInt8(QuantizedWeight.int8(w), bias, table) : int4(q, bias);
            }
        };
    }

    /**
     * The kernel of a convolution with its normalization folded in. In 8 bits, grouped and depthwise convolutions compute in fp32.
     *
     * @param range of the input, for 8 bits
     * @param out range of the result, where all who read it take it in 8 bits; null for none
     * @param added range of what is added to the result, where it comes in 8 bits
     */
    static ConvKernel convolution(
            Tensor weight,
            Tensor bias,
            Conv2d.Shape shape,
            Precision precision,
            ActivationRange range,
            @Nullable ActivationRange out,
            ActivationRange added) {
        boolean few = precision == Precision.INT8 || precision == Precision.INT4;
        if (few && Int8Conv2d.fits(weight, shape)) {
            return TileInt8Conv2d.fits(weight, shape)
                    ? new TileInt8Conv2d(weight, bias, shape, range, out, added)
                    : new Int8Conv2d(weight, bias, shape, range, out, added);
        }
        ScalarType type = precision == Precision.BF16 ? ScalarType.BFloat16 : ScalarType.Float;
        ConvKernel direct = TileConv2d.fits(weight, shape, type)
                ? new TileConv2d(weight, bias, shape, type)
                : new FusedConv2d(weight, bias, shape, type);
        if (type == ScalarType.Float && TileWinograd.fits(weight, shape)) {
            return new TileWinograd(weight, bias, direct);
        }
        return type == ScalarType.Float && RowWinograd.fits(weight, shape)
                ? new RowWinograd(weight, bias, direct)
                : direct;
    }

    static void refuseGradients(String kernel) {
        if (GradMode.is_enabled()) {
            throw new IllegalStateException("the " + kernel
                    + " kernel has no gradient: use torch's NoGradGuard around the call, or train() the model,"
                    + " which returns to the plain kernel");
        }
    }

    static Tensor empty() {
        return torch.empty(0);
    }
}
