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
import dev.headstart.nn.Assembler.Reg;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The code of one query's attention in fp32, softmax(q k^T scale) v; an item is a head. */
final class AttentionCode extends ParallelCode {
    /** The places of the arguments. h heads, L keys, d the size of a head. */
    enum Argument {
        THREADS,
        HEADS,
        /** fp32, each head's [L, d]. */
        KEYS,
        /** From one head's keys to the next one's. */
        KEY_BYTES,
        /** L. */
        LENGTH,
        /** fp32 [h, d]. */
        QUERIES,
        /** Room for each head's scores, fp32, a multiple of 16. */
        SCORES,
        /** Of a head's scores. */
        SCORE_BYTES,
        /** fp32, as the keys. */
        VALUES,
        /** From one head's values to the next one's. */
        VALUE_BYTES,
        /** fp32 [h, d]. */
        Y,
        /** fp32: scale log2(e). */
        SCALE,
        /** From the query to a key, and from that to a value, that are to become the last ones; 0 where all are there already. */
        PART_BYTES
    }

    /** Less than any score. */
    private static final float LEAST = -1e30f;

    private static final int SUM = 4; // of the weights
    private static final int RESULT = 8; // and the seven after it
    private static final int POWER = 20; // and the six after it
    private static final int FACTOR = 27;
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

    @Override
    List<Phase> phases() {
        return List.of(new Phase(Argument.HEADS, null, 0, this::share));
    }

    private void share() {
        a.move(R13, 4L * d);
        locate(RSI, Argument.Y, R13);
        locate(R10, Argument.QUERIES, R13);
        load(R13, Argument.SCORE_BYTES);
        locate(R11, Argument.SCORES, R13);
        load(R13, Argument.VALUE_BYTES);
        locate(R8, Argument.VALUES, R13);
        load(R13, Argument.KEY_BYTES);
        locate(RDI, Argument.KEYS, R13);
        a.vbroadcastss(FACTOR, at(RBX, offset(Argument.SCALE)));
        constant(LOW, LEAST);
        PowerOfTwo.prepare(this, POWER);
        eachItem(this::head);
    }

    private void head() {
        load(R9, Argument.SCORE_BYTES);
        a.add(R9, R11); // where the head's scores end
        a.vmovups(at(R9, -VECTOR), LOW); // behind the last one
        append();
        scores();
        weights();
        values();
        load(RAX, Argument.KEY_BYTES);
        a.add(RDI, RAX);
        load(RAX, Argument.VALUE_BYTES);
        a.add(R8, RAX);
        a.add(RSI, 4 * d);
        a.add(R10, 4 * d);
        a.move(R11, R9);
    }

    /** The last key and value. */
    private void append() {
        Label there = new Label();
        load(RDX, Argument.PART_BYTES);
        a.compare(RDX, 0);
        a.jump(Condition.ZERO, there);
        load(RAX, Argument.LENGTH);
        a.add(RAX, -1);
        a.move(RCX, 4L * d);
        a.multiply(RAX, RCX);
        a.move(RCX, R10);
        for (Reg first : new Reg[] {RDI, R8}) {
            a.add(RCX, RDX);
            a.add(RAX, first);
            for (int i = 0; i < vectors; i++) {
                a.vmovups(2, at(RCX, i * VECTOR));
                a.vmovups(at(RAX, i * VECTOR), 2);
            }
            a.subtract(RAX, first);
        }
        a.bind(there);
    }

    private void scores() {
        a.move(RAX, RDI);
        a.move(RDX, R11);
        load(RCX, Argument.LENGTH);
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
        acrossLanes(0, 1, () -> a.vaddps(0, 0, 1));
        a.storeFirst(at(RDX, 0), 0);
        a.add(RAX, 4 * d);
        a.add(RDX, 4);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, key);
    }

    /** 2^((score - largest) scale log2(e)) in the scores' place. */
    private void weights() {
        a.vpandd(2, LOW, LOW);
        eachVector(() -> a.vmaxps(2, 2, at(RDX, 0)));
        acrossLanes(2, 1, () -> a.vmaxps(2, 2, 1));
        a.vmulps(3, 2, FACTOR);
        a.vpxord(SUM, SUM, SUM);
        eachVector(() -> {
            a.vmovups(5, at(RDX, 0));
            a.vmulps(5, 5, FACTOR);
            a.vsubps(5, 5, 3);
            PowerOfTwo.write(a, 7, 5, 6, POWER);
            a.vaddps(SUM, SUM, 7);
            a.vmovups(at(RDX, 0), 7);
        });
        acrossLanes(SUM, 1, () -> a.vaddps(SUM, SUM, 1));
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
        load(RCX, Argument.LENGTH);
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
