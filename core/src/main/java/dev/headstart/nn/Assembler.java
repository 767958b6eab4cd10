package dev.headstart.nn;

import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;

/**
 * Instructions of x86-64 with AVX-512 as bytes: those that {@link BlockCode} and its kin are written in, and no others. General registers and operations are 64 bits
 * wide, vector registers 512. Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2 (sections 2.2 and 2.7 for the prefixes).
 */
final class Assembler {
    /** General registers; the callee keeps RBX and R12 to R15. Arguments come in RDI and RSI, results go in RAX (System V). */
    enum Reg {
        RAX,
        RCX,
        RDX,
        RBX,
        RSP,
        RBP,
        RSI,
        RDI,
        R8,
        R9,
        R10,
        R11,
        R12,
        R13,
        R14,
        R15;

        private int low() {
            return ordinal() & 7;
        }

        private int high() {
            return ordinal() >> 3;
        }
    }

    /** An address. @param broadcast whether one element of 32 bits fills a vector */
    record Mem(Reg base, int offset, boolean broadcast) {
        static Mem at(Reg base, int offset) {
            return new Mem(base, offset, false);
        }

        /** One element for all lanes. */
        static Mem each(Reg base, int offset) {
            return new Mem(base, offset, true);
        }
    }

    /** A place in the code. */
    static final class Label {
        private int at = -1;
        private final List<Integer> uses = new ArrayList<>();

        /** The byte that it stands before. */
        int at() {
            return at;
        }
    }

    /** Conditions of jumps, by their codes. */
    enum Condition {
        ZERO(0x84),
        NOT_ZERO(0x85),
        LESS(0x8c),
        NOT_LESS(0x8d);

        private final int opcode;

        Condition(int opcode) {
            this.opcode = opcode;
        }
    }

    private static final int WIDE = 0x48; // REX.W
    private static final int FULL = 0x40; // a vector's size in the prefix
    private static final int HALF = 0x20;
    private static final int SINGLE = 0;
    private static final int BROADCAST = 0x10;
    private static final int QUADWORDS = 0x80; // W in the prefix
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final List<Label> labels = new ArrayList<>();

    // === Control ===

    void bind(Label label) {
        label.at = out.size();
        labels.add(label);
    }

    void jump(Condition condition, Label to) {
        bytes(0x0f, condition.opcode);
        relative(to);
    }

    /** rdi = the label's address and the like. */
    void address(Reg r, Label of) {
        bytes(WIDE | r.high() << 2, 0x8d, r.low() << 3 | 5);
        relative(of);
    }

    void jump(Reg to) {
        bytes(0x40 | to.high(), 0xff, 0xe0 | to.low());
    }

    void call(Reg to) {
        bytes(0x40 | to.high(), 0xff, 0xd0 | to.low());
    }

    void push(Reg r) {
        bytes(0x40 | r.high(), 0x50 | r.low());
    }

    void pop(Reg r) {
        bytes(0x40 | r.high(), 0x58 | r.low());
    }

    /** Returns; the upper halves of the vectors are cleared, as compiled code expects. */
    void leave() {
        bytes(0xc5, 0xf8, 0x77, 0xc3); // vzeroupper, ret
    }

    // === General registers ===

    void move(Reg to, Reg from) {
        general(0x89, from, to);
    }

    void move(Reg to, long value) {
        bytes(WIDE | to.high(), 0xb8 | to.low());
        for (int i = 0; i < 8; i++) {
            bytes((int) (value >> 8 * i));
        }
    }

    void load(Reg to, Mem m) {
        bytes(WIDE | to.high() << 2 | m.base.high(), 0x8b);
        memory(to.low(), m);
    }

    void store(Mem m, Reg from) {
        bytes(WIDE | from.high() << 2 | m.base.high(), 0x89);
        memory(from.low(), m);
    }

    /** to = from if the last result was negative. */
    void moveIfNegative(Reg to, Reg from) {
        bytes(WIDE | to.high() << 2 | from.high(), 0x0f, 0x48, 0xc0 | to.low() << 3 | from.low());
    }

    /** Adds to what lies there, undisturbed by other threads. @param r what is added; then what lay there before */
    void exchangeAdd(Mem m, Reg r) {
        bytes(0xf0, WIDE | r.high() << 2 | m.base.high(), 0x0f, 0xc1);
        memory(r.low(), m);
    }

    /** The upper half becomes zero. */
    void clearUpper(Reg r) {
        bytes(0x40 | r.high() << 2 | r.high(), 0x89, 0xc0 | r.low() << 3 | r.low());
    }

    void zero(Reg r) {
        general(0x31, r, r);
    }

    void add(Reg to, Reg from) {
        general(0x01, from, to);
    }

    void add(Reg to, int value) {
        bytes(WIDE | to.high(), 0x81, 0xc0 | to.low());
        int32(value);
    }

    void compare(Reg a, Reg b) {
        general(0x39, b, a);
    }

    void compare(Reg r, int value) {
        bytes(WIDE | r.high(), 0x81, 0xf8 | r.low());
        int32(value);
    }

    void subtract(Reg to, Reg from) {
        general(0x29, from, to);
    }

    void shiftLeft(Reg r, int bits) {
        bytes(WIDE | r.high(), 0xc1, 0xe0 | r.low(), bits);
    }

    void shiftRight(Reg r, int bits) {
        bytes(WIDE | r.high(), 0xc1, 0xe8 | r.low(), bits);
    }

    /** to *= from. */
    void multiply(Reg to, Reg from) {
        bytes(WIDE | to.high() << 2 | from.high(), 0x0f, 0xaf, 0xc0 | to.low() << 3 | from.low());
    }

    /** rax = rdx:rax / by. */
    void divide(Reg by) {
        bytes(WIDE | by.high(), 0xf7, 0xf0 | by.low());
    }

    private void general(int opcode, Reg reg, Reg rm) {
        bytes(WIDE | reg.high() << 2 | rm.high(), opcode, 0xc0 | reg.low() << 3 | rm.low());
    }

    // === Vectors; z are registers 0 to 31 ===

    void vmovups(int z, Mem m) {
        evex(1, 0, 0x10, z, 0, m);
    }

    void vmovups(Mem m, int z) {
        evex(1, 0, 0x11, z, 0, m);
    }

    /** The lower half of a vector. */
    void storeHalf(Mem m, int z) {
        evex(1, 0, 0x11, z, 0, m, HALF);
    }

    void vbroadcastss(int z, Mem m) {
        evex(2, 1, 0x18, z, 0, m);
    }

    /** The lower 32 bits of a general register for all lanes. */
    void vpbroadcastd(int z, Reg r) {
        evex(2, 1, 0x7c, z, 0, r.ordinal());
    }

    /** The first lane. */
    void storeFirst(Mem m, int z) {
        evex(1, 2, 0x11, z, 0, m, SINGLE);
    }

    /** Quarters of a, then of b, by two bits each. */
    void vshuff32x4(int z, int a, int b, int order) {
        evex(3, 1, 0x23, z, a, b);
        bytes(order);
    }

    /** In each quarter the lower two of a and of b in turn. */
    void vunpcklps(int z, int a, int b) {
        evex(1, 0, 0x14, z, a, b);
    }

    /** The upper two. */
    void vunpckhps(int z, int a, int b) {
        evex(1, 0, 0x15, z, a, b);
    }

    /** In each quarter the lower half of a, then of b. */
    void vpunpcklqdq(int z, int a, int b) {
        evex(1, 1 | QUADWORDS, 0x6c, z, a, b);
    }

    /** The upper halves. */
    void vpunpckhqdq(int z, int a, int b) {
        evex(1, 1 | QUADWORDS, 0x6d, z, a, b);
    }

    /** The lanes of each quarter, by two bits each. */
    void vpermilps(int z, int a, int order) {
        evex(3, 1, 0x04, z, 0, a);
        bytes(order);
    }

    /** To the nearest whole number. */
    void vrndscaleps(int z, int a) {
        evex(3, 1, 0x08, z, 0, a);
        bytes(0);
    }

    /** z = a 2^b, b whole. */
    void vscalefps(int z, int a, int b) {
        evex(2, 1, 0x2c, z, a, b);
    }

    void vmaxps(int z, int a, int b) {
        evex(1, 0, 0x5f, z, a, b);
    }

    void vmaxps(int z, int a, Mem m) {
        evex(1, 0, 0x5f, z, a, m);
    }

    void vminps(int z, int a, int b) {
        evex(1, 0, 0x5d, z, a, b);
    }

    void vminps(int z, int a, Mem m) {
        evex(1, 0, 0x5d, z, a, m);
    }

    void vsubps(int z, int a, int b) {
        evex(1, 0, 0x5c, z, a, b);
    }

    void vsqrtps(int z, int a) {
        evex(1, 0, 0x51, z, 0, a);
    }

    void vdivps(int z, int a, int b) {
        evex(1, 0, 0x5e, z, a, b);
    }

    void vmulps(int z, int a, int b) {
        evex(1, 0, 0x59, z, a, b);
    }

    void vpxord(int z, int a, int b) {
        evex(1, 1, 0xef, z, a, b);
    }

    void vpandd(int z, int a, int b) {
        evex(1, 1, 0xdb, z, a, b);
    }

    void vpsubd(int z, int a, int b) {
        evex(1, 1, 0xfa, z, a, b);
    }

    void vpaddd(int z, int a, int b) {
        evex(1, 1, 0xfe, z, a, b);
    }

    void vaddps(int z, int a, int b) {
        evex(1, 0, 0x58, z, a, b);
    }

    void vaddps(int z, int a, Mem m) {
        evex(1, 0, 0x58, z, a, m);
    }

    void vmulps(int z, int a, Mem m) {
        evex(1, 0, 0x59, z, a, m);
    }

    /** z += a b. */
    void vfmadd231ps(int z, int a, Mem b) {
        evex(2, 1, 0xb8, z, a, b);
    }

    /** z += a b. */
    void vfmadd231ps(int z, int a, int b) {
        evex(2, 1, 0xb8, z, a, b);
    }

    /** z = a z + b. */
    void vfmadd213ps(int z, int a, int b) {
        evex(2, 1, 0xa8, z, a, b);
    }

    /** z = a z + b. */
    void vfmadd213ps(int z, int a, Mem b) {
        evex(2, 1, 0xa8, z, a, b);
    }

    /** Rounds to bfloat16, into the lower half. */
    void vcvtneps2bf16(int z, int a) {
        evex(2, 2, 0x72, z, 0, a);
    }

    /** z += the sums of four products of bytes, a's without sign and b's with it, in each lane of 32 bits. */
    void vpdpbusd(int z, int a, Mem b) {
        evex(2, 1, 0x50, z, a, b);
    }

    /** z += the sums of four products of bytes, a's without sign and b's with it, in each lane of 32 bits. */
    void vpdpbusd(int z, int a, int b) {
        evex(2, 1, 0x50, z, a, b);
    }

    /** z += the sums of two products of bfloat16 in each lane of 32 bits. */
    void vdpbf16ps(int z, int a, Mem b) {
        evex(2, 2, 0x52, z, a, b);
    }

    /** z += the sums of two products of bfloat16 in each lane of 32 bits. */
    void vdpbf16ps(int z, int a, int b) {
        evex(2, 2, 0x52, z, a, b);
    }

    /** Sixteen of 16 bits without sign, each to 32. */
    void vpmovzxwd(int z, Mem m) {
        evex(2, 1, 0x33, z, 0, m);
    }

    /** Sixteen bytes without sign, each to 32 bits. */
    void vpmovzxbd(int z, Mem m) {
        evex(2, 1, 0x31, z, 0, m);
    }

    /** Each lane of 32 bits without sign to a byte, what is too large to 255. */
    void vpmovusdb(Mem m, int z) {
        evex(2, 2, 0x11, z, 0, m);
    }

    /** The lower half's sixteen of 16 bits without sign, each to 32. */
    void vpmovzxwd(int z, int a) {
        evex(2, 1, 0x33, z, 0, a);
    }

    /** The lowest byte of each lane of 32 bits. */
    void vpmovdb(Mem m, int z) {
        evex(2, 2, 0x31, z, 0, m);
    }

    /** The larger of two whole numbers. */
    void vpmaxsd(int z, int a, int b) {
        evex(2, 1, 0x3d, z, a, b);
    }

    /** To the nearest whole numbers, of 32 bits. */
    void vcvtps2dq(int z, int a) {
        evex(1, 1, 0x5b, z, 0, a);
    }

    void vcvtdq2ps(int z, int a) {
        evex(1, 0, 0x5b, z, 0, a);
    }

    /** Each lane of 32 bits to the left. */
    void vpslld(int z, int a, int bits) {
        evex(1, 1, 0x72, 6, z, a);
        bytes(bits);
    }

    /** Each lane of 32 bits to the right, the sign kept. */
    void vpsrad(int z, int a, int bits) {
        evex(1, 1, 0x72, 4, z, a);
        bytes(bits);
    }

    /** Each lane of 32 bits to the right. */
    void vpsrld(int z, int a, int bits) {
        evex(1, 1, 0x72, 2, z, a);
        bytes(bits);
    }

    private void evex(int map, int prefix, int opcode, int reg, int second, int third) {
        int inverted = bit(reg, 3) << 7 | bit(third, 4) << 6 | bit(third, 3) << 5 | bit(reg, 4) << 4;
        evex(inverted, map, prefix, second, FULL);
        bytes(opcode, 0xc0 | (reg & 7) << 3 | third & 7);
    }

    private void evex(int map, int prefix, int opcode, int reg, int second, Mem m) {
        evex(map, prefix, opcode, reg, second, m, m.broadcast ? FULL | BROADCAST : FULL);
    }

    private void evex(int map, int prefix, int opcode, int reg, int second, Mem m, int size) {
        int inverted = bit(reg, 3) << 7 | m.base.high() << 5 | bit(reg, 4) << 4;
        evex(inverted, map, prefix, second, size);
        bytes(opcode);
        memory(reg & 7, m);
    }

    /** The prefix; it holds the upper bits of registers the other way round. */
    private void evex(int inverted, int map, int prefix, int second, int size) {
        bytes(0x62, (inverted ^ 0xf0) | map, (~second & 15) << 3 | 4 | prefix, size | (second < 16 ? 8 : 0));
    }

    private static int bit(int value, int at) {
        return value >> at & 1;
    }

    // === Bytes ===

    private void memory(int reg, Mem m) {
        bytes(0x80 | reg << 3 | m.base.low());
        if (m.base.low() == Reg.RSP.low()) {
            bytes(0x24);
        }
        int32(m.offset);
    }

    private void relative(Label to) {
        to.uses.add(out.size());
        int32(0);
    }

    private void int32(int value) {
        bytes(value, value >> 8, value >> 16, value >> 24);
    }

    private void bytes(int... values) {
        for (int b : values) {
            out.write(b);
        }
    }

    /** The code, its jumps filled in. */
    byte[] code() {
        byte[] code = out.toByteArray();
        for (Label label : labels) {
            for (int use : label.uses) {
                int distance = label.at - use - 4;
                for (int i = 0; i < 4; i++) {
                    code[use + i] = (byte) (distance >> 8 * i);
                }
            }
        }
        return code;
    }
}
