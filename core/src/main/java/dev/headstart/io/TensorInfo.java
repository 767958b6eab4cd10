package dev.headstart.io;

import java.util.List;

/**
 * What a weight file says of one tensor before any of its data is read.
 *
 * @param dtype element type under its safetensors name: F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL
 * @param shape sizes of the dimensions; empty for a scalar
 */
public record TensorInfo(String dtype, List<Long> shape) {
    /** Number of elements. */
    public long elements() {
        return shape.stream().reduce(1L, Math::multiplyExact);
    }
}
