package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Reg.R12;
import static dev.headstart.nn.Assembler.Reg.R13;
import static dev.headstart.nn.Assembler.Reg.R14;
import static dev.headstart.nn.Assembler.Reg.R15;
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

/** Code that goes through the blocks of a weight; OpenMP's threads share them. The subclass says what is done with a block. */
abstract class BlockCode {
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
        /** fp32 [blocks * 16]; of {@link UnpackCode} bfloat16 [in, blocks * 16]. */
        Y,
        /** int32 0x0f0f0f0f and 0xffff0000. */
        CONSTANTS,
        /** int32 0x0000000f and fp32 -8. */
        CODES;

        int offset() {
            return 8 * ordinal();
        }
    }

    /** Bytes of a vector. */
    static final int VECTOR = 64;

    static final int LOW_HALVES = 31; // 0x0f0f0f0f
    static final int UPPER = 30; // 0xffff0000
    private static final List<Reg> KEPT = List.of(RBX, R12, R13, R14, R15);

    final Assembler a = new Assembler();

    /** Before a thread's first block, whose number is in R14 and whose weights begin at RDI. R14, R15 and RBX are to be kept. */
    abstract void begin();

    /** One block. RDI is to be moved to the next one's weights. */
    abstract void block();

    /** @return null where code cannot be made here */
    @Nullable
    MachineCode make() {
        OpenMp openMp = MachineCode.available();
        return openMp == null ? null : MachineCode.of(write(openMp));
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
        share();
        a.compare(R14, R15);
        a.jump(Condition.NOT_LESS, done);
        load(R13, Argument.BLOCK_BYTES);
        locate(RDI, Argument.WEIGHT, R13);
        a.vbroadcastss(LOW_HALVES, at(RBX, Argument.CONSTANTS.offset()));
        a.vbroadcastss(UPPER, at(RBX, Argument.CONSTANTS.offset() + 4));
        begin();
        Label next = new Label();
        a.bind(next);
        block();
        a.add(R14, 1);
        a.compare(R14, R15);
        a.jump(Condition.LESS, next);
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

    /** Of R14 blocks this thread's: from R14 to R15. R12 is the thread, R13 how many there are. */
    private void share() {
        a.move(RCX, R14);
        for (Reg end : new Reg[] {R14, R15}) {
            a.move(RAX, R12);
            a.multiply(RAX, RCX);
            a.zero(RDX);
            a.divide(R13);
            a.move(end, RAX);
            a.add(R12, 1);
        }
    }

    final void load(Reg to, Argument argument) {
        a.load(to, at(RBX, argument.offset()));
    }

    /** Where the thread's first block, R14, has its own. @param bytes of a block */
    final void locate(Reg to, Argument argument, Reg bytes) {
        load(to, argument);
        a.move(RAX, bytes);
        a.multiply(RAX, R14);
        a.add(to, RAX);
    }
}
