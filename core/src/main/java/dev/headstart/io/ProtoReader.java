package dev.headstart.io;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * Walks the fields of one protobuf message (protobuf.dev/programming-guides/encoding) without knowing its type; every length is checked
 * against the message's end. Groups, which no weight file uses, are refused.
 */
final class ProtoReader {
    /** Where the bytes are. */
    @FunctionalInterface
    interface Bytes {
        /** The byte at {@code position}, 0 to 255. */
        int at(long position) throws IOException;
    }

    private static final int VARINT = 0;
    private static final int FIXED64 = 1;
    private static final int LENGTH = 2;
    private static final int FIXED32 = 5;
    private static final int LONGEST_TEXT = 1 << 16;

    private final Path file;
    private final Bytes bytes;
    private final long end;
    private long position;
    private int field;
    private int wire;
    private long value;

    /** Reads the message between two positions. */
    ProtoReader(Path file, Bytes bytes, long begin, long end) {
        this.file = file;
        this.bytes = bytes;
        this.position = begin;
        this.end = end;
    }

    /** Reads the message that {@code message} holds. */
    ProtoReader(Path file, byte[] message) {
        this(file, at -> message[(int) at] & 0xff, 0, message.length);
    }

    /** Goes to the next field; false at the end of the message. */
    boolean next() throws IOException {
        if (position == end) {
            return false;
        }
        long tag = varint();
        wire = (int) (tag & 7);
        if (tag >>> 3 == 0 || tag >>> 3 > Integer.MAX_VALUE) {
            throw broken("a field number out of range");
        }
        field = (int) (tag >>> 3);
        switch (wire) {
            case VARINT -> value = varint();
            case FIXED64 -> value = fixed(8);
            case FIXED32 -> value = fixed(4);
            case LENGTH -> {
                value = varint();
                if (value < 0 || value > end - position) {
                    throw broken("a field of " + Long.toUnsignedString(value) + " bytes where " + (end - position)
                            + " are left");
                }
                position += value;
            }
            default -> throw broken("wire type " + wire);
        }
        return true;
    }

    /** Number of the current field. */
    int field() {
        return field;
    }

    /** Whether the current field is a varint; if not it may be packed, {@link #message}. */
    boolean isNumber() {
        return wire == VARINT;
    }

    /** Whether the current field is a number of fixed size. */
    boolean isFixed() {
        return wire == FIXED32 || wire == FIXED64;
    }

    /** The raw bits of the current field, a number of fixed size. */
    long fixedValue() {
        return value;
    }

    /** Where the next field begins. */
    long position() {
        return position;
    }

    /** The current field as an integer. */
    long number() {
        expect(VARINT);
        return value;
    }

    /** The current field as 32 raw bits. */
    int fixed32() {
        expect(FIXED32);
        return (int) value;
    }

    /** Where the bytes of the current field, a string or message, begin. */
    long begin() {
        expect(LENGTH);
        return position - value;
    }

    /** How many bytes the current field has. */
    long length() {
        expect(LENGTH);
        return value;
    }

    /** The current field as a message. */
    ProtoReader message() {
        return new ProtoReader(file, bytes, begin(), position);
    }

    /** The current field as text. */
    String text() throws IOException {
        if (length() > LONGEST_TEXT) {
            throw broken("a name of " + length() + " bytes");
        }
        byte[] text = new byte[(int) length()];
        long begin = begin();
        for (int i = 0; i < text.length; i++) {
            text[i] = (byte) bytes.at(begin + i);
        }
        return new String(text, StandardCharsets.UTF_8);
    }

    /** Whether bytes are left of a packed list of numbers, which is read with {@link #varint}, or {@link #fixed}. */
    boolean hasMore() {
        return position < end;
    }

    /** Reads one varint and moves on. */
    long varint() throws IOException {
        long number = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            if (position == end) {
                throw broken("a number that is cut off");
            }
            int b = bytes.at(position++);
            number |= (long) (b & 0x7f) << shift;
            if (b < 0x80) {
                return number;
            }
        }
        throw broken("a number of more than 64 bits");
    }

    /** Reads {@code size} bytes as a little-endian number and moves on. */
    long fixed(int size) throws IOException {
        if (end - position < size) {
            throw broken("a number that is cut off");
        }
        long number = 0;
        for (int i = 0; i < size; i++) {
            number |= (long) bytes.at(position++) << (8 * i);
        }
        return number;
    }

    private void expect(int wanted) {
        if (wire != wanted) {
            throw broken("wire type " + wire + " in field " + field + ", expected " + wanted);
        }
    }

    private WeightFormatException broken(String found) {
        return new WeightFormatException(
                file,
                "expected protobuf data, found " + found + " before byte " + position
                        + "; the file is damaged, fetch it again");
    }
}
