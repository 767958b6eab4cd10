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
import dev.headstart.nn.Assembler.Mem;
import dev.headstart.nn.Assembler.Reg;
import dev.headstart.nn.MachineCode.Body;
import dev.headstart.nn.MachineCode.OpenMp;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Code for items that OpenMP's threads share, in one phase or in several, one after the other. It finds its arguments, 8 bytes each, where RBX points: first how many
 * threads; the subclass names the others, and says what is done with a thread's share.
 */
abstract class ParallelCode {
    /** Bytes of a vector. */
    static final int VECTOR = 64;

    private static final int THREADS = 0;
    private static final List<Reg> KEPT = List.of(RBX, R12, R13, R14, R15);

    final Assembler a = new Assembler();

    /**
     * What all threads do until all are done.
     *
     * @param items the argument that says how many items there are
     * @param next the argument that counts items as threads take them, and behind it how many each takes at a time; null where each thread gets one part of all
     * @param least with fewer items than that the caller does without the other threads
     * @param share what a thread does with its items, R14 to R15 (not inclusive), at least one; RBX is to be kept
     */
    record Phase(Enum<?> items, @Nullable Enum<?> next, int least, Runnable share) {
        private int nextPlace() {
            return next == null ? -1 : next.ordinal();
        }
    }

    /** In their order. */
    abstract List<Phase> phases();

    /** @return null where code cannot be made here */
    @Nullable
    MachineCode make() {
        OpenMp openMp = MachineCode.available();
        if (openMp == null) {
            return null;
        }
        List<Phase> phases = phases();
        List<Label> labels = phases.stream().map(p -> new Label()).toList();
        byte[] code = write(openMp, phases, labels);
        List<Body> bodies = IntStream.range(0, phases.size())
                .mapToObj(p -> new Body(labels.get(p).at(), phases.get(p).nextPlace()))
                .toList();
        return MachineCode.of(code, bodies);
    }

    private byte[] write(OpenMp openMp, List<Phase> phases, List<Label> bodies) {
        a.push(RBX);
        a.move(RBX, RDI);
        for (int p = 0; p < phases.size(); p++) {
            start(phases.get(p), bodies.get(p), openMp);
        }
        a.pop(RBX);
        a.leave();
        for (int p = 0; p < phases.size(); p++) {
            a.bind(bodies.get(p));
            body(phases.get(p), openMp);
        }
        return a.code();
    }

    private void start(Phase phase, Label body, OpenMp openMp) {
        Label parallel = new Label();
        Label done = new Label();
        if (phase.least > 0) {
            load(RAX, phase.items);
            a.compare(RAX, phase.least);
            a.jump(Condition.NOT_LESS, parallel);
            a.move(RDI, RBX);
            a.address(RAX, body);
            a.call(RAX);
            a.zero(RAX);
            a.jump(Condition.ZERO, done);
            a.bind(parallel);
        }
        a.address(RDI, body); // GOMP_parallel(body, arguments, threads, 0)
        a.move(RSI, RBX);
        a.load(RDX, at(RBX, THREADS));
        a.zero(RCX);
        a.move(RAX, openMp.parallel());
        a.call(RAX);
        a.bind(done);
    }

    private void body(Phase phase, OpenMp openMp) {
        KEPT.forEach(a::push);
        a.move(RBX, RDI);
        Label done = new Label();
        if (phase.next != null) {
            inTurns(phase, phase.next, done);
        } else {
            call(openMp.thread(), R12);
            call(openMp.threads(), R13);
            load(R14, phase.items);
            part();
            a.compare(R14, R15);
            a.jump(Condition.NOT_LESS, done);
            phase.share.run();
        }
        a.bind(done);
        for (int i = KEPT.size() - 1; i >= 0; i--) {
            a.pop(KEPT.get(i));
        }
        a.leave();
    }

    /** Each thread takes items until there are no more. */
    private void inTurns(Phase phase, Enum<?> next, Label done) {
        Label take = new Label();
        Label whole = new Label();
        a.bind(take);
        a.load(R13, at(RBX, offset(next) + 8));
        a.move(R14, R13);
        a.exchangeAdd(at(RBX, offset(next)), R14);
        load(R15, phase.items);
        a.compare(R14, R15);
        a.jump(Condition.NOT_LESS, done);
        a.add(R13, R14);
        a.compare(R15, R13);
        a.jump(Condition.LESS, whole);
        a.move(R15, R13);
        a.bind(whole);
        phase.share.run();
        a.zero(RAX);
        a.jump(Condition.ZERO, take);
    }

    private void call(long function, Reg result) {
        a.move(RAX, function);
        a.call(RAX);
        a.clearUpper(RAX);
        a.move(result, RAX);
    }

    /** Of R14 items this thread's: from R14 to R15. R12 is the thread, R13 how many there are. */
    private void part() {
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

    /** Does the same for each of a thread's items, the present one in R14; R14 and R15 are to be kept. */
    final void eachItem(Runnable body) {
        Label item = new Label();
        a.bind(item);
        body.run();
        a.add(R14, 1);
        a.compare(R14, R15);
        a.jump(Condition.LESS, item);
    }

    /** The item divided by an argument: RAX the quotient, RDX the rest. RCX is lost. */
    final void divideItem(Enum<?> by) {
        a.move(RAX, R14);
        a.zero(RDX);
        load(RCX, by);
        a.divide(RCX);
    }

    /** @param argument the name of an argument, in the order in which they lie */
    final void load(Reg to, Enum<?> argument) {
        a.load(to, at(RBX, offset(argument)));
    }

    static int offset(Enum<?> argument) {
        return 8 * argument.ordinal();
    }

    /** Where the thread's first item, R14, has its own. @param bytes of an item */
    final void locate(Reg to, Enum<?> argument, Reg bytes) {
        load(to, argument);
        a.move(RAX, bytes);
        a.multiply(RAX, R14);
        a.add(to, RAX);
    }

    final void constant(int z, float value) {
        bits(z, Float.floatToIntBits(value));
    }

    /** The same 32 bits in all lanes. */
    final void bits(int z, int bits) {
        a.move(RAX, bits & 0xffffffffL);
        a.vpbroadcastd(z, RAX);
    }

    /** Sixteen numbers from memory. @param half whether they are bfloat16 there instead of fp32 */
    final void numbers(int z, Mem from, boolean half) {
        if (half) {
            a.vpmovzxwd(z, from);
            a.vpslld(z, z, 16);
        } else {
            a.vmovups(z, from);
        }
    }

    /** Brings the lanes of z together, halves of halves. @param other the register that the step joins with z */
    final void acrossLanes(int z, int other, Runnable step) {
        a.vshuff32x4(other, z, z, 0x4e);
        step.run();
        a.vshuff32x4(other, z, z, 0xb1);
        step.run();
        a.vpermilps(other, z, 0x4e);
        step.run();
        a.vpermilps(other, z, 0xb1);
        step.run();
    }
}
