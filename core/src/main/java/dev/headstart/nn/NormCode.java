package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Reg.R13;
import static dev.headstart.nn.Assembler.Reg.R8;
import static dev.headstart.nn.Assembler.Reg.R9;
import static dev.headstart.nn.Assembler.Reg.RBX;
import static dev.headstart.nn.Assembler.Reg.RCX;
import static dev.headstart.nn.Assembler.Reg.RDI;
import static dev.headstart.nn.Assembler.Reg.RSI;

import dev.headstart.nn.Assembler.Condition;
import dev.headstart.nn.Assembler.Label;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The code of layer normalization, (x - mean) / sqrt(variance + eps) w + b, computed in fp32; an item is a row. */
final class NormCode extends ParallelCode {
    /** The places of the arguments. d elements of a row, a multiple of 16. */
    enum Argument {
        THREADS,
        ROWS,
        /** [rows, d]. */
        X,
        /** Of a row. */
        BYTES,
        /** [rows, d], which may be X. */
        Y,
        /** fp32 [d]. */
        WEIGHT,
        /** fp32 [d]. */
        BIAS,
        /** d / 16. */
        VECTORS,
        /** fp32: 1 / d, and eps. */
        CONSTANTS
    }

    /** Rows that are done sooner than a second thread begins. */
    private static final int FEW = 4;

    private static final int MEAN = 0;
    private static final int SCALE = 2;
    private static final int PART = 31;
    private static final int EPS = 30;
    private static final int ONE = 29;

    private final boolean half;

    private NormCode(boolean half) {
        this.half = half;
    }

    /** @param half whether rows are bfloat16 instead of fp32; @return null where code cannot be made here */
    static @Nullable MachineCode of(boolean half) {
        return new NormCode(half).make();
    }

    @Override
    List<Phase> phases() {
        return List.of(new Phase(Argument.ROWS, null, FEW, this::share));
    }

    private void share() {
        load(R13, Argument.BYTES);
        locate(RSI, Argument.X, R13);
        locate(RDI, Argument.Y, R13);
        a.vbroadcastss(PART, at(RBX, offset(Argument.CONSTANTS)));
        a.vbroadcastss(EPS, at(RBX, offset(Argument.CONSTANTS) + 4));
        constant(ONE, 1);
        eachItem(this::row);
    }

    private void row() {
        a.vpxord(MEAN, MEAN, MEAN);
        each(() -> {
            read();
            a.vaddps(MEAN, MEAN, 1);
        });
        a.subtract(RSI, R13);
        acrossLanes(MEAN, 1, () -> a.vaddps(MEAN, MEAN, 1));
        a.vmulps(MEAN, MEAN, PART);
        a.vpxord(SCALE, SCALE, SCALE);
        each(() -> {
            centred();
            a.vfmadd231ps(SCALE, 1, 1);
        });
        a.subtract(RSI, R13);
        acrossLanes(SCALE, 1, () -> a.vaddps(SCALE, SCALE, 1));
        a.vmulps(SCALE, SCALE, PART);
        a.vaddps(SCALE, SCALE, EPS);
        a.vsqrtps(SCALE, SCALE);
        a.vdivps(SCALE, ONE, SCALE);
        load(R8, Argument.WEIGHT);
        load(R9, Argument.BIAS);
        each(() -> {
            centred();
            a.vmulps(1, 1, SCALE);
            a.vmovups(3, at(R8, 0));
            a.vfmadd213ps(1, 3, at(R9, 0));
            if (half) {
                a.vcvtneps2bf16(1, 1);
                a.storeHalf(at(RDI, 0), 1);
            } else {
                a.vmovups(at(RDI, 0), 1);
            }
            a.add(R8, VECTOR);
            a.add(R9, VECTOR);
            a.add(RDI, bytes());
        });
    }

    private int bytes() {
        return half ? VECTOR / 2 : VECTOR;
    }

    private void read() {
        numbers(1, at(RSI, 0), half);
    }

    private void centred() {
        read();
        a.vsubps(1, 1, MEAN);
    }

    /** Each vector of a row, at RSI. */
    private void each(Runnable body) {
        load(RCX, Argument.VECTORS);
        Label vector = new Label();
        a.bind(vector);
        body.run();
        a.add(RSI, bytes());
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, vector);
    }
}
