package dev.headstart.nn;

import dev.headstart.nn.MachineCode.Body;
import dev.headstart.nn.SequenceCode.Argument;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Codes that run one after the other in one call ({@link SequenceCode}). What {@code record} methods add reads and writes the tensors that they get, when it runs: these
 * stay where they are until then. Belongs to one thread at a time.
 */
final class CodeSequence {
    /** Most arguments of a code. */
    private static final int ARGUMENTS = 32;

    private static final int ALIGNMENT = 64;

    /** Bytes that a thread keeps for its next sequence. */
    private static final long LARGEST = 32 << 20;

    private static final LongPointer UNUSED = Memory.keep(new LongPointer(1));
    private static final ThreadLocal<CodeSequence> OWN = ThreadLocal.withInitial(CodeSequence::new);

    private final List<LongPointer> blocks = new ArrayList<>(); // of arguments, for this run and later ones
    private final List<Tensor> rooms = new ArrayList<>();
    private final List<Object> held = new ArrayList<>();
    private final LongPointer arguments = Memory.keep(new LongPointer(Argument.values().length));
    private LongPointer steps = new LongPointer();
    private long[] words = new long[64];
    private int count;
    private int used; // blocks
    private boolean changed;

    // of tensors that steps leave to later ones
    private Tensor arena = Memory.keep(Ops.empty(ScalarType.Byte, 0));
    private long top;
    private long most;

    /** Made when it is first asked for. */
    private static final class Made {
        static final @Nullable MachineCode CODE = SequenceCode.of();
    }

    /** Whether there are such sequences here. */
    static boolean available() {
        return MachineCode.available() != null && Made.CODE != null;
    }

    /** The calling thread's, empty. */
    static CodeSequence own() {
        CodeSequence own = OWN.get();
        own.clear();
        return own;
    }

    /** Adds the phases of a code. @return where its arguments are to be put */
    LongPointer step(MachineCode code) {
        if (used == blocks.size()) {
            blocks.add(Memory.keep(new LongPointer(ARGUMENTS)));
        }
        LongPointer of = blocks.get(used++);
        long at = of.address();
        for (Body body : code.bodies()) {
            if (count + SequenceCode.WORDS >= words.length) {
                words = Arrays.copyOf(words, 2 * words.length);
            }
            words[count++] = code.address(body);
            words[count++] = at;
            words[count++] = body.next() < 0 ? UNUSED.address() : at + 8L * body.next();
        }
        changed = true;
        return of;
    }

    /** Keeps what steps read, until {@link #clear}. */
    void hold(Object read) {
        held.add(read);
    }

    /** How many words of steps there are. */
    int steps() {
        return count;
    }

    /** Forgets the steps that were added since there were so many words of them. */
    void back(int words) {
        count = words;
        changed = true;
    }

    /** Where there is room for so many bytes until {@link #clear}, or {@link #release}. */
    long room(long bytes) {
        return bytes == 0 ? 0 : take(bytes).data_ptr().address();
    }

    /** A tensor that is good until {@link #clear}, or {@link #release}. */
    Tensor empty(ScalarType type, long rows, long size) {
        long bytes = rows * size * (type == ScalarType.Float ? Float.BYTES : Short.BYTES);
        return take(bytes).view(type).view(rows, size);
    }

    private Tensor take(long bytes) {
        long begin = top;
        top += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        most = Math.max(most, top);
        if (top <= arena.numel()) {
            return arena.narrow(0, begin, bytes);
        }
        Tensor room = Memory.keep(Ops.empty(ScalarType.Byte, bytes)); // the next time the arena has it
        rooms.add(room);
        return room;
    }

    /** What {@link #release} goes back to. */
    long mark() {
        return top;
    }

    /** Steps that are added from now on may use what was given out since the mark. */
    void release(long mark) {
        top = mark;
    }

    /** Runs what was added; it may run again. */
    void run() {
        if (changed) {
            if (steps.capacity() <= count) {
                Memory.close(steps);
                steps = Memory.keep(new LongPointer((long) words.length));
            }
            words[count] = 0;
            steps.put(words, 0, count + 1);
            arguments.put(Argument.STEPS.ordinal(), steps.address());
            changed = false;
        }
        arguments.put(Argument.THREADS.ordinal(), torch.get_num_threads());
        MachineCode code = Made.CODE;
        if (code == null) {
            throw new IllegalStateException("no code can be made here");
        }
        code.call(arguments);
    }

    /** Forgets what was added. */
    void clear() {
        rooms.forEach(Tensor::close);
        rooms.clear();
        held.clear();
        count = 0;
        used = 0;
        top = 0;
        if (arena.numel() < most || arena.numel() > LARGEST) {
            arena.close();
            arena = Memory.keep(Ops.empty(ScalarType.Byte, most > LARGEST ? 0 : most));
        }
        most = 0;
    }

    /** Frees everything. */
    void close() {
        clear();
        blocks.forEach(LongPointer::close);
        Memory.close(steps);
        arguments.close();
        arena.close();
    }
}
