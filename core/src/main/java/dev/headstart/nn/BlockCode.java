package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Reg.R13;
import static dev.headstart.nn.Assembler.Reg.RBX;
import static dev.headstart.nn.Assembler.Reg.RDI;

import java.util.List;

/** Code that goes through the blocks of a weight, its items. The subclass says what is done with a block. */
abstract class BlockCode extends ParallelCode {
    /** The places of the arguments, 8 bytes each. */
    enum Argument {
        THREADS,
        BLOCKS,
        WEIGHT,
        BLOCK_BYTES,
        /** Turns of the loop over a block's inputs. */
        TURNS,
        /** The upper and the lower bytes of each group, int8 [in / 32, 2, 32]. */
        X,
        /** For each group of x [in / 32, 3]: what it was divided by, that times its sum (fp32), what the sum of products begins with (int32). */
        GROUPS,
        /** fp32 [blocks * 16]. */
        BIAS,
        /** fp32 [blocks * 16]. */
        ADDED,
        /** fp32 [blocks * 16]; of {@link UnpackCode} bfloat16, panels of {@link TileCode}. */
        Y,
        /** Of {@link UnpackCode}, of a panel. */
        Y_BYTES,
        /** int32 0x0f0f0f0f and 0xffff0000. */
        CONSTANTS,
        /** int32 0x0000000f and fp32 -8. */
        CODES,
        /** Of {@link RowCode}: fp32 [in], which is rounded to X and GROUPS first. */
        GIVEN,
        /** Of {@link RowCode}: the activation's constants. */
        ACTIVATION
    }

    static final int LOW_HALVES = 31; // 0x0f0f0f0f
    static final int UPPER = 30; // 0xffff0000

    /** Before a thread's first block, whose number is in R14 and whose weights begin at RDI. R14, R15 and RBX are to be kept. */
    abstract void begin();

    /** One block. RDI is to be moved to the next one's weights. */
    abstract void block();

    @Override
    List<Phase> phases() {
        return List.of(blocks());
    }

    final Phase blocks() {
        return new Phase(Argument.BLOCKS, null, 0, this::share);
    }

    private void share() {
        load(R13, Argument.BLOCK_BYTES);
        locate(RDI, Argument.WEIGHT, R13);
        a.vbroadcastss(LOW_HALVES, at(RBX, offset(Argument.CONSTANTS)));
        a.vbroadcastss(UPPER, at(RBX, offset(Argument.CONSTANTS) + 4));
        begin();
        eachItem(this::block);
    }
}
