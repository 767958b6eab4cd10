package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Mem.each;
import static dev.headstart.nn.Assembler.Reg.R10;
import static dev.headstart.nn.Assembler.Reg.R11;
import static dev.headstart.nn.Assembler.Reg.R12;
import static dev.headstart.nn.Assembler.Reg.R13;
import static dev.headstart.nn.Assembler.Reg.R14;
import static dev.headstart.nn.Assembler.Reg.R15;
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
import dev.headstart.nn.MachineCode.OpenMp;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The code of y = x W^T + b + c for one row x: the weight is read once, from its first byte to its last, as fast as memory gives it. It lies in blocks of {@link #LANES}
 * outputs, one for each lane of a vector, all inputs of a block one after the other; threads share the blocks.
 */
final class RowCode {
    /** Outputs of a block. */
    static final int LANES = 16;

    /** Inputs that share what rounds them to 16 bits. */
    static final int GROUP = 32;

    /** How a block holds its weights; each step of the code reads a vector, 64 bytes. */
    enum Format {
        /** fp32 [in, 16]. */
        FP32(4, 1, 4),
        /** bfloat16 [in / 2, 16, 2]. */
        BF16(8, 2, 4),
        /** 8 bits and 128 more, so that they have no sign, [in / 4, 16, 4]. */
        INT8(GROUP, 4, 8),
        /** 4 bits, [in / 32, 320 bytes]: four vectors of 8 inputs, the first four in the lower halves; then scale and zero of each output, bfloat16 [16, 2]. */
        INT4(GROUP, 8, 5);

        /** What the inputs must be a multiple of: those of one turn of the code's loop. */
        final int inputs;

        private final int inputsOfVector;
        private final int vectors;

        Format(int inputs, int inputsOfVector, int vectors) {
            this.inputs = inputs;
            this.inputsOfVector = inputsOfVector;
            this.vectors = vectors;
        }

        /** Bytes of a block. */
        long bytes(long in) {
            return in / inputs * vectors * VECTOR;
        }
    }

    /** The places of the arguments, 8 bytes each. */
    enum Argument {
        THREADS,
        WEIGHT,
        BLOCKS,
        BLOCK_BYTES,
        /** Turns of the loop over a block's inputs. */
        TURNS,
        /** fp32 [in]; or, for weights of 8 and 4 bits, the upper and the lower bytes of each group, int8 [in / 32, 2, 32]. */
        X,
        /** Of 8 and 4 bits, for each group of x [in / 32, 3]: what it was divided by, that times its sum (fp32), what the sum of products begins with (int32). */
        GROUPS,
        /** fp32 [blocks * 16]. */
        BIAS,
        /** fp32 [blocks * 16]. */
        ADDED,
        /** Of 8 bits: fp32 [blocks * 16]. */
        SCALES,
        /** fp32 [blocks * 16]. */
        Y,
        /** int32 0x0f0f0f0f and 0xffff0000. */
        CONSTANTS;

        int offset() {
            return 8 * ordinal();
        }
    }

    private static final int VECTOR = 64;
    private static final int LOW_HALVES = 31; // 0x0f0f0f0f
    private static final int UPPER = 30; // 0xffff0000
    private static final List<Reg> KEPT = List.of(RBX, R12, R13, R14, R15);

    private final Assembler a = new Assembler();
    private final Format format;

    private RowCode(Format format) {
        this.format = format;
    }

    /** @return null where code cannot be made here */
    static @Nullable MachineCode of(Format format) {
        OpenMp openMp = MachineCode.available();
        return openMp == null ? null : MachineCode.of(new RowCode(format).write(openMp));
    }

    private byte[] write(OpenMp openMp) {
        Label body = new Label();
        a.move(RSI, RDI); // GOMP_parallel(body, arguments, threads, 0)
        a.address(RDI, body);
        a.load(RDX, at(RSI, Argument.THREADS.offset()));
        a.zero(RCX);
        a.move(RAX, openMp.parallel());
        a.jump(RAX);
        a.bind(body);
        KEPT.forEach(a::push);
        a.move(RBX, RDI);
        call(openMp.thread(), R12);
        call(openMp.threads(), R13);
        Label done = new Label();
        load(R14, Argument.BLOCKS);
        share(R14, R15);
        a.compare(R14, R15);
        a.jump(Condition.NOT_LESS, done);
        blocks();
        a.bind(done);
        for (int i = KEPT.size() - 1; i >= 0; i--) {
            a.pop(KEPT.get(i));
        }
        a.leave();
        return a.code();
    }

    private void call(long function, Reg result) {
        a.move(RAX, function);
        a.call(RAX);
        a.clearUpper(RAX);
        a.move(result, RAX);
    }

    /** Of so many in first, this thread's: from first to last. R12 is the thread, R13 how many there are. */
    private void share(Reg first, Reg last) {
        a.move(RCX, first);
        for (Reg end : new Reg[] {first, last}) {
            a.move(RAX, R12);
            a.multiply(RAX, RCX);
            a.zero(RDX);
            a.divide(R13);
            a.move(end, RAX);
            a.add(R12, 1);
        }
    }

    private void load(Reg to, Argument argument) {
        a.load(to, at(RBX, argument.offset()));
    }

    /** Where the thread's first block, R14, has its own. */
    private void locate(Reg to, Argument argument, Reg bytes) {
        load(to, argument);
        a.move(RAX, bytes);
        a.multiply(RAX, R14);
        a.add(to, RAX);
    }

    private void blocks() {
        load(R13, Argument.BLOCK_BYTES);
        locate(RDI, Argument.WEIGHT, R13);
        a.move(R13, VECTOR);
        locate(RSI, Argument.Y, R13);
        locate(R8, Argument.BIAS, R13);
        locate(R9, Argument.SCALES, R13);
        locate(RDX, Argument.ADDED, R13);
        a.vbroadcastss(LOW_HALVES, at(RBX, Argument.CONSTANTS.offset()));
        a.vbroadcastss(UPPER, at(RBX, Argument.CONSTANTS.offset() + 4));
        Label next = new Label();
        a.bind(next);
        block();
        for (Reg place : new Reg[] {RSI, R8, R9, RDX}) {
            a.add(place, VECTOR);
        }
        a.add(R14, 1);
        a.compare(R14, R15);
        a.jump(Condition.LESS, next);
    }

    /** One block: the sums are in z0 to z3. */
    private void block() {
        boolean scaled = format == Format.INT8;
        for (int z = 0; z < 4; z++) {
            a.vpxord(z, z, z);
        }
        if (!scaled) {
            a.vmovups(0, at(R8, 0));
            a.vaddps(0, 0, at(RDX, 0));
        }
        load(R10, Argument.X);
        load(R11, Argument.GROUPS);
        load(RCX, Argument.TURNS);
        Label turn = new Label();
        a.bind(turn);
        switch (format) {
            case FP32 -> fp32();
            case BF16 -> bf16();
            case INT8 -> int8();
            case INT4 -> int4();
        }
        a.add(RDI, format.vectors * VECTOR);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, turn);
        a.vaddps(0, 0, 1);
        a.vaddps(2, 2, 3);
        a.vaddps(0, 0, 2);
        if (scaled) {
            a.vmovups(1, at(R8, 0));
            a.vaddps(1, 1, at(RDX, 0));
            a.vfmadd231ps(1, 0, at(R9, 0));
        }
        a.vmovups(at(RSI, 0), scaled ? 1 : 0);
    }

    private void fp32() {
        for (int i = 0; i < 4; i++) {
            a.vmovups(4 + i, at(RDI, i * VECTOR));
            a.vfmadd231ps(i, 4 + i, each(R10, 4 * i));
        }
        a.add(R10, 16);
    }

    /** A bfloat16 is the upper half of an fp32. */
    private void bf16() {
        for (int i = 0; i < 4; i++) {
            a.vmovups(4 + i, at(RDI, i * VECTOR));
            a.vpslld(8 + i, 4 + i, 16);
            a.vfmadd231ps(i, 8 + i, each(R10, 8 * i));
            a.vpandd(4 + i, 4 + i, UPPER);
            a.vfmadd231ps(i, 4 + i, each(R10, 8 * i + 4));
        }
        a.add(R10, 32);
    }

    private void int8() {
        begin();
        for (int i = 0; i < 8; i++) {
            a.vmovups(8 + i, at(RDI, i * VECTOR));
            products(8 + i, 4 * i);
        }
        sum();
        a.vfmadd231ps(1, 4, each(R11, 0));
        next();
    }

    private void int4() {
        begin();
        for (int i = 0; i < 4; i++) {
            a.vmovups(8 + i, at(RDI, i * VECTOR));
            a.vpandd(12 + i, 8 + i, LOW_HALVES);
            products(12 + i, 8 * i);
            a.vpsrld(8 + i, 8 + i, 4);
            a.vpandd(8 + i, 8 + i, LOW_HALVES);
            products(8 + i, 8 * i + 4);
        }
        sum();
        a.vmovups(6, at(RDI, 4 * VECTOR));
        a.vpslld(7, 6, 16);
        a.vmulps(7, 7, each(R11, 0));
        a.vfmadd231ps(1, 4, 7);
        a.vpandd(6, 6, UPPER);
        a.vfmadd231ps(2, 6, each(R11, 4));
        next();
    }

    /** A group's sums: z4 of the upper bytes, z5 of the lower ones. */
    private void begin() {
        a.vpxord(4, 4, 4);
        a.vbroadcastss(5, at(R11, 8));
    }

    /** Four inputs. */
    private void products(int weights, int input) {
        a.vpdpbusd(4, weights, each(R10, input));
        a.vpdpbusd(5, weights, each(R10, GROUP + input));
    }

    /** Both, in fp32 in z4. */
    private void sum() {
        a.vpslld(4, 4, 8);
        a.vpaddd(4, 4, 5);
        a.vcvtdq2ps(4, 4);
    }

    private void next() {
        a.add(R10, 2 * GROUP);
        a.add(R11, 12);
    }
}
