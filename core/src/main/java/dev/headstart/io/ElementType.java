package dev.headstart.io;

import java.util.Arrays;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** Element types of weight files, under their safetensors names and in the order in which safetensors sorts them. */
public enum ElementType {
    BOOL(1, ScalarType.Bool),
    U8(1, ScalarType.Byte),
    I8(1, ScalarType.Char),
    F8_E5M2(1, ScalarType.Float8_e5m2),
    F8_E4M3(1, ScalarType.Float8_e4m3fn),
    I16(2, ScalarType.Short),
    U16(2, ScalarType.UInt16),
    F16(2, ScalarType.Half),
    BF16(2, ScalarType.BFloat16),
    I32(4, ScalarType.Int),
    U32(4, ScalarType.UInt32),
    F32(4, ScalarType.Float),
    C64(8, ScalarType.ComplexFloat),
    F64(8, ScalarType.Double),
    I64(8, ScalarType.Long),
    U64(8, ScalarType.UInt64);

    private final int bytes;
    private final ScalarType scalarType;

    ElementType(int bytes, ScalarType scalarType) {
        this.bytes = bytes;
        this.scalarType = scalarType;
    }

    /** Bytes of one element. */
    public int bytes() {
        return bytes;
    }

    /** The engine's type. */
    public ScalarType scalarType() {
        return scalarType;
    }

    /** The type of that safetensors name ({@code F32}), or null when it is none of these. */
    static @Nullable ElementType named(String name) {
        for (ElementType type : values()) {
            if (type.name().equals(name)) {
                return type;
            }
        }
        return null;
    }

    /** All names, for error messages. */
    static String allNames() {
        return Arrays.stream(values()).map(Enum::name).collect(Collectors.joining(", "));
    }

    /**
     * The type of a tensor's elements.
     *
     * @throws IllegalArgumentException for types that weight files do not hold (quantized, sub-byte, complex128)
     */
    public static ElementType of(Tensor tensor) {
        ScalarType wanted = tensor.scalar_type().intern();
        for (ElementType type : values()) {
            if (type.scalarType == wanted) {
                return type;
            }
        }
        throw new IllegalArgumentException(
                "a tensor of type " + wanted + " cannot be stored; convert it to one of " + allNames());
    }
}
