package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.Inflater;
import java.util.zip.InflaterInputStream;

/**
 * The entries of a zip archive and where their bytes lie in the file (PKWARE APPNOTE 6.3, with zip64), which java.util.zip does not tell.
 * Only stored and deflated entries, no encryption, no archives in several files.
 */
final class ZipDirectory {
    private static final int END = 0x06054b50;
    private static final int END_64 = 0x06064b50;
    private static final int LOCATOR_64 = 0x07064b50;
    private static final int CENTRAL = 0x02014b50;
    private static final int LOCAL = 0x04034b50;
    private static final int END_BYTES = 22;
    private static final int LARGEST_DIRECTORY = 256 << 20;
    private static final int STORED = 0;
    private static final int DEFLATED = 8;
    private static final long ANY_RATIO = 16 << 20;
    private static final int HIGHEST_RATIO = 100;

    private final WeightFile file;
    private final Map<String, Entry> entries = new LinkedHashMap<>();

    /** An entry: {@code stored} says whether its bytes lie in the file as they are; {@code header} is the position of its local header. */
    record Entry(String name, boolean stored, long compressed, long size, long header) {}

    ZipDirectory(WeightFile file) throws IOException {
        this.file = file;
        readDirectory();
    }

    /** Entries by name. */
    Map<String, Entry> entries() {
        return entries;
    }

    /** Where the entry's bytes begin in the file. */
    long position(Entry entry) throws IOException {
        ByteBuffer header = read(entry.header(), 30);
        if (header.getInt(0) != LOCAL) {
            throw broken("expected the header of entry " + quote(entry.name()) + " at byte " + entry.header()
                    + ", found none");
        }
        long position = entry.header() + 30 + u2(header, 26) + u2(header, 28);
        if (position > file.size() - entry.compressed()) {
            throw broken("entry " + quote(entry.name()) + " runs over the end of the file");
        }
        return position;
    }

    /** The entry's bytes, inflated where they are deflated. */
    InputStream open(Entry entry) throws IOException {
        InputStream raw = new Range(file, position(entry), entry.compressed());
        if (entry.stored()) {
            return raw;
        }
        return new InflaterInputStream(raw, new Inflater(true), 1 << 16) {
            @Override
            public void close() throws IOException {
                super.close();
                inf.end(); // the superclass only ends an Inflater that it made
            }
        };
    }

    /** A small entry, whole. */
    byte[] bytes(Entry entry, int largest) throws IOException {
        if (entry.size() > largest) {
            throw broken("expected at most " + largest + " bytes in entry " + quote(entry.name()) + ", found "
                    + entry.size());
        }
        try (InputStream in = open(entry)) {
            byte[] bytes = in.readNBytes((int) entry.size());
            if (bytes.length != entry.size()) {
                throw new EOFException("entry " + quote(entry.name()) + " ends early");
            }
            return bytes;
        }
    }

    private void readDirectory() throws IOException {
        long size = file.size();
        int tail = (int) Math.min(size, END_BYTES + 0xffff);
        ByteBuffer end = read(size - tail, tail);
        int at = tail - END_BYTES;
        while (at >= 0 && end.getInt(at) != END) {
            at--;
        }
        if (at < 0) {
            throw broken("expected a whole zip archive, found no directory at its end");
        }
        long count = u2(end, at + 10);
        long bytes = u4(end, at + 12);
        long offset = u4(end, at + 16);
        long endPosition = size - tail + at;
        if (count == 0xffff || bytes == 0xffffffffL || offset == 0xffffffffL) {
            if (endPosition < 20) {
                throw broken("expected a zip64 directory, found none");
            }
            ByteBuffer locator = read(endPosition - 20, 20);
            if (locator.getInt(0) == LOCATOR_64) {
                ByteBuffer end64 = read(locator.getLong(8), 56);
                if (end64.getInt(0) != END_64) {
                    throw broken("expected a zip64 directory, found none");
                }
                count = end64.getLong(32);
                bytes = end64.getLong(40);
                offset = end64.getLong(48);
            }
        }
        if (offset < 0
                || bytes < 0
                || bytes > LARGEST_DIRECTORY
                || offset > size - bytes
                || count < 0
                || count > bytes / 46) {
            throw broken("expected a zip directory inside the file, found " + count + " entries in " + bytes
                    + " bytes at " + offset);
        }
        ByteBuffer directory = read(offset, (int) bytes);
        for (long i = 0; i < count; i++) {
            readEntry(directory);
        }
    }

    private void readEntry(ByteBuffer in) {
        int at = in.position();
        if (in.remaining() < 46 || in.getInt(at) != CENTRAL) {
            throw broken("expected another entry in the zip directory, found none");
        }
        int flags = u2(in, at + 8);
        int method = u2(in, at + 10);
        long compressed = u4(in, at + 20);
        long size = u4(in, at + 24);
        int nameLength = u2(in, at + 28);
        int extraLength = u2(in, at + 30);
        int commentLength = u2(in, at + 32);
        long header = u4(in, at + 42);
        if (in.remaining() < 46 + nameLength + extraLength + commentLength) {
            throw broken("expected a whole zip directory, found one that is cut off");
        }
        byte[] text = new byte[nameLength];
        in.get(at + 46, text);
        String name = new String(text, StandardCharsets.UTF_8);
        ByteBuffer extra = in.slice(at + 46 + nameLength, extraLength).order(ByteOrder.LITTLE_ENDIAN);
        while (extra.remaining() >= 4) {
            int id = extra.getShort() & 0xffff;
            int length = Math.min(extra.getShort() & 0xffff, extra.remaining());
            ByteBuffer field = extra.slice(extra.position(), length).order(ByteOrder.LITTLE_ENDIAN);
            extra.position(extra.position() + length);
            if (id == 1) {
                size = size == 0xffffffffL && field.remaining() >= 8 ? field.getLong() : size;
                compressed = compressed == 0xffffffffL && field.remaining() >= 8 ? field.getLong() : compressed;
                header = header == 0xffffffffL && field.remaining() >= 8 ? field.getLong() : header;
            }
        }
        in.position(at + 46 + nameLength + extraLength + commentLength);
        check(name, flags, method, compressed, size, header);
        if (entries.put(name, new Entry(name, method == STORED, compressed, size, header)) != null) {
            throw broken("expected different names, found the entry " + quote(name) + " twice");
        }
    }

    private void check(String name, int flags, int method, long compressed, long size, long header) {
        if ((flags & 1) != 0 || method != STORED && method != DEFLATED) {
            throw broken("entry " + quote(name) + " is "
                    + ((flags & 1) != 0 ? "encrypted" : "compressed with method " + method)
                    + ", expected a stored or deflated one");
        }
        if (compressed < 0
                || size < 0
                || header < 0
                || compressed > file.size()
                || header > file.size() - compressed - 30) {
            throw broken("entry " + quote(name) + " should have " + compressed + " bytes at " + header
                    + ", outside the file");
        }
        if (method == STORED && size != compressed) {
            throw broken("the stored entry " + quote(name) + " has " + compressed
                    + " bytes in the file and should have " + size);
        }
        if (size > ANY_RATIO && size / HIGHEST_RATIO > compressed) {
            throw broken("entry " + quote(name) + " would grow from " + compressed + " to " + size
                    + " bytes, which no weights do");
        }
    }

    private ByteBuffer read(long position, int length) throws IOException {
        if (position < 0 || position > file.size() - length) {
            throw broken("expected " + length + " more bytes at byte " + position + ", found the end of the file");
        }
        return ByteBuffer.wrap(file.bytes(position, length)).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static int u2(ByteBuffer in, int at) {
        return in.getShort(at) & 0xffff;
    }

    private static long u4(ByteBuffer in, int at) {
        return in.getInt(at) & 0xffffffffL;
    }

    private WeightFormatException broken(String problem) {
        return new WeightFormatException(file.path(), problem + "; the archive is damaged, fetch it again");
    }

    /** A part of a file as a stream. */
    private static final class Range extends InputStream {
        private final WeightFile file;
        private long position;
        private long left;

        Range(WeightFile file, long position, long length) {
            this.file = file;
            this.position = position;
            this.left = length;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] into, int offset, int length) throws IOException {
            if (left == 0) {
                return -1;
            }
            int n = (int) Math.min(length, left);
            file.read(position, ByteBuffer.wrap(into, offset, n));
            position += n;
            left -= n;
            return n;
        }
    }
}
