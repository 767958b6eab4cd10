package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Reg.R13;
import static dev.headstart.nn.Assembler.Reg.R8;
import static dev.headstart.nn.Assembler.Reg.RCX;
import static dev.headstart.nn.Assembler.Reg.RDI;
import static dev.headstart.nn.Assembler.Reg.RSI;

import dev.headstart.nn.Assembler.Condition;
import dev.headstart.nn.Assembler.Label;
import dev.headstart.nn.TileCode.Argument;
import dev.headstart.nn.TileCode.Form;
import dev.headstart.nn.TileCode.Rows;
import dev.headstart.nn.TileCode.Type;

/**
 * The first phase of {@link TileCode} where rows come in another type than that of the products; an item is a row. To 8 bits each row is rounded by itself,
 * q = round(127 x / m) + 128 with m its largest absolute value.
 */
final class TileRounding implements Runnable {
    private static final int SIGNLESS = 31;
    private static final int LEAST = 30;
    private static final int MOST = 29;
    private static final int MIDDLE = 28;
    private final ParallelCode code;
    private final Assembler a;
    private final boolean half;
    private final boolean bytes;

    TileRounding(ParallelCode code, Form form) {
        this.code = code;
        a = code.a;
        half = form.rows() == Rows.BF16;
        bytes = form.type() == Type.INT8;
    }

    /** A thread's rows. */
    @Override
    public void run() {
        code.load(R13, Argument.GIVEN_BYTES);
        code.locate(RSI, Argument.GIVEN, R13);
        code.load(R13, Argument.X_BYTES);
        code.locate(RDI, Argument.X, R13);
        a.move(R13, 4);
        code.locate(R8, Argument.ROW_SCALES, R13);
        code.bits(SIGNLESS, 0x7fffffff);
        code.constant(LEAST, 1e-12f);
        code.constant(MOST, 127);
        code.bits(MIDDLE, 128);
        code.eachItem(this::row);
    }

    private void row() {
        if (bytes) {
            toBytes();
        } else {
            each(() -> {
                a.vcvtneps2bf16(1, 1);
                a.storeHalf(at(RDI, 0), 1);
                a.add(RDI, ParallelCode.VECTOR / 2);
            });
        }
        a.add(R8, 4);
    }

    private void toBytes() {
        a.vpandd(0, LEAST, LEAST);
        each(() -> {
            a.vpandd(1, 1, SIGNLESS);
            a.vpmaxsd(0, 0, 1); // as whole numbers, of which what is no number is the largest
        });
        code.load(R13, Argument.GIVEN_BYTES);
        a.subtract(RSI, R13);
        code.acrossLanes(0, 1, () -> a.vpmaxsd(0, 0, 1));
        a.vdivps(2, MOST, 0);
        a.vdivps(0, 0, MOST);
        a.storeFirst(at(R8, 0), 0);
        each(() -> {
            a.vmulps(1, 1, 2);
            a.vcvtps2dq(1, 1);
            a.vpaddd(1, 1, MIDDLE);
            a.vpmovdb(at(RDI, 0), 1);
            a.add(RDI, ParallelCode.VECTOR / 4);
        });
    }

    /** Each vector of a row, in z1. */
    private void each(Runnable body) {
        code.load(RCX, Argument.GIVEN_VECTORS);
        Label vector = new Label();
        a.bind(vector);
        code.numbers(1, at(RSI, 0), half);
        body.run();
        a.add(RSI, half ? ParallelCode.VECTOR / 2 : ParallelCode.VECTOR);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, vector);
    }
}
