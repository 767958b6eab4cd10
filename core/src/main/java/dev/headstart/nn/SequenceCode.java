package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Reg.RAX;
import static dev.headstart.nn.Assembler.Reg.RBX;
import static dev.headstart.nn.Assembler.Reg.RCX;
import static dev.headstart.nn.Assembler.Reg.RDI;
import static dev.headstart.nn.Assembler.Reg.RDX;
import static dev.headstart.nn.Assembler.Reg.RSI;

import dev.headstart.nn.Assembler.Condition;
import dev.headstart.nn.Assembler.Label;
import dev.headstart.nn.MachineCode.OpenMp;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The code of a {@link RowProgram}: OpenMP's threads go through the phases of other codes together. A parallel region for each of them takes a few microseconds, in which
 * no weight is read; a barrier takes some tenths.
 */
final class SequenceCode {
    /** The places of the arguments. */
    enum Argument {
        THREADS,
        /** Of each step {@link #WORDS}; then a zero. */
        STEPS
    }

    /** A step's words: where the phase is, its arguments, and a place that is set to 0 when all threads have done it. */
    static final int WORDS = 3;

    private SequenceCode() {}

    /** @return null where code cannot be made here */
    static @Nullable MachineCode of() {
        OpenMp openMp = MachineCode.available();
        return openMp == null ? null : MachineCode.of(write(openMp), List.of());
    }

    private static byte[] write(OpenMp openMp) {
        Assembler a = new Assembler();
        Label body = new Label();
        a.push(RBX);
        a.load(RSI, at(RDI, ParallelCode.offset(Argument.STEPS)));
        a.load(RDX, at(RDI, ParallelCode.offset(Argument.THREADS)));
        a.address(RDI, body); // GOMP_parallel(body, steps, threads, 0)
        a.zero(RCX);
        a.move(RAX, openMp.parallel());
        a.call(RAX);
        a.pop(RBX);
        a.leave();
        a.bind(body);
        a.push(RBX);
        a.move(RBX, RDI);
        Label step = new Label();
        a.bind(step);
        a.load(RAX, at(RBX, 0));
        a.load(RDI, at(RBX, 8));
        a.call(RAX);
        a.move(RAX, openMp.barrier());
        a.call(RAX);
        a.load(RAX, at(RBX, 16));
        a.zero(RCX);
        a.store(at(RAX, 0), RCX);
        a.add(RBX, 8 * WORDS);
        a.load(RAX, at(RBX, 0));
        a.compare(RAX, 0);
        a.jump(Condition.NOT_ZERO, step);
        a.pop(RBX);
        a.leave();
        return a.code();
    }
}
