package dev.headstart.nn;

import static java.util.Objects.requireNonNull;

import dev.headstart.nn.TileCode.Type;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A weight that is kept once, as {@link TileProduct} reads it, for one row (a token of a generation), a few or many: fp32, bfloat16, or 8 bits with a scale a channel and
 * one a row.
 */
final class TileLinear implements Kernel {
    private final TileProduct product;
    private final Type type;
    private final Use use;

    /** What a weight is for. */
    enum Use {
        /** Texts, pictures, sounds as a whole. */
        ENCODING,
        /** One token after the other. */
        DECODING,
        /** The same, and an embedding reads rows of the weight. */
        TABLE
    }

    private TileLinear(Type type, TileProduct product, Use use) {
        this.type = type;
        this.product = product;
        this.use = use;
    }

    /** Whether there is code for this here. @param in inputs of the weight */
    static boolean fits(Precision precision, long in) {
        Type type = type(precision);
        return type != null && TileProduct.fits(type, in);
    }

    /** @param w [out, in], any strides; @param precision that {@link #fits} */
    static TileLinear of(Precision precision, Tensor w, @Nullable TensorOptional bias, Use use) {
        Type type = requireNonNull(type(precision));
        return type == Type.INT8
                ? int8(QuantizedWeight.int8(w), bias, use)
                : new TileLinear(type, TileProduct.of(type, w, plain(bias)), use);
    }

    /** Weights of 8 bits. */
    static TileLinear int8(QuantizedWeight w, @Nullable TensorOptional bias, Use use) {
        return new TileLinear(Type.INT8, TileProduct.int8(w, plain(bias)), use);
    }

    private static @Nullable Tensor plain(@Nullable TensorOptional bias) {
        return bias == null ? null : bias.get().detach();
    }

    private static @Nullable Type type(Precision precision) {
        return switch (precision) {
            case FP32 -> Type.FP32;
            case BF16 -> Type.BF16;
            case INT8 -> Type.INT8;
            case INT4 -> null;
        };
    }

    @Override
    public Tensor apply(Tensor x, Activation act) {
        return apply(x, act, Ops.type(x));
    }

    @Override
    public Tensor apply(Tensor x, Activation act, ScalarType result) {
        Kernels.refuseGradients(name());
        Tensor read = direct(Ops.type(x)) ? x : x.to(ScalarType.Float);
        return direct(result)
                ? product.apply(read, act, null, result)
                : product.apply(read, act, null, ScalarType.Float).to(result);
    }

    @Override
    public Tensor applyAndAdd(Tensor x, Tensor other) {
        if (!direct(Ops.type(x)) || !direct(Ops.type(other))) {
            return Kernel.super.applyAndAdd(x, other);
        }
        Kernels.refuseGradients(name());
        return product.apply(x, Activation.LINEAR, other, Ops.type(other));
    }

    @Override
    public boolean record(CodeSequence sequence, Tensor x, Activation act, @Nullable Tensor other, Tensor y) {
        return product.record(sequence, x, act, other, y);
    }

    /** Whether the code reads and writes this type. */
    private static boolean direct(ScalarType t) {
        return t == ScalarType.Float || t == ScalarType.BFloat16;
    }

    @Override
    public boolean halves() {
        return type == Type.INT8 && use == Use.ENCODING;
    }

    @Override
    public @Nullable RowSource table() {
        return use == Use.TABLE ? product::rows : null;
    }

    @Override
    public String name() {
        return switch (type) {
            case FP32 -> "packed-fp32";
            case BF16 -> "packed-bf16";
            case INT8 -> "int8";
        };
    }

    @Override
    public Tensor weight() {
        return Memory.scoped(() -> {
            Tensor w = product.plain();
            return type == Type.INT8
                    ? new QuantizedWeight(w, product.scales(), null).dequantized(ScalarType.Float)
                    : w.to(ScalarType.Float);
        });
    }

    @Override
    public void close() {
        product.close();
    }
}
