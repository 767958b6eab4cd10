package dev.headstart.nn;

/** Code for 2^x in fp32, to 1e-7: the whole part goes into the exponent, of the rest, from -1/2 to 1/2, x^k ln(2)^k / k! is added. Sequences of constants stay in registers. */
final class PowerOfTwo {
    /** Registers that the constants take. */
    static final int CONSTANTS = 7;

    private PowerOfTwo() {}

    /** Loads the constants. @param first register of so many */
    static void prepare(ParallelCode code, int first) {
        double c = 1;
        for (int k = 0; k < CONSTANTS; k++) {
            code.constant(first + k, (float) c);
            c *= Math.log(2) / (k + 1);
        }
    }

    /**
     * Makes y = 2^x; x is lost.
     *
     * @param x register, as the others
     * @param free a third one
     * @param first of the constants
     */
    static void write(Assembler a, int y, int x, int free, int first) {
        a.vrndscaleps(free, x);
        a.vsubps(x, x, free);
        int last = first + CONSTANTS - 1;
        a.vpandd(y, last, last);
        for (int k = last - 1; k >= first; k--) {
            a.vfmadd213ps(y, x, k);
        }
        a.vscalefps(y, y, free);
    }
}
