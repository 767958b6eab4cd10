package dev.headstart.nn;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** A convolution's weight in the orders that oneDNN prefers for the sizes of input that were seen last. */
final class PackedWeights {
    /** Sizes of input whose weights are kept at a time. */
    private static final int SIZES = 4;

    private final @Nullable Function<IValue, Tensor> packer;
    private final List<Packed> packed = new ArrayList<>();

    private record Packed(long[] size, Tensor weight, IValue value) {}

    /** @param packer makes the weight for a size of input, a list of integers; null where the plain order is best */
    PackedWeights(@Nullable Function<IValue, Tensor> packer) {
        this.packer = packer;
    }

    /** The same number for both dimensions, kept. */
    static IValue both(long v) {
        return Memory.keep(Ops.longs(v, v));
    }

    /** @param size of the input; @param plain what is used where nothing is packed */
    IValue of(long[] size, IValue plain) {
        Function<IValue, Tensor> make = packer;
        if (make == null) {
            return plain;
        }
        synchronized (packed) {
            for (Packed p : packed) {
                if (Arrays.equals(p.size, size)) {
                    return p.value;
                }
            }
            Packed made;
            try (PointerScope scope = new PointerScope()) {
                Tensor w = Memory.keep(make.apply(Ops.longs(size)));
                made = new Packed(size, w, Memory.keep(new IValue(w)));
            }
            if (packed.size() >= SIZES) {
                packed.remove(0); // another thread may still use it, so it is left to the garbage collector
            }
            packed.add(made);
            return made.value;
        }
    }

    void close() {
        synchronized (packed) {
            packed.forEach(p -> {
                p.value.close();
                p.weight.close();
            });
            packed.clear();
        }
    }
}
