package dev.headstart.nn;

import dev.headstart.HeadstartException;
import java.util.Locale;

/** Number format of inference. fp32 is the default everywhere; the others are asked for by name. */
public enum Precision {
    /** 32-bit floats: equal to the reference. */
    FP32,
    /** bfloat16 weights and activations; a model that generates has half-precision weights and fp32 activations where it reads one token at a time. */
    BF16,
    /**
     * 8-bit weights, a scale a channel; activations rounded to 8 bits in the call with a scale a row. Encoders 512 wide and wider round what a norm wrote with
     * one scale for the whole batch, so there a text's result moves within the rounding (1/255 of the range) with what else is in its batch.
     */
    INT8,
    /** 4-bit weights, scale and zero a group of 32; bfloat16 activations. For models that generate. */
    INT4;

    /** By name, any case: fp32, bf16, int8, int4. */
    public static Precision of(String name) {
        try {
            return valueOf(name.toUpperCase(Locale.ROOT));
        } catch (IllegalArgumentException e) {
            throw new HeadstartException("unknown precision \"" + name + "\"; known: fp32, bf16, int8, int4", e);
        }
    }
}
