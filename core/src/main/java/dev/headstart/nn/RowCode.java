package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Mem.each;
import static dev.headstart.nn.Assembler.Reg.R10;
import static dev.headstart.nn.Assembler.Reg.R11;
import static dev.headstart.nn.Assembler.Reg.R13;
import static dev.headstart.nn.Assembler.Reg.R8;
import static dev.headstart.nn.Assembler.Reg.R9;
import static dev.headstart.nn.Assembler.Reg.RCX;
import static dev.headstart.nn.Assembler.Reg.RDI;
import static dev.headstart.nn.Assembler.Reg.RDX;
import static dev.headstart.nn.Assembler.Reg.RSI;

import dev.headstart.nn.Assembler.Condition;
import dev.headstart.nn.Assembler.Label;
import dev.headstart.nn.Assembler.Reg;
import org.jspecify.annotations.Nullable;

/**
 * The code of y = x W^T + b + c for one row x: the weight is read once, from its first byte to its last, as fast as memory gives it. It lies in blocks of {@link #LANES}
 * outputs, one for each lane of a vector, all inputs of a block one after the other; threads share the blocks.
 */
final class RowCode extends BlockCode {
    /** Outputs of a block. */
    static final int LANES = 16;

    /** Inputs that share what rounds them to 16 bits. */
    static final int GROUP = 32;

    /** How a block holds its weights; each turn of the code reads so many vectors of 64 bytes. */
    enum Format {
        /** fp32 [in, 16]. */
        FP32(4, 4),
        /** bfloat16 [in / 2, 16, 2]. */
        BF16(8, 4),
        /** 8 bits and 128 more, so that they have no sign, [in / 4, 16, 4]. */
        INT8(GROUP, 8),
        /** 4 bits, [in / 32, 320 bytes]: four vectors of 8 inputs, the first four in the lower halves; then scale and zero of each output, bfloat16 [16, 2]. */
        INT4(GROUP, 5);

        /** What the inputs must be a multiple of: those of one turn of the code's loop. */
        final int inputs;

        private final int vectors;

        Format(int inputs, int vectors) {
            this.inputs = inputs;
            this.vectors = vectors;
        }

        /** Bytes of a block. */
        long bytes(long in) {
            return in / inputs * vectors * VECTOR;
        }
    }

    private final Format format;

    private RowCode(Format format) {
        this.format = format;
    }

    /** @return null where code cannot be made here */
    static @Nullable MachineCode of(Format format) {
        return new RowCode(format).make();
    }

    @Override
    void begin() {
        a.move(R13, VECTOR);
        locate(RSI, Argument.Y, R13);
        locate(R8, Argument.BIAS, R13);
        locate(R9, Argument.SCALES, R13);
        locate(RDX, Argument.ADDED, R13);
    }

    /** One block: the sums are in z0 to z3. */
    @Override
    void block() {
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
        for (Reg place : new Reg[] {RSI, R8, R9, RDX}) {
            a.add(place, VECTOR);
        }
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
        beginGroup();
        for (int i = 0; i < 8; i++) {
            a.vmovups(8 + i, at(RDI, i * VECTOR));
            products(8 + i, 4 * i);
        }
        sum();
        a.vfmadd231ps(1, 4, each(R11, 0));
        endGroup();
    }

    private void int4() {
        beginGroup();
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
        endGroup();
    }

    /** A group's sums: z4 of the upper bytes, z5 of the lower ones. */
    private void beginGroup() {
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

    private void endGroup() {
        a.add(R10, 2 * GROUP);
        a.add(R11, 12);
    }
}
