package dev.headstart.data;

import dev.headstart.HeadstartException;
import java.io.BufferedInputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.GZIPInputStream;
import org.jspecify.annotations.Nullable;

/**
 * UTF-8 text of a file or standard input, unpacked when it is gzip. Bytes that are not UTF-8 become {@link #NOT_UTF8}, a code point that no
 * text holds, so that the row they stand in can be told of by its number while reading goes on.
 */
final class TextInput implements AutoCloseable {
    static final char NOT_UTF8 = '\uFFFF';
    /** Longest line; beyond it the input is no text with lines, and would fill the heap. */
    static final int MAX_LINE = 64 << 20;

    private static final int SNIFF = 1 << 16;

    final String name;
    private final BufferedInputStream in;
    private final Reader reader;
    private final String start;
    private final char[] buffer = new char[1 << 14];
    private int at;
    private int filled;
    private long line;
    private final long size;
    private volatile long consumed;

    private TextInput(String name, InputStream file, long size) {
        this.name = name;
        this.size = size;
        InputStream raw = new FilterInputStream(file) {
            @Override
            public int read() throws IOException {
                int b = super.read();
                consumed += b < 0 ? 0 : 1;
                return b;
            }

            @Override
            public int read(byte[] b, int from, int n) throws IOException {
                int got = super.read(b, from, n);
                consumed += Math.max(0, got);
                return got;
            }
        };
        try {
            BufferedInputStream packed = new BufferedInputStream(raw, SNIFF);
            packed.mark(2);
            boolean gzip = packed.read() == 0x1f && packed.read() == 0x8b;
            packed.reset();
            in = gzip ? new BufferedInputStream(new GZIPInputStream(packed, SNIFF), SNIFF) : packed;
            in.mark(SNIFF);
            byte[] head = in.readNBytes(SNIFF - 1);
            in.reset();
            rejectForeign(head);
            int bom = head.length >= 3 && head[0] == (byte) 0xEF && head[1] == (byte) 0xBB && head[2] == (byte) 0xBF
                    ? 3
                    : 0;
            in.skipNBytes(bom);
            start = new String(head, bom, head.length - bom, StandardCharsets.UTF_8);
            reader = decode(in);
        } catch (IOException e) {
            throw failure(name, e);
        }
    }

    static TextInput open(@Nullable Path path) {
        if (path == null) {
            return new TextInput("standard input", System.in, -1);
        }
        try {
            return new TextInput(path.toString(), Files.newInputStream(path), Files.size(path));
        } catch (IOException e) {
            throw failure(path.toString(), e);
        }
    }

    static HeadstartException failure(String name, IOException e) {
        String why = e instanceof java.nio.file.NoSuchFileException
                ? "no such file"
                : e instanceof java.nio.file.AccessDeniedException
                        ? "may not be read (permissions)"
                        : String.valueOf(e.getMessage());
        return new HeadstartException(name + ": cannot be read: " + why, e);
    }

    static HeadstartException failure(String name, UncheckedIOException e) {
        IOException cause = e.getCause();
        return failure(name, cause == null ? new IOException(e) : cause);
    }

    private static Reader decode(InputStream in) {
        CharsetDecoder decoder = StandardCharsets.UTF_8
                .newDecoder()
                .onMalformedInput(CodingErrorAction.REPLACE)
                .onUnmappableCharacter(CodingErrorAction.REPLACE)
                .replaceWith(String.valueOf(NOT_UTF8));
        return new InputStreamReader(in, decoder);
    }

    private void rejectForeign(byte[] head) {
        String found = null;
        if (head.length >= 2
                && ((head[0] == (byte) 0xFF && head[1] == (byte) 0xFE)
                        || (head[0] == (byte) 0xFE && head[1] == (byte) 0xFF))) {
            found = "UTF-16 text; convert it first: iconv -f UTF-16 -t UTF-8";
        } else if (head.length >= 4 && head[0] == 'P' && head[1] == 'K' && head[2] == 3 && head[3] == 4) {
            found = "a zip archive (an .xlsx workbook is one too); save it as csv or unpack it";
        } else {
            for (int i = 0; i < Math.min(head.length, 4096); i++) {
                if (head[i] == 0) {
                    found = "binary data (a zero byte at " + i + ")";
                    break;
                }
            }
        }
        if (found != null) {
            throw new HeadstartException(name + ": expected UTF-8 text, found " + found);
        }
    }

    /** The first characters (up to 64 K), without consuming them. */
    String start() {
        return start;
    }

    /** All characters not read yet. */
    Reader reader() {
        return reader;
    }

    /** Share of the file's bytes that have been read; NaN for a stream. */
    double fraction() {
        return size < 0 ? Double.NaN : size == 0 ? 1 : Math.min(1, (double) consumed / size);
    }

    /** Number of the line last read, from 1. */
    long line() {
        return line;
    }

    /** The next line without its end, null at the end of the input. Not to be mixed with {@link #reader}. */
    @Nullable
    String readLine() {
        StringBuilder b = null;
        while (true) {
            if (at == filled && !fill()) {
                if (b == null) {
                    return null;
                }
                break;
            }
            if (b == null) {
                b = new StringBuilder(128);
                line++;
            }
            int from = at;
            while (at < filled && buffer[at] != '\n') {
                at++;
            }
            b.append(buffer, from, at - from);
            if (b.length() > MAX_LINE) {
                throw new HeadstartException(name + " line " + line + ": longer than " + (MAX_LINE >> 20)
                        + " Mi characters; expected text with line ends");
            }
            if (at < filled) {
                at++; // the line end itself
                break;
            }
        }
        if (b.length() > 0 && b.charAt(b.length() - 1) == '\r') {
            b.setLength(b.length() - 1);
        }
        return b.toString();
    }

    private boolean fill() {
        try {
            filled = Math.max(0, reader.read(buffer));
            at = 0;
            return filled > 0;
        } catch (IOException e) {
            throw failure(name, e);
        }
    }

    @Override
    public void close() {
        try {
            if (!name.equals("standard input")) {
                reader.close();
            }
        } catch (IOException e) {
            throw failure(name, e);
        }
    }
}
