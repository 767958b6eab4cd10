package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Mem.each;
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
import static dev.headstart.nn.Assembler.Reg.RSP;

import dev.headstart.nn.Assembler.Condition;
import dev.headstart.nn.Assembler.Label;
import dev.headstart.nn.Assembler.Mem;
import dev.headstart.nn.Assembler.Reg;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * The code of Y = act(X W^T + b + C) for many rows: tiles of {@link #ROWS} rows and {@link #WIDTH} outputs stay in registers while the inputs pass by. A weight lies in
 * panels of so many outputs, all inputs of a panel one after the other. Threads share the panels of all chunks of rows, a chunk's one after the other.
 */
final class TileCode extends ParallelCode {
    /** Rows of a tile. */
    static final int ROWS = 6;

    /** Rows that are rounded sooner than a second thread begins. */
    private static final int FEW = 4;

    private static final int VECTORS = 4;

    /** Outputs of a panel. */
    static final int WIDTH = RowCode.LANES * VECTORS;

    /** The places of the arguments. M rows, K inputs, N outputs, a multiple of {@link #WIDTH}; a word is 32 bits of a row. */
    enum Argument {
        THREADS,
        /** Panels times chunks. */
        ITEMS,
        /** 0: the item that a thread takes next. */
        NEXT,
        /** So many at a time. */
        TAKEN,
        /** N / 64. */
        PANELS,
        /** [N / 64, words, 64]. */
        WEIGHT,
        PANEL_BYTES,
        /** Turns of the loop over a row's words; of a convolution, over those of a place. */
        TURNS,
        /** [M, K] in the type; of a convolution what its places are counted from. */
        X,
        /** From one row to the next. */
        X_BYTES,
        /** M. */
        ROWS,
        /** Rows of a chunk; the last has what is left. */
        CHUNK,
        /** fp32 [M]: of 8 bits, what each row is multiplied by; of a narrow result, one number for what is added. */
        ROW_SCALES,
        /** fp32 [N]: of 8 bits, what each output is multiplied by. */
        SCALES,
        /** int32 [N]: of 8 bits, what the sums begin with. */
        BEGIN,
        /** fp32 [N]. */
        BIAS,
        /** From Y to what is added, of the same layout. */
        ADDED,
        /** [M, N] in fp32, bfloat16 or uint8. */
        Y,
        /** From one row to the next. */
        Y_BYTES,
        /** fp32: the activation's. */
        CONSTANTS,
        /** Of a convolution: int64 [places of the filter, M], where in X each begins; half of the lowest number for what lies outside. */
        PLACES,
        /** Bytes of all places. */
        PLACES_BYTES,
        /** From one place of the filter to the next. */
        PLACE_BYTES,
        /** What lies outside. */
        OUTSIDE,
        /** Rows that are rounded to X's type first: [M, K] in fp32 or bfloat16. */
        GIVEN,
        /** From one of them to the next. */
        GIVEN_BYTES,
        /** A row's vectors: K / 16. */
        GIVEN_VECTORS
    }

    /** Types of rows and weights. */
    enum Type {
        FP32(4, 4),
        BF16(8, 4),
        /** Rows without sign, weights with it. */
        INT8(32, 8);

        /** What the inputs must be a multiple of: those of a turn. */
        final int inputs;

        final int words; // of a turn

        Type(int inputs, int words) {
            this.inputs = inputs;
            this.words = words;
        }

        /** Whether a processor with these features runs it; those with matrix units have them in oneDNN, which is faster. */
        boolean runs(Set<String> features) {
            return switch (this) {
                case FP32 -> true;
                case BF16 -> features.contains("avx512_bf16") && !features.contains("amx_bf16");
                case INT8 -> !features.contains("amx_int8");
            };
        }

        /** Bytes of an input. */
        int bytes() {
            return words * 4 / inputs;
        }
    }

    /** How the rows come. */
    enum Rows {
        /** In the type of the products. */
        READY,
        /** Rounded first. */
        FP32,
        /** The same. */
        BF16,
        /** Put together from places, of a convolution. */
        PLACES
    }

    /** What the result is. */
    enum Result {
        FP32(4),
        BF16(2),
        /** Rounded to 0 to 255, which rectifies it; rows have no scales of their own. Of products in 8 bits. */
        UINT8(1);

        /** Of an element. */
        final int bytes;

        Result(int bytes) {
            this.bytes = bytes;
        }
    }

    /**
     * What is made.
     *
     * @param type of rows and weights
     * @param rows how they come
     * @param result what it is
     * @param adds whether something of the result's type and layout is added
     * @param act of the result
     */
    record Form(Type type, Rows rows, Result result, boolean adds, TileActivation act) {}

    /** Where a thread's current numbers lie, from RSP. */
    private static final int COLUMN = 0; // the panel's first output times 4

    private static final int ROW = 8; // the tile's first
    private static final int END = 16; // of the places
    private static final int FRAME = 24;

    private static final Map<Form, Optional<MachineCode>> MADE = new ConcurrentHashMap<>();
    private static final Reg[] X = {R8, R9, R10, R11, R12, R13};
    private static final int W = 24; // and the three after it
    private static final int FREE = 28; // and the three after it
    private final Form form;
    private final boolean bytes;

    private TileCode(Form form) {
        this.form = form;
        bytes = form.type == Type.INT8;
    }

    /** Made when it is first asked for. @return null where code cannot be made here */
    static @Nullable MachineCode of(Form form) {
        return MADE.computeIfAbsent(form, f -> Optional.ofNullable(new TileCode(f).make()))
                .orElse(null);
    }

    /** Items that a thread takes at a time: an eighth of its part, so that one that is held up delays the other little. */
    static long taken(long items, long threads) {
        return Math.max(1, items / (8 * threads));
    }

    /** Whether there is code for products of this type here, and it is the fastest way. */
    static boolean runs(Type type) {
        return MachineCode.available() != null
                && type.runs(Processor.current().features())
                && of(new Form(type, Rows.READY, Result.FP32, false, TileActivation.LINEAR)) != null;
    }

    @Override
    List<Phase> phases() {
        Phase tiles = new Phase(Argument.ITEMS, Argument.NEXT, 0, this::share);
        return form.rows == Rows.READY || form.rows == Rows.PLACES
                ? List.of(tiles)
                : List.of(new Phase(Argument.ROWS, null, FEW, new TileRounding(this, form)), tiles);
    }

    private void share() {
        a.push(RBP);
        a.add(RSP, -FRAME);
        eachItem(this::item);
        a.add(RSP, FRAME);
        a.pop(RBP);
    }

    /** A panel of a chunk. RDI: its weights; RSI: y's tile; R8: x's first row; RDX: rows left. */
    private void item() {
        divideItem(Argument.PANELS); // rax: the chunk, rdx: the panel
        load(RDI, Argument.PANEL_BYTES);
        a.multiply(RDI, RDX);
        load(RCX, Argument.WEIGHT);
        a.add(RDI, RCX);
        a.move(RCX, 4L * WIDTH);
        a.multiply(RDX, RCX);
        a.store(at(RSP, COLUMN), RDX);
        load(RCX, Argument.CHUNK);
        a.multiply(RAX, RCX);
        a.store(at(RSP, ROW), RAX);
        load(R8, Argument.X_BYTES);
        a.multiply(R8, RAX);
        load(R9, Argument.X);
        a.add(R8, R9);
        load(RSI, Argument.Y_BYTES);
        a.multiply(RSI, RAX);
        load(R9, Argument.Y);
        a.add(RSI, R9);
        a.load(R9, at(RSP, COLUMN));
        a.shiftRight(R9, Integer.numberOfTrailingZeros(Float.BYTES / form.result.bytes));
        a.add(RSI, R9);
        load(RDX, Argument.ROWS);
        a.subtract(RDX, RAX);
        Label whole = new Label();
        a.compare(RDX, RCX);
        a.jump(Condition.LESS, whole);
        a.move(RDX, RCX);
        a.bind(whole);
        Label rest = new Label();
        Label full = new Label();
        a.compare(RDX, ROWS);
        a.jump(Condition.LESS, rest);
        a.bind(full);
        tile(ROWS);
        a.compare(RDX, ROWS);
        a.jump(Condition.NOT_LESS, full);
        a.bind(rest);
        for (int rows = ROWS - 1; rows > 0; rows--) {
            Label other = new Label();
            a.compare(RDX, rows);
            a.jump(Condition.NOT_ZERO, other);
            tile(rows);
            a.bind(other);
        }
    }

    private void tile(int rows) {
        begin(rows);
        a.push(RDI); // END and the others are 8 bytes further until it is popped
        if (form.rows == Rows.PLACES) {
            places(rows);
        } else {
            load(RAX, Argument.X_BYTES);
            for (int r = 1; r < rows; r++) {
                a.move(X[r], X[r - 1]);
                a.add(X[r], RAX);
            }
            products(rows);
            a.move(R8, X[rows - 1]); // the next tile's first row
        }
        a.pop(RDI);
        if (inTurns(rows)) {
            for (int v = 0; v < VECTORS; v++) {
                a.vaddps(v, v, VECTORS + v);
            }
        }
        write(rows);
        a.load(RAX, at(RSP, ROW));
        a.add(RAX, rows);
        a.store(at(RSP, ROW), RAX);
        a.add(RDX, -rows);
    }

    /** The products of all places of a filter. */
    private void places(int rows) {
        a.load(RBP, at(RSP, 8 + ROW));
        a.add(RBP, RBP);
        a.add(RBP, RBP);
        a.add(RBP, RBP);
        load(RAX, Argument.PLACES);
        a.add(RBP, RAX);
        load(RAX, Argument.PLACES_BYTES);
        a.add(RAX, RBP);
        a.store(at(RSP, 8 + END), RAX);
        Label place = new Label();
        a.bind(place);
        load(RAX, Argument.X);
        load(RCX, Argument.OUTSIDE);
        for (int r = 0; r < rows; r++) {
            a.load(X[r], at(RBP, 8 * r));
            a.add(X[r], RAX);
            a.moveIfNegative(X[r], RCX);
        }
        products(rows);
        load(RAX, Argument.PLACE_BYTES);
        a.add(RBP, RAX);
        a.load(RAX, at(RSP, 8 + END));
        a.compare(RBP, RAX);
        a.jump(Condition.LESS, place);
    }

    private void products(int rows) {
        load(RCX, Argument.TURNS);
        Label turn = new Label();
        a.bind(turn);
        for (int word = 0; word < form.type.words; word++) {
            if (rows == 1) { // weights are used once: straight from memory
                a.vbroadcastss(W, at(X[0], 4 * word));
                for (int v = 0; v < VECTORS; v++) {
                    multiply((inTurns(rows) ? word % 2 * VECTORS : 0) + v, W, at(RDI, (word * VECTORS + v) * VECTOR));
                }
                continue;
            }
            for (int v = 0; v < VECTORS; v++) {
                a.vmovups(W + v, at(RDI, (word * VECTORS + v) * VECTOR));
            }
            for (int r = 0; r < rows; r++) {
                int x = FREE + (r & 3);
                a.vbroadcastss(x, at(X[r], 4 * word));
                for (int v = 0; v < VECTORS; v++) {
                    multiply(r * VECTORS + v, x, W + v);
                }
            }
        }
        a.add(RDI, form.type.words * VECTORS * VECTOR);
        for (int r = 0; r < rows; r++) {
            a.add(X[r], 4 * form.type.words);
        }
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, turn);
    }

    /** Whether every other word has sums of its own: products of bfloat16 wait long for the ones before, and a single row has few of them. */
    private boolean inTurns(int rows) {
        return rows == 1 && form.type == Type.BF16;
    }

    private void multiply(int sum, int x, int w) {
        switch (form.type) {
            case FP32 -> a.vfmadd231ps(sum, x, w);
            case BF16 -> a.vdpbf16ps(sum, x, w);
            case INT8 -> a.vpdpbusd(sum, x, w);
        }
    }

    private void multiply(int sum, int x, Mem w) {
        switch (form.type) {
            case FP32 -> a.vfmadd231ps(sum, x, w);
            case BF16 -> a.vdpbf16ps(sum, x, w);
            case INT8 -> a.vpdpbusd(sum, x, w);
        }
    }

    private void begin(int rows) {
        if (inTurns(rows)) {
            for (int v = 0; v < VECTORS; v++) {
                a.vpxord(VECTORS + v, VECTORS + v, VECTORS + v);
            }
        }
        if (!bytes) {
            for (int s = 0; s < rows * VECTORS; s++) {
                a.vpxord(s, s, s);
            }
            return;
        }
        place(RCX, Argument.BEGIN);
        for (int v = 0; v < VECTORS; v++) {
            a.vmovups(v, at(RCX, v * VECTOR));
            for (int r = 1; r < rows; r++) {
                a.vpandd(r * VECTORS + v, v, v);
            }
        }
    }

    /** Where the panel's part of [N] in 32 bits lies. */
    private void place(Reg to, Argument argument) {
        load(to, argument);
        a.load(RAX, at(RSP, COLUMN));
        a.add(to, RAX);
    }

    /** R8 and RDX are to be kept. */
    private void write(int rows) {
        place(R10, Argument.BIAS);
        for (int v = 0; v < VECTORS; v++) {
            a.vmovups(W + v, at(R10, v * VECTOR));
        }
        if (bytes) {
            scale(rows);
        } else {
            for (int s = 0; s < rows * VECTORS; s++) {
                a.vaddps(s, s, W + s % VECTORS);
            }
        }
        load(R13, Argument.Y_BYTES);
        if (form.adds) {
            add(rows);
        }
        load(RAX, Argument.CONSTANTS);
        for (int s = 0; s < rows * VECTORS; s += 2) {
            form.act.write(a, s, W, RAX);
        }
        if (form.result == Result.UINT8) {
            a.vpxord(W, W, W);
        }
        for (int r = 0; r < rows; r++) {
            for (int v = 0; v < VECTORS; v++) {
                int s = r * VECTORS + v;
                if (form.result == Result.UINT8) {
                    a.vmaxps(s, s, W);
                    a.vcvtps2dq(s, s);
                    a.vpmovusdb(at(RSI, v * VECTOR / 4), s);
                } else if (form.result == Result.BF16) {
                    a.vcvtneps2bf16(s, s);
                    a.storeHalf(at(RSI, v * VECTOR / 2), s);
                } else {
                    a.vmovups(at(RSI, v * VECTOR), s);
                }
            }
            a.add(RSI, R13);
        }
    }

    /** From whole numbers to fp32, the bias added. */
    private void scale(int rows) {
        place(R9, Argument.SCALES);
        load(R12, Argument.ROW_SCALES);
        a.load(RAX, at(RSP, ROW));
        a.add(RAX, RAX);
        a.add(RAX, RAX);
        a.add(R12, RAX);
        for (int v = 0; v < VECTORS; v++) {
            a.vmovups(FREE + v, at(R9, v * VECTOR));
        }
        for (int s = 0; s < rows * VECTORS; s++) {
            a.vcvtdq2ps(s, s);
            if (form.result != Result.UINT8) {
                a.vmulps(s, s, each(R12, s / VECTORS * 4));
            }
            a.vfmadd213ps(s, FREE + s % VECTORS, W + s % VECTORS);
        }
    }

    private void add(int rows) {
        load(R11, Argument.ADDED);
        a.add(R11, RSI);
        if (form.result == Result.UINT8) {
            load(R12, Argument.ROW_SCALES);
        }
        for (int r = 0; r < rows; r++) {
            for (int v = 0; v < VECTORS; v++) {
                int s = r * VECTORS + v;
                if (form.result == Result.UINT8) {
                    a.vpmovzxbd(W + v, at(R11, v * VECTOR / 4));
                    a.vcvtdq2ps(W + v, W + v);
                    a.vfmadd231ps(s, W + v, each(R12, 0));
                } else if (form.result == Result.BF16) {
                    a.vpmovzxwd(W + v, at(R11, v * VECTOR / 2));
                    a.vpslld(W + v, W + v, 16);
                    a.vaddps(s, s, W + v);
                } else {
                    a.vaddps(s, s, at(R11, v * VECTOR));
                }
            }
            a.add(R11, R13);
        }
    }
}
