package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Mem.each;
import static dev.headstart.nn.Assembler.Reg.R14;
import static dev.headstart.nn.Assembler.Reg.R8;
import static dev.headstart.nn.Assembler.Reg.R9;
import static dev.headstart.nn.Assembler.Reg.RAX;
import static dev.headstart.nn.Assembler.Reg.RBX;
import static dev.headstart.nn.Assembler.Reg.RCX;
import static dev.headstart.nn.Assembler.Reg.RDI;

import dev.headstart.nn.Assembler.Condition;
import dev.headstart.nn.Assembler.Label;
import org.jspecify.annotations.Nullable;

/** The code that brings 4-bit weights ({@link RowCode}) back to bfloat16 as {@link TileCode} reads them, for products of many rows. */
final class UnpackCode extends BlockCode {
    private static final int LOWEST = 29; // 0x0000000f

    private UnpackCode() {}

    /** @return null where code cannot be made here, or the processor does not round to bfloat16 */
    static @Nullable MachineCode of() {
        return Processor.current().features().contains("avx512_bf16") ? new UnpackCode().make() : null;
    }

    @Override
    void begin() {
        a.vbroadcastss(LOWEST, at(RBX, offset(Argument.CODES)));
    }

    /** R8: where the block's first word goes; its panel has the blocks of four side by side. */
    @Override
    void block() {
        a.move(RAX, R14);
        a.shiftRight(RAX, 2);
        a.move(R9, RAX);
        a.shiftLeft(R9, 2);
        a.move(R8, R14);
        a.subtract(R8, R9);
        a.shiftLeft(R8, 6); // of the blocks before in its panel
        load(R9, Argument.Y_BYTES);
        a.multiply(RAX, R9);
        a.add(R8, RAX);
        load(RAX, Argument.Y);
        a.add(R8, RAX);
        load(RCX, Argument.TURNS);
        Label group = new Label();
        a.bind(group);
        a.vmovups(6, at(RDI, 4 * VECTOR));
        a.vpslld(7, 6, 16); // scale
        a.vpandd(6, 6, UPPER); // zero
        a.vfmadd231ps(6, 7, each(RBX, offset(Argument.CODES) + 4)); // of code 0
        for (int i = 0; i < 4; i++) {
            a.vmovups(8, at(RDI, i * VECTOR));
            for (int half = 0; half < 8; half += 4) {
                for (int input = 0; input < 4; input += 2) {
                    input(9, half + 8 * input);
                    input(10, half + 8 * input + 8);
                    a.vpslld(10, 10, 16);
                    a.vpaddd(9, 9, 10);
                    a.vmovups(at(R8, 0), 9);
                    a.add(R8, 4 * TileCode.WIDTH);
                }
            }
        }
        a.add(RDI, 5 * VECTOR);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, group);
    }

    /** A weight of each output in bfloat16, in 32 bits. @param shift where its code begins */
    private void input(int z, int shift) {
        a.vpsrld(z, 8, shift);
        a.vpandd(z, z, LOWEST);
        a.vcvtdq2ps(z, z);
        a.vfmadd213ps(z, 7, 6);
        a.vcvtneps2bf16(z, z);
        a.vpmovzxwd(z, z);
    }
}
