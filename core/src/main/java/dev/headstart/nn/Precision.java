package dev.headstart.nn;

import dev.headstart.HeadstartException;
import java.util.Locale;

/** Number format of inference. fp32 is the default everywhere; the others are asked for by name. */
public enum Precision {
    /** 32-bit floats: equal to the reference. */
    FP32,
    /** bfloat16 weights and activations. */
    BF16;

    /** By name, any case: fp32, bf16. */
    public static Precision of(String name) {
        try {
            return valueOf(name.toUpperCase(Locale.ROOT));
        } catch (IllegalArgumentException e) {
            throw new HeadstartException("unknown precision \"" + name + "\"; known: fp32, bf16", e);
        }
    }
}
