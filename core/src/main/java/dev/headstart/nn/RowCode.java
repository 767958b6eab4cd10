package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Mem.each;
import static dev.headstart.nn.Assembler.Reg.R10;
import static dev.headstart.nn.Assembler.Reg.R11;
import static dev.headstart.nn.Assembler.Reg.R13;
import static dev.headstart.nn.Assembler.Reg.R8;
import static dev.headstart.nn.Assembler.Reg.RAX;
import static dev.headstart.nn.Assembler.Reg.RCX;
import static dev.headstart.nn.Assembler.Reg.RDI;
import static dev.headstart.nn.Assembler.Reg.RDX;
import static dev.headstart.nn.Assembler.Reg.RSI;

import dev.headstart.nn.Assembler.Condition;
import dev.headstart.nn.Assembler.Label;
import dev.headstart.nn.Assembler.Reg;
import java.util.List;
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

    /** The largest of 16 bits whose upper byte, rounded, has 8. */
    private static final float LARGEST = 127 * 256 + 127;

    /** Vectors that a turn of the code's loop reads: 4 bits of {@link #GROUP} inputs, then their scales and zeros. */
    private static final int VECTORS = 5;

    private static final int LEAST = 29; // of a divisor
    private static final int SIGNLESS = 28;
    private static final int MOST = 27;
    private static final int NONE = 26; // zero
    private static final int HALF = 25; // 128
    private static final int FREE = 8;

    private final TileActivation act;

    private RowCode(TileActivation act) {
        this.act = act;
    }

    /**
     * Words of 32 bits that an output has: for each {@link #GROUP} of inputs four of 8 inputs, the first four in the lower halves of bytes; then scale and zero in bfloat16.
     */
    static long words(long in) {
        return in / GROUP * VECTORS;
    }

    /** @param act of the result; @return null where code cannot be made here */
    static @Nullable MachineCode of(TileActivation act) {
        return new RowCode(act).make();
    }

    @Override
    List<Phase> phases() {
        return List.of(new Phase(Argument.TURNS, null, Integer.MAX_VALUE, this::round), blocks());
    }

    /** Rounds the row. RSI: x, RDI: the upper and lower bytes, R8: what else a group has. */
    private void round() {
        a.move(R13, 2L * VECTOR);
        locate(RSI, Argument.GIVEN, R13);
        a.move(R13, 2L * GROUP);
        locate(RDI, Argument.X, R13);
        a.move(R13, 12);
        locate(R8, Argument.GROUPS, R13);
        constant(LEAST, 1e-30f);
        bits(SIGNLESS, 0x7fffffff);
        constant(MOST, LARGEST);
        bits(HALF, 128);
        a.vpxord(NONE, NONE, NONE);
        eachItem(this::roundGroup);
    }

    private void roundGroup() {
        a.vmovups(0, at(RSI, 0));
        a.vmovups(1, at(RSI, VECTOR));
        a.vpandd(2, 0, SIGNLESS);
        a.vpandd(3, 1, SIGNLESS);
        a.vpmaxsd(2, 2, 3); // as whole numbers, of which what is no number is the largest
        a.vpmaxsd(2, 2, LEAST);
        acrossLanes(2, 3, () -> a.vpmaxsd(2, 2, 3));
        a.vdivps(4, MOST, 2); // times
        a.vdivps(5, 2, MOST); // scale
        for (int i = 0; i < 2; i++) {
            a.vmulps(i, i, 4);
            a.vcvtps2dq(i, i);
            a.vpaddd(6 + i, i, HALF);
            a.vpsrad(6 + i, 6 + i, 8); // the upper byte
            a.vpmovdb(at(RDI, LANES * i), 6 + i);
            a.vpmovdb(at(RDI, GROUP + LANES * i), i); // the lower one: what is left has its last 8 bits
        }
        a.vpaddd(0, 0, 1);
        acrossLanes(0, 1, () -> a.vpaddd(0, 0, 1)); // sum
        a.vcvtdq2ps(1, 0);
        a.vmulps(1, 1, 5);
        a.vpslld(0, 0, 3); // of codes of 4 bits, which have 8 more than the weights that they stand for
        a.vpsubd(0, NONE, 0);
        a.storeFirst(at(R8, 0), 5);
        a.storeFirst(at(R8, 4), 1);
        a.storeFirst(at(R8, 8), 0);
        a.add(RSI, 2 * VECTOR);
        a.add(RDI, 2 * GROUP);
        a.add(R8, 12);
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
        if (act != TileActivation.LINEAR) {
            load(RAX, Argument.ACTIVATION);
            act.write(a, 0, FREE, RAX);
        }
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
