package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Reg.R10;
import static dev.headstart.nn.Assembler.Reg.R11;
import static dev.headstart.nn.Assembler.Reg.R12;
import static dev.headstart.nn.Assembler.Reg.R13;
import static dev.headstart.nn.Assembler.Reg.R8;
import static dev.headstart.nn.Assembler.Reg.R9;
import static dev.headstart.nn.Assembler.Reg.RAX;
import static dev.headstart.nn.Assembler.Reg.RBP;
import static dev.headstart.nn.Assembler.Reg.RCX;
import static dev.headstart.nn.Assembler.Reg.RDI;
import static dev.headstart.nn.Assembler.Reg.RDX;
import static dev.headstart.nn.Assembler.Reg.RSI;

import dev.headstart.nn.Assembler.Condition;
import dev.headstart.nn.Assembler.Label;
import dev.headstart.nn.Assembler.Reg;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The sums of {@link TileWinograd}: of rows of the input, or of products to rows of the result. An item is a part of a tile's rows. */
final class WinogradCode extends ParallelCode {
    /** Rows of the result in a tile. */
    static final int M = 4;

    /** Rows of products in a tile. */
    static final int ALPHA = 6;

    /** Numbers of a tile in the table: where its rows of the input begin, below zero what lies outside; where its result begins; rows of the result. */
    static final int ENTRIES = ALPHA + 2;

    /** The places of the arguments. */
    enum Argument {
        THREADS,
        /** Tiles times parts. */
        ITEMS,
        /** Of a tile. */
        PARTS,
        PART_BYTES,
        /** int64 [tiles, {@link #ENTRIES}]. */
        TABLE,
        /** Input or result: [B, H, W, C]. */
        ROWS,
        /** From one row of them to the next. */
        ROW_BYTES,
        /** Zeros, as many as a row. */
        OUTSIDE,
        /** Sums or products: [6, tiles, W, C]. */
        TILES,
        /** From one of the six to the next. */
        SIX_BYTES,
        /** From the result to what is added. */
        ADDED
    }

    /** Which sums. @param results of products; otherwise of the input @param adds whether something is added @param relu whether it is rectified */
    record Form(boolean results, boolean adds, boolean relu) {}

    private static final int TWO = 31;
    private static final int LESS_TWO = 30;
    private static final int FOUR = 29;
    private static final int LESS_FOUR = 28;
    private static final int EIGHT = 27;
    private static final int ZERO = 26;
    private static final Reg[] X = {R8, R9, R10, R11, R12, R13};
    private final Form form;

    private WinogradCode(Form form) {
        this.form = form;
    }

    /** @return null where code cannot be made here */
    static @Nullable MachineCode of(Form form) {
        return new WinogradCode(form).make();
    }

    @Override
    List<Phase> phases() {
        return List.of(new Phase(Argument.ITEMS, null, 0, this::share));
    }

    private void share() {
        a.push(RBP);
        constant(TWO, 2);
        constant(LESS_TWO, -2);
        constant(FOUR, 4);
        constant(LESS_FOUR, -4);
        constant(EIGHT, 8);
        a.vpxord(ZERO, ZERO, ZERO);
        eachItem(this::item);
        a.pop(RBP);
    }

    /** RBP: the tile in the table; RDX: where its part begins; RDI: of the six; RSI: from one of the six to the next. */
    private void item() {
        divideItem(Argument.PARTS);
        a.move(RCX, 8L * ENTRIES);
        a.multiply(RAX, RCX);
        load(RBP, Argument.TABLE);
        a.add(RBP, RAX);
        load(RCX, Argument.PART_BYTES);
        a.multiply(RDX, RCX);
        locate(RDI, Argument.TILES, RCX);
        load(RSI, Argument.SIX_BYTES);
        a.shiftRight(RCX, 6);
        load(RAX, Argument.ROWS);
        if (form.results) {
            a.add(RDX, RAX);
            results();
        } else {
            inputs();
            combine();
        }
    }

    /** RAX: the input. */
    private void inputs() {
        for (int k = 0; k < ALPHA; k++) {
            a.load(X[k], at(RBP, 8 * k));
        }
        load(RBP, Argument.OUTSIDE);
        for (int k = 0; k < ALPHA; k++) {
            a.add(X[k], RAX);
            a.moveIfNegative(X[k], RBP);
            a.add(X[k], RDX);
        }
    }

    /** Lavin and Gray's B^T d. */
    private void combine() {
        a.move(RAX, RSI);
        a.add(RAX, RSI);
        a.add(RAX, RSI);
        a.add(RAX, RAX); // six
        Label vector = new Label();
        a.bind(vector);
        for (int k = 0; k < ALPHA; k++) {
            a.vmovups(k, at(X[k], 0));
            a.add(X[k], VECTOR);
        }
        a.vpandd(6, 4, 4);
        a.vfmadd231ps(6, 2, LESS_FOUR);
        a.vpandd(7, 3, 3);
        a.vfmadd231ps(7, 1, LESS_FOUR);
        a.vsubps(10, 4, 2);
        a.vsubps(11, 3, 1);
        a.vsubps(14, 0, 2);
        a.vsubps(15, 5, 3);
        a.vpandd(12, 10, 10);
        a.vfmadd231ps(12, 11, TWO);
        a.vpandd(13, 10, 10);
        a.vfmadd231ps(13, 11, LESS_TWO);
        a.vfmadd231ps(10, 14, FOUR);
        a.vfmadd231ps(15, 11, LESS_FOUR);
        a.vaddps(8, 6, 7);
        a.vsubps(9, 6, 7);
        for (int z : new int[] {10, 8, 9, 12, 13, 15}) {
            a.vmovups(at(RDI, 0), z);
            a.add(RDI, RSI);
        }
        a.subtract(RDI, RAX);
        a.add(RDI, VECTOR);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, vector);
    }

    /** Lavin and Gray's A^T m. */
    private void results() {
        a.load(RAX, at(RBP, 8 * ALPHA));
        a.add(RDX, RAX);
        load(RAX, Argument.ROW_BYTES);
        a.move(R8, RDX);
        for (int r = 1; r < M; r++) {
            a.move(X[r], X[r - 1]);
            a.add(X[r], RAX);
        }
        load(R13, Argument.ADDED);
        a.move(RDX, RSI);
        a.add(RDX, RSI);
        a.add(RDX, RSI);
        a.add(RDX, RDX); // six
        a.load(RBP, at(RBP, 8 * (ALPHA + 1)));
        for (int rows = M; rows > 0; rows--) {
            Label other = new Label();
            a.compare(RBP, rows);
            a.jump(Condition.NOT_ZERO, other);
            results(rows);
            a.zero(RBP);
            a.bind(other);
        }
    }

    private void results(int rows) {
        Label vector = new Label();
        a.bind(vector);
        for (int k = 0; k < ALPHA; k++) {
            a.vmovups(k, at(RDI, 0));
            a.add(RDI, RSI);
        }
        a.subtract(RDI, RDX);
        a.add(RDI, VECTOR);
        a.vaddps(6, 1, 2);
        a.vsubps(11, 1, 2);
        a.vaddps(7, 3, 4);
        a.vsubps(8, 3, 4);
        a.vaddps(10, 0, 6);
        a.vaddps(10, 10, 7); // 10 to 13 are the rows
        a.vpandd(12, 6, 6);
        a.vfmadd231ps(12, 7, FOUR);
        a.vaddps(13, 11, 5);
        a.vfmadd231ps(13, 8, EIGHT);
        a.vfmadd231ps(11, 8, TWO);
        for (int r = 0; r < rows; r++) {
            if (form.adds) {
                a.move(RAX, X[r]);
                a.add(RAX, R13);
                a.vaddps(10 + r, 10 + r, at(RAX, 0));
            }
            if (form.relu) {
                a.vmaxps(10 + r, ZERO, 10 + r); // the second one where there is no number
            }
            a.vmovups(at(X[r], 0), 10 + r);
            a.add(X[r], VECTOR);
        }
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, vector);
    }
}
