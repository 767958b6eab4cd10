package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Mem.each;
import static dev.headstart.nn.Assembler.Reg.R10;
import static dev.headstart.nn.Assembler.Reg.R11;
import static dev.headstart.nn.Assembler.Reg.R12;
import static dev.headstart.nn.Assembler.Reg.R8;
import static dev.headstart.nn.Assembler.Reg.R9;
import static dev.headstart.nn.Assembler.Reg.RAX;
import static dev.headstart.nn.Assembler.Reg.RBP;
import static dev.headstart.nn.Assembler.Reg.RBX;
import static dev.headstart.nn.Assembler.Reg.RCX;
import static dev.headstart.nn.Assembler.Reg.RDI;
import static dev.headstart.nn.Assembler.Reg.RDX;
import static dev.headstart.nn.Assembler.Reg.RSI;
import static dev.headstart.nn.Assembler.Reg.RSP;

import dev.headstart.nn.Assembler.Condition;
import dev.headstart.nn.Assembler.Label;
import dev.headstart.nn.Assembler.Reg;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The code of softmax(q k^T scale) v for texts one after the other, each of which sees itself and nothing else, of that what comes later not where the code is causal; an item is a head of a text. Sixteen queries are a
 * vector's lanes, so that their softmax needs nothing across lanes. Computed in fp32.
 */
final class TextAttentionCode extends ParallelCode {
    /** Queries at a time. */
    static final int LANES = RowCode.LANES;

    /** Keys at a time. */
    static final int KEYS = 8;

    /** The places of the arguments. T positions, B texts, h heads, d the size of a head. */
    enum Argument {
        THREADS,
        /** B h. */
        ITEMS,
        /** B. */
        TEXTS,
        /** [T, 3 h d]: query, key and value side by side. */
        QKV,
        /** From one position to the next. */
        QKV_BYTES,
        /** From query to key and from key to value. */
        PART_BYTES,
        /** int64 [B, 2]: each text's first position, and how many it has. */
        BOUNDS,
        /** [T, h d], as QKV. */
        Y,
        /** From one position to the next. */
        Y_BYTES,
        /** Room for each thread: queries, keys and values of a head in fp32, [longest, d] each, then d + longest + 17 vectors. */
        ROOM,
        /** Of a thread. */
        ROOM_BYTES,
        /** Of one of the three. */
        COPY_BYTES,
        /** fp32: scale log2(e). */
        SCALE,
        /** fp32 [16, 16]: what is added to the scores of sixteen keys and as many queries at the same places, where later ones are hidden. */
        LATER
    }

    // from RSP
    private static final int LENGTH = 0;
    private static final int OWN = 8; // the thread's room
    private static final int RESULT = 16; // the head's first result
    private static final int LEFT = 24; // queries
    private static final int QUERIES = 32; // of this turn
    private static final int SEEN = 40; // keys of this turn's queries
    private static final int FRAME = 48;

    private static final int POWER = 24; // and the six after it
    private static final int FACTOR = 31;
    private static final int SUM = 23;
    private final int d;
    private final boolean half;
    private final boolean causal;
    private final int vectors;

    private TextAttentionCode(Form form) {
        d = form.d;
        half = form.half;
        causal = form.causal;
        vectors = d / LANES;
    }

    /**
     * What is made.
     *
     * @param d size of a head, a multiple of 16 up to 128
     * @param half whether all is in bfloat16
     * @param causal whether a position sees none after itself
     */
    record Form(int d, boolean half, boolean causal) {}

    /** @return null where code cannot be made here */
    static @Nullable MachineCode of(Form form) {
        return new TextAttentionCode(form).make();
    }

    /** Bytes that a thread needs. */
    static long room(long longest, long d) {
        return 3 * copy(longest, d) + (d + longest + LANES + 1) * VECTOR;
    }

    /** Bytes of queries, keys or values in fp32. */
    static long copy(long longest, long d) {
        return (longest + LANES) * d * Float.BYTES;
    }

    @Override
    List<Phase> phases() {
        return List.of(new Phase(Argument.ITEMS, null, 0, this::share));
    }

    private int bytes(int elements) {
        return elements * (half ? Short.BYTES : Float.BYTES);
    }

    private void share() {
        a.push(RBP);
        a.add(RSP, -FRAME);
        a.add(R12, -2); // the thread
        load(RAX, Argument.ROOM_BYTES);
        a.multiply(RAX, R12);
        load(RCX, Argument.ROOM);
        a.add(RAX, RCX);
        a.store(at(RSP, OWN), RAX);
        eachItem(this::item);
        a.add(RSP, FRAME);
        a.pop(RBP);
    }

    private void item() {
        divideItem(Argument.TEXTS); // rax: the head, rdx: the text
        a.shiftLeft(RDX, 4);
        load(RCX, Argument.BOUNDS);
        a.add(RDX, RCX);
        a.load(RCX, at(RDX, 8));
        a.store(at(RSP, LENGTH), RCX);
        a.store(at(RSP, LEFT), RCX);
        a.load(RDX, at(RDX, 0));
        a.move(RCX, (long) bytes(d));
        a.multiply(RAX, RCX); // of the heads before
        load(RSI, Argument.QKV_BYTES);
        a.multiply(RSI, RDX);
        load(RCX, Argument.QKV);
        a.add(RSI, RCX);
        a.add(RSI, RAX);
        load(RDI, Argument.Y_BYTES);
        a.multiply(RDI, RDX);
        load(RCX, Argument.Y);
        a.add(RDI, RCX);
        a.add(RDI, RAX);
        a.store(at(RSP, RESULT), RDI);
        copy();
        a.load(RAX, at(RSP, OWN));
        a.store(at(RSP, QUERIES), RAX);
        Label queries = new Label();
        a.bind(queries);
        seen();
        transpose();
        scores();
        if (causal) {
            hideLater();
        }
        weights();
        results();
        a.load(RAX, at(RSP, QUERIES));
        a.add(RAX, LANES * d * Float.BYTES);
        a.store(at(RSP, QUERIES), RAX);
        a.load(RAX, at(RSP, LEFT));
        a.add(RAX, -LANES);
        a.store(at(RSP, LEFT), RAX);
        a.compare(RAX, 1);
        a.jump(Condition.NOT_LESS, queries);
    }

    /** How many keys the queries of this turn see, the last of them. */
    private void seen() {
        a.load(RAX, at(RSP, LENGTH));
        if (causal) {
            Label all = new Label();
            a.move(RCX, RAX);
            a.load(RDX, at(RSP, LEFT));
            a.subtract(RCX, RDX);
            a.add(RCX, LANES);
            a.compare(RAX, RCX);
            a.jump(Condition.LESS, all);
            a.move(RAX, RCX);
            a.bind(all);
        }
        a.store(at(RSP, SEEN), RAX);
    }

    private void hideLater() {
        a.load(RCX, at(RSP, LENGTH));
        a.load(RDX, at(RSP, LEFT));
        a.subtract(RCX, RDX); // queries before these, and keys that all of these see
        a.shiftLeft(RCX, 6);
        scoresAt(RDI);
        a.add(RDI, RCX);
        load(RAX, Argument.LATER);
        for (int k = 0; k < LANES; k++) {
            a.vmovups(0, at(RDI, k * VECTOR));
            a.vaddps(0, 0, at(RAX, k * VECTOR));
            a.vmovups(at(RDI, k * VECTOR), 0);
        }
    }

    /** Queries times scale log2(e), keys and values from RSI on, in fp32 side by side. */
    private void copy() {
        a.vbroadcastss(FACTOR, at(RBX, offset(Argument.SCALE)));
        load(R9, Argument.PART_BYTES);
        load(R10, Argument.COPY_BYTES);
        load(R11, Argument.QKV_BYTES);
        a.load(RDI, at(RSP, OWN));
        a.load(RCX, at(RSP, LENGTH));
        Label row = new Label();
        a.bind(row);
        a.move(R8, RSI);
        a.move(RDX, RDI);
        for (int part = 0; part < 3; part++) {
            for (int v = 0; v < vectors; v++) {
                numbers(v, at(R8, half ? v * VECTOR / 2 : v * VECTOR), half);
                if (part == 0) {
                    a.vmulps(v, v, FACTOR);
                }
                a.vmovups(at(RDX, v * VECTOR), v);
            }
            a.add(R8, R9);
            a.add(RDX, R10);
        }
        a.add(RSI, R11);
        a.add(RDI, d * Float.BYTES);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, row);
        a.vpxord(0, 0, 0); // as many queries more as a vector has
        a.move(RCX, (long) LANES * vectors);
        Label rest = new Label();
        a.bind(rest);
        a.vmovups(at(RDI, 0), 0);
        a.add(RDI, VECTOR);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, rest);
    }

    /** Where what follows the three copies lies: the transposed queries, [d, 16]. */
    private void afterCopies(Reg to) {
        load(to, Argument.COPY_BYTES);
        a.move(RAX, to);
        a.add(to, to);
        a.add(to, RAX);
        a.load(RAX, at(RSP, OWN));
        a.add(to, RAX);
    }

    private void scoresAt(Reg to) {
        afterCopies(to);
        a.add(to, d * VECTOR);
    }

    /** Sixteen queries, blocks of 16 x 16. */
    private void transpose() {
        a.load(RSI, at(RSP, QUERIES));
        afterCopies(RDI);
        for (int block = 0; block < vectors; block++) {
            for (int q = 0; q < LANES; q++) {
                a.vmovups(q, at(RSI, q * d * Float.BYTES + block * VECTOR));
            }
            for (int i = 0; i < LANES; i += 2) {
                a.vunpcklps(LANES + i, i, i + 1);
                a.vunpckhps(LANES + i + 1, i, i + 1);
            }
            for (int i = 0; i < LANES; i += 4) {
                a.vpunpcklqdq(i, LANES + i, LANES + i + 2);
                a.vpunpckhqdq(i + 1, LANES + i, LANES + i + 2);
                a.vpunpcklqdq(i + 2, LANES + i + 1, LANES + i + 3);
                a.vpunpckhqdq(i + 3, LANES + i + 1, LANES + i + 3);
            }
            for (int j = 0; j < 4; j++) {
                a.vshuff32x4(LANES + j, j, 4 + j, EVEN);
                a.vshuff32x4(LANES + 4 + j, j, 4 + j, ODD);
                a.vshuff32x4(LANES + 8 + j, 8 + j, 12 + j, EVEN);
                a.vshuff32x4(LANES + 12 + j, 8 + j, 12 + j, ODD);
            }
            for (int j = 0; j < 4; j++) {
                for (int quarter = 0; quarter < 4; quarter++) {
                    int from = LANES + quarter % 2 * 4 + j;
                    a.vshuff32x4(4 * quarter + j, from, from + 8, quarter < 2 ? EVEN : ODD);
                }
            }
            for (int i = 0; i < LANES; i++) {
                a.vmovups(at(RDI, (block * LANES + i) * VECTOR), i);
            }
        }
    }

    private static final int EVEN = 0x88; // the quarters 0 and 2 of each
    private static final int ODD = 0xdd;

    /** [keys, 16]; keys behind the last one give anything. */
    private void scores() {
        a.load(RSI, at(RSP, OWN));
        load(RAX, Argument.COPY_BYTES);
        a.add(RSI, RAX); // keys
        scoresAt(RDI);
        a.load(RDX, at(RSP, SEEN));
        Label keys = new Label();
        a.bind(keys);
        afterCopies(R8);
        for (int k = 0; k < KEYS; k++) {
            a.vpxord(k, k, k);
        }
        a.move(RCX, (long) vectors);
        Label block = new Label();
        a.bind(block);
        for (int i = 0; i < LANES; i++) {
            a.vmovups(LANES, at(R8, i * VECTOR));
            for (int k = 0; k < KEYS; k++) {
                a.vfmadd231ps(k, LANES, each(RSI, (k * d + i) * Float.BYTES));
            }
        }
        a.add(R8, LANES * VECTOR);
        a.add(RSI, VECTOR);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, block);
        for (int k = 0; k < KEYS; k++) {
            a.vmovups(at(RDI, k * VECTOR), k);
        }
        a.add(RSI, (KEYS - 1) * d * Float.BYTES);
        a.add(RDI, KEYS * VECTOR);
        a.add(RDX, -KEYS);
        a.compare(RDX, 1);
        a.jump(Condition.NOT_LESS, keys);
    }

    /** 2^(score - largest) in the scores' place, and behind the last one 1 / their sum. */
    private void weights() {
        PowerOfTwo.prepare(this, POWER);
        scoresAt(RDI);
        a.vmovups(0, at(RDI, 0));
        eachKey(() -> a.vmaxps(0, 0, at(RDI, 0)));
        scoresAt(RDI);
        a.vpxord(SUM, SUM, SUM);
        eachKey(() -> {
            a.vmovups(1, at(RDI, 0));
            a.vsubps(1, 1, 0);
            PowerOfTwo.write(a, 2, 1, 3, POWER);
            a.vaddps(SUM, SUM, 2);
            a.vmovups(at(RDI, 0), 2);
        });
        a.vdivps(SUM, POWER, SUM); // the first constant is 1
        a.vmovups(at(RDI, 0), SUM);
    }

    /** Each key's vector at RDI. */
    private void eachKey(Runnable body) {
        a.load(RCX, at(RSP, SEEN));
        Label key = new Label();
        a.bind(key);
        body.run();
        a.add(RDI, VECTOR);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, key);
    }

    /** Some queries at a time: as many as find place in registers. */
    private void results() {
        int together = Math.min(4, 20 / vectors);
        load(R10, Argument.Y_BYTES);
        a.load(R11, at(RSP, RESULT));
        a.load(R12, at(RSP, LEFT));
        scoresAt(R9);
        Label done = new Label();
        for (int q = 0; q < LANES; q += together) {
            int count = Math.min(together, LANES - q);
            a.compare(R12, 1);
            a.jump(Condition.LESS, done);
            sums(q, count);
            for (int i = 0; i < count; i++) {
                Label next = new Label();
                a.compare(R12, 1);
                a.jump(Condition.LESS, next);
                a.vbroadcastss(SUM, at(RDI, (q + i) * Float.BYTES));
                for (int v = 0; v < vectors; v++) {
                    int s = i * vectors + v;
                    a.vmulps(s, s, SUM);
                    if (half) {
                        a.vcvtneps2bf16(s, s);
                        a.storeHalf(at(R11, v * VECTOR / 2), s);
                    } else {
                        a.vmovups(at(R11, v * VECTOR), s);
                    }
                }
                a.add(R11, R10);
                a.add(R12, -1);
                a.bind(next);
            }
        }
        a.bind(done);
        a.store(at(RSP, RESULT), R11);
    }

    /** The values times the weights of some queries; RDI is behind the last weight afterwards. */
    private void sums(int q, int count) {
        for (int s = 0; s < count * vectors; s++) {
            a.vpxord(s, s, s);
        }
        a.load(RSI, at(RSP, OWN));
        load(RAX, Argument.COPY_BYTES);
        a.add(RSI, RAX);
        a.add(RSI, RAX); // values
        a.move(RDI, R9);
        eachKey(() -> {
            for (int i = 0; i < count; i++) {
                a.vbroadcastss(SUM + 1 + i, at(RDI, (q + i) * Float.BYTES));
            }
            for (int v = 0; v < vectors; v++) {
                a.vmovups(SUM, at(RSI, v * VECTOR));
                for (int i = 0; i < count; i++) {
                    a.vfmadd231ps(i * vectors + v, SUM, SUM + 1 + i);
                }
            }
            a.add(RSI, d * Float.BYTES);
        });
    }
}
