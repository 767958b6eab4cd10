package dev.headstart.nn;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.MemCopyFunction;
import org.bytedeco.pytorch.PointerConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Code made at run time, as oneDNN and FBGEMM make theirs: a body that all of OpenMP's threads run at once, libtorch's own threads. On Linux and x86-64 with
 * AVX-512, where the system lets a process make code; elsewhere, and with {@code -D}{@value #ALLOWED}{@code =false}, what would call it does without.
 */
final class MachineCode {
    /** Whether code may be made, asked before each weight is packed. */
    static final String ALLOWED = "dev.headstart.machineCode";

    /** Instruction sets that {@link Assembler} writes. */
    private static final Set<String> NEEDED = Set.of("avx512f", "avx512_vnni");

    private static final int PAGE = 4096;
    private static final long READ_AND_RUN = 5;

    /** Addresses of OpenMP's functions (GNU libgomp). */
    record OpenMp(long parallel, long thread, long threads, long barrier) {}

    private static final class Holder {
        static final @Nullable OpenMp OPEN_MP = supported() ? openMp() : null;
    }

    /** What must stay until the process ends: freed memory that cannot be written to would break whoever gets it next. */
    private static final List<Pointer> KEPT = new CopyOnWriteArrayList<>();

    /**
     * What all threads do in one of the code's phases.
     *
     * @param at where it begins, from the code's first byte
     * @param next the argument that counts items as threads take them, which is 0 before it begins; -1 where there is none
     */
    record Body(int at, int next) {}

    private final PointerConsumer function;
    private final long start;
    private final List<Body> bodies;

    private MachineCode(PointerConsumer function, long start, List<Body> bodies) {
        this.function = function;
        this.start = start;
        this.bodies = bodies;
    }

    /** OpenMP's functions; null where code cannot be made here. */
    static @Nullable OpenMp available() {
        return Boolean.parseBoolean(System.getProperty(ALLOWED, "true")) ? Holder.OPEN_MP : null;
    }

    private static boolean supported() {
        return Natives.platform().equals("linux-x86_64")
                && Processor.current().features().containsAll(NEEDED);
    }

    private static @Nullable OpenMp openMp() {
        Natives.load();
        try {
            Loader.loadGlobal("libgomp.so.1"); // libtorch's: it is loaded already
        } catch (UnsatisfiedLinkError e) {
            return null; // another OpenMP
        }
        Pointer parallel = Loader.addressof("GOMP_parallel");
        Pointer thread = Loader.addressof("omp_get_thread_num");
        Pointer threads = Loader.addressof("omp_get_num_threads");
        Pointer barrier = Loader.addressof("GOMP_barrier");
        return parallel == null || thread == null || threads == null || barrier == null
                ? null
                : new OpenMp(parallel.address(), thread.address(), threads.address(), barrier.address());
    }

    /** @return null where the system does not let this process make code */
    static @Nullable MachineCode of(byte[] code, List<Body> bodies) {
        long pages = (code.length + PAGE - 1L) / PAGE * PAGE;
        BytePointer memory = keep(new BytePointer(pages + PAGE));
        long skipped = PAGE - memory.address() % PAGE;
        memory.position(skipped).put(code);
        Address start = new Address(memory.address() + skipped);
        // mprotect(start, pages, READ_AND_RUN), by a function type of the same registers
        new MemCopyFunction(function(Loader.addressof("mprotect"))).call(start, new Address(pages), READ_AND_RUN);
        return executable(start.address())
                ? new MachineCode(new PointerConsumer(function(start)), start.address(), bodies)
                : null;
    }

    /** What JavaCPP takes for a function: memory that begins with its address. */
    private static Pointer function(Pointer code) {
        return keep(new LongPointer(code.address(), 0, 0, 0));
    }

    private static <P extends Pointer> P keep(P p) {
        KEPT.add(p);
        return Memory.keep(p);
    }

    private static boolean executable(long address) {
        try (Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
            return maps.anyMatch(line -> {
                String[] words = line.split(" ", 3); // from-to permissions ...
                String[] range = words[0].split("-", 2);
                return words[1].contains("x")
                        && Long.compareUnsigned(Long.parseUnsignedLong(range[0], 16), address) <= 0
                        && Long.compareUnsigned(address, Long.parseUnsignedLong(range[1], 16)) < 0;
            });
        } catch (IOException e) {
            return false;
        }
    }

    /** Its phases, in their order. */
    List<Body> bodies() {
        return bodies;
    }

    /** Where a phase begins; it finds the code's arguments in RDI, and is called by all threads of a parallel region. */
    long address(Body body) {
        return start + body.at();
    }

    /** Calls the code. @param arguments what it finds in RDI */
    void call(Pointer arguments) {
        function.call(arguments);
    }

    private static final class Address extends Pointer {
        Address(long value) {
            address = value;
        }
    }
}
