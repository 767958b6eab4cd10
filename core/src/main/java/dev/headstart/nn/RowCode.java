package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Mem.each;
import static dev.headstart.nn.Assembler.Reg.R10;
import static dev.headstart.nn.Assembler.Reg.R11;
import static dev.headstart.nn.Assembler.Reg.R13;
import static dev.headstart.nn.Assembler.Reg.R8;
import static dev.headstart.nn.Assembler.Reg.RCX;
import static dev.headstart.nn.Assembler.Reg.RDI;
import static dev.headstart.nn.Assembler.Reg.RDX;
import static dev.headstart.nn.Assembler.Reg.RSI;

import dev.headstart.nn.Assembler.Condition;
import dev.headstart.nn.Assembler.Label;
import dev.headstart.nn.Assembler.Reg;
import org.jspecify.annotations.Nullable;

/**
 * The code of y = x W^T + b + c for one row x and a weight of 4 bits: it is read once, from its first byte to its last, as fast as memory gives it. It lies in blocks of
 * {@link #LANES} outputs, one for each lane of a vector, all inputs of a block one after the other; threads share the blocks. A row is rounded to 16 bits.
 */
final class RowCode extends BlockCode {
    /** Outputs of a block. */
    static final int LANES = 16;

    /** Inputs that share what rounds them to 16 bits. */
    static final int GROUP = 32;

    /** Vectors that a turn of the code's loop reads: 4 bits of {@link #GROUP} inputs, then their scales and zeros. */
    private static final int VECTORS = 5;

    private RowCode() {}

    /**
     * Words of 32 bits that an output has: for each {@link #GROUP} of inputs four of 8 inputs, the first four in the lower halves of bytes; then scale and zero in bfloat16.
     */
    static long words(long in) {
        return in / GROUP * VECTORS;
    }

    /** @return null where code cannot be made here */
    static @Nullable MachineCode of() {
        return new RowCode().make();
    }

    @Override
    void begin() {
        a.move(R13, VECTOR);
        locate(RSI, Argument.Y, R13);
        locate(R8, Argument.BIAS, R13);
        locate(RDX, Argument.ADDED, R13);
    }

    /** One block: the sums are in z0 to z2. */
    @Override
    void block() {
        a.vpxord(1, 1, 1);
        a.vpxord(2, 2, 2);
        a.vmovups(0, at(R8, 0));
        a.vaddps(0, 0, at(RDX, 0));
        load(R10, Argument.X);
        load(R11, Argument.GROUPS);
        load(RCX, Argument.TURNS);
        Label turn = new Label();
        a.bind(turn);
        group();
        a.add(RDI, VECTORS * VECTOR);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, turn);
        a.vaddps(0, 0, 1);
        a.vaddps(0, 0, 2);
        a.vmovups(at(RSI, 0), 0);
        for (Reg place : new Reg[] {RSI, R8, RDX}) {
            a.add(place, VECTOR);
        }
    }

    private void group() {
        a.vpxord(4, 4, 4); // sums of the upper bytes
        a.vbroadcastss(5, at(R11, 8)); // of the lower ones
        for (int i = 0; i < 4; i++) {
            a.vmovups(8 + i, at(RDI, i * VECTOR));
            a.vpandd(12 + i, 8 + i, LOW_HALVES);
            products(12 + i, 8 * i);
            a.vpsrld(8 + i, 8 + i, 4);
            a.vpandd(8 + i, 8 + i, LOW_HALVES);
            products(8 + i, 8 * i + 4);
        }
        a.vpslld(4, 4, 8);
        a.vpaddd(4, 4, 5);
        a.vcvtdq2ps(4, 4);
        a.vmovups(6, at(RDI, 4 * VECTOR));
        a.vpslld(7, 6, 16);
        a.vmulps(7, 7, each(R11, 0));
        a.vfmadd231ps(1, 4, 7);
        a.vpandd(6, 6, UPPER);
        a.vfmadd231ps(2, 6, each(R11, 4));
        a.add(R10, 2 * GROUP);
        a.add(R11, 12);
    }

    /** Four inputs. */
    private void products(int weights, int input) {
        a.vpdpbusd(4, weights, each(R10, input));
        a.vpdpbusd(5, weights, each(R10, GROUP + input));
    }
}
