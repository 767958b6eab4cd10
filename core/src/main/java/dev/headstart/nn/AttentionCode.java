package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Reg.R10;
import static dev.headstart.nn.Assembler.Reg.R11;
import static dev.headstart.nn.Assembler.Reg.R13;
import static dev.headstart.nn.Assembler.Reg.R8;
import static dev.headstart.nn.Assembler.Reg.R9;
import static dev.headstart.nn.Assembler.Reg.RAX;
import static dev.headstart.nn.Assembler.Reg.RBX;
import static dev.headstart.nn.Assembler.Reg.RCX;
import static dev.headstart.nn.Assembler.Reg.RDI;
import static dev.headstart.nn.Assembler.Reg.RDX;
import static dev.headstart.nn.Assembler.Reg.RSI;

import dev.headstart.nn.Assembler.Condition;
import dev.headstart.nn.Assembler.Label;
import org.jspecify.annotations.Nullable;

/**
 * The code of one query's attention in fp32, softmax(q k^T scale) v; a block is a head. The arguments' names are those of weights: WEIGHT and BLOCK_BYTES are the keys
 * and what lies between heads of them, BIAS and ADDED the same of the values, X the queries, TURNS how many keys there are, GROUPS and SCALES room for a head's
 * scores, a multiple of 16, and its bytes; CODES begins with scale log2(e).
 */
final class AttentionCode extends BlockCode {
    /** Less than any score. */
    private static final float LEAST = -1e30f;

    /** 2^x from -1/2 to 1/2, to 1e-7: x^k ln(2)^k / k!. */
    private static final double[] POWERS = powers(7);

    private static final int SUM = 4; // of the weights
    private static final int RESULT = 8; // and the seven after it
    private static final int POWER = 20; // and the six after it
    private static final int SCALE = 27;
    private static final int LOW = 28;

    private final int d;
    private final int vectors;

    private AttentionCode(int d) {
        this.d = d;
        vectors = d / RowCode.LANES;
    }

    /** @param d size of a head, a multiple of 16 up to 128; @return null where code cannot be made here */
    static @Nullable MachineCode of(int d) {
        return new AttentionCode(d).make();
    }

    private static double[] powers(int count) {
        double[] c = new double[count];
        c[0] = 1;
        for (int k = 1; k < count; k++) {
            c[k] = c[k - 1] * Math.log(2) / k;
        }
        return c;
    }

    @Override
    void begin() {
        a.move(R13, 4L * d);
        locate(RSI, Argument.Y, R13);
        locate(R10, Argument.X, R13);
        load(R13, Argument.SCALES);
        locate(R11, Argument.GROUPS, R13);
        load(R13, Argument.ADDED);
        locate(R8, Argument.BIAS, R13);
        a.vbroadcastss(SCALE, at(RBX, Argument.CODES.offset()));
        constant(LOW, LEAST);
        for (int k = 0; k < POWERS.length; k++) {
            constant(POWER + k, (float) POWERS[k]);
        }
    }

    private void constant(int z, float value) {
        a.move(RAX, Float.floatToIntBits(value) & 0xffffffffL);
        a.vpbroadcastd(z, RAX);
    }

    @Override
    void block() {
        load(R9, Argument.SCALES);
        a.add(R9, R11); // where the head's scores end
        a.vmovups(at(R9, -VECTOR), LOW); // behind the last one
        scores();
        weights();
        values();
        load(RAX, Argument.BLOCK_BYTES);
        a.add(RDI, RAX);
        load(RAX, Argument.ADDED);
        a.add(R8, RAX);
        a.add(RSI, 4 * d);
        a.add(R10, 4 * d);
        a.move(R11, R9);
    }

    private void scores() {
        a.move(RAX, RDI);
        a.move(RDX, R11);
        load(RCX, Argument.TURNS);
        Label key = new Label();
        a.bind(key);
        for (int i = 0; i < vectors; i++) {
            a.vmovups(2, at(RAX, i * VECTOR));
            if (i == 0) {
                a.vmulps(0, 2, at(R10, 0));
            } else {
                a.vfmadd231ps(0, 2, at(R10, i * VECTOR));
            }
        }
        acrossLanes(0, () -> a.vaddps(0, 0, 1));
        a.storeFirst(at(RDX, 0), 0);
        a.add(RAX, 4 * d);
        a.add(RDX, 4);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, key);
    }

    /** Brings the lanes of z together, halves of halves: the step joins z and z1. */
    private void acrossLanes(int z, Runnable step) {
        a.vshuff32x4(1, z, z, 0x4e);
        step.run();
        a.vshuff32x4(1, z, z, 0xb1);
        step.run();
        a.vpermilps(1, z, 0x4e);
        step.run();
        a.vpermilps(1, z, 0xb1);
        step.run();
    }

    /** 2^((score - largest) scale log2(e)) in the scores' place. */
    private void weights() {
        a.vpandd(2, LOW, LOW);
        eachVector(() -> a.vmaxps(2, 2, at(RDX, 0)));
        acrossLanes(2, () -> a.vmaxps(2, 2, 1));
        a.vmulps(3, 2, SCALE);
        a.vpxord(SUM, SUM, SUM);
        eachVector(() -> {
            a.vmovups(5, at(RDX, 0));
            a.vmulps(5, 5, SCALE);
            a.vsubps(5, 5, 3);
            a.vrndscaleps(6, 5);
            a.vsubps(5, 5, 6);
            int last = POWERS.length - 1;
            a.vpandd(7, POWER + last, POWER + last);
            for (int k = last - 1; k >= 0; k--) {
                a.vfmadd213ps(7, 5, POWER + k);
            }
            a.vscalefps(7, 7, 6);
            a.vaddps(SUM, SUM, 7);
            a.vmovups(at(RDX, 0), 7);
        });
        acrossLanes(SUM, () -> a.vaddps(SUM, SUM, 1));
    }

    private void eachVector(Runnable body) {
        a.move(RDX, R11);
        Label vector = new Label();
        a.bind(vector);
        body.run();
        a.add(RDX, VECTOR);
        a.compare(RDX, R9);
        a.jump(Condition.LESS, vector);
    }

    private void values() {
        for (int i = 0; i < vectors; i++) {
            a.vpxord(RESULT + i, RESULT + i, RESULT + i);
        }
        a.move(RAX, R8);
        a.move(RDX, R11);
        load(RCX, Argument.TURNS);
        Label value = new Label();
        a.bind(value);
        a.vbroadcastss(0, at(RDX, 0));
        for (int i = 0; i < vectors; i++) {
            a.vfmadd231ps(RESULT + i, 0, at(RAX, i * VECTOR));
        }
        a.add(RAX, 4 * d);
        a.add(RDX, 4);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, value);
        for (int i = 0; i < vectors; i++) {
            a.vdivps(RESULT + i, RESULT + i, SUM);
            a.vmovups(at(RSI, i * VECTOR), RESULT + i);
        }
    }
}
