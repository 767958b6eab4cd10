package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Mem.each;
import static dev.headstart.nn.Assembler.Reg.R13;
import static dev.headstart.nn.Assembler.Reg.R8;
import static dev.headstart.nn.Assembler.Reg.R9;
import static dev.headstart.nn.Assembler.Reg.RBX;
import static dev.headstart.nn.Assembler.Reg.RCX;
import static dev.headstart.nn.Assembler.Reg.RDI;
import static dev.headstart.nn.Assembler.Reg.RSI;

import dev.headstart.nn.Assembler.Condition;
import dev.headstart.nn.Assembler.Label;
import org.jspecify.annotations.Nullable;

/** The code that brings 4-bit weights ({@link RowCode}) back to bfloat16, [in, blocks * 16], for products of many rows. */
final class UnpackCode extends BlockCode {
    private static final int HALF_VECTOR = VECTOR / 2;
    private static final int LOWEST = 29; // 0x0000000f

    private UnpackCode() {}

    /** @return null where code cannot be made here, or the processor does not round to bfloat16 */
    static @Nullable MachineCode of() {
        return Processor.current().features().contains("avx512_bf16") ? new UnpackCode().make() : null;
    }

    @Override
    void begin() {
        a.move(R13, HALF_VECTOR);
        locate(RSI, Argument.Y, R13);
        load(R9, Argument.Y_BYTES);
        a.vbroadcastss(LOWEST, at(RBX, offset(Argument.CODES)));
    }

    @Override
    void block() {
        a.move(R8, RSI);
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
                for (int input = 0; input < 4; input++) {
                    a.vpsrld(9, 8, half + 8 * input);
                    a.vpandd(9, 9, LOWEST);
                    a.vcvtdq2ps(9, 9);
                    a.vfmadd213ps(9, 7, 6);
                    a.vcvtneps2bf16(9, 9);
                    a.storeHalf(at(R8, 0), 9);
                    a.add(R8, R9);
                }
            }
        }
        a.add(RDI, 5 * VECTOR);
        a.add(RCX, -1);
        a.jump(Condition.NOT_ZERO, group);
        a.add(RSI, HALF_VECTOR);
    }
}
