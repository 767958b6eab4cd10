package dev.headstart.vision;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.ngengine.webp.decoder.DecodedWebP;
import org.ngengine.webp.decoder.WebPDecodeException;
import org.ngengine.webp.decoder.WebPDecoder;

/**
 * WebP files (RFC 9649): the container is read here, sizes first, its picture decoded by image-webp-decoder, whose samples are libwebp's (TwelveMonkeys' are
 * up to 61 levels away). That library takes still pictures; of an animation the first frame is given to it, which then stands at its place on a black canvas, as
 * Pillow shows it. Alpha is dropped, so that the chunk which holds a lossy picture's is not read.
 *
 * @param at where the chunk of the picture begins, {@code VP8 } or {@code VP8L}
 * @param end behind its last byte
 * @param width of the canvas
 * @param height of the canvas
 * @param left where the picture stands on the canvas
 * @param top where the picture stands on the canvas
 */
record WebP(int at, int end, int width, int height, int left, int top) {
    private static final int CHUNK_HEAD = 8, FILE_HEAD = 12, FRAME_HEAD = 16;

    /** Finds the picture, the first one of an animation, and its sizes; nothing is decoded yet. */
    static WebP open(byte[] file) throws IOException {
        int extended = chunk(file, "VP8X", FILE_HEAD, file.length);
        if (extended >= 0 && end(file, extended) - extended < CHUNK_HEAD + 10) {
            throw new IOException("the chunk VP8X is too short");
        }
        boolean animated = extended >= 0 && (file[extended + CHUNK_HEAD] & 2) != 0;
        int from = FILE_HEAD, to = file.length, frame = -1;
        if (animated) {
            frame = chunk(file, "ANMF", FILE_HEAD, file.length);
            if (frame < 0) {
                throw new IOException("the animation has no frame");
            }
            from = frame + CHUNK_HEAD + FRAME_HEAD;
            to = end(file, frame);
        }
        int lossy = chunk(file, "VP8 ", from, to), lossless = chunk(file, "VP8L", from, to);
        int at = lossy < 0 || lossless >= 0 && lossless < lossy ? lossless : lossy;
        if (at < 0 || end(file, at) - at < CHUNK_HEAD + (at == lossy ? 10 : 5)) {
            throw new IOException("no picture in it");
        }
        int head = at + CHUNK_HEAD;
        int width = at == lossy ? number(file, head + 6, 2) & 0x3FFF : 1 + (number(file, head + 1, 2) & 0x3FFF);
        int height = at == lossy ? number(file, head + 8, 2) & 0x3FFF : 1 + (number(file, head + 2, 3) >> 6 & 0x3FFF);
        int left = animated ? 2 * number(file, frame + CHUNK_HEAD, 3) : 0;
        int top = animated ? 2 * number(file, frame + CHUNK_HEAD + 3, 3) : 0;
        int canvasWidth = extended < 0 ? width : 1 + number(file, extended + CHUNK_HEAD + 4, 3);
        int canvasHeight = extended < 0 ? height : 1 + number(file, extended + CHUNK_HEAD + 7, 3);
        if (animated
                ? left + width > canvasWidth || top + height > canvasHeight
                : width != canvasWidth || height != canvasHeight) {
            throw new IOException("its picture of " + width + " x " + height + " does not fit its canvas of "
                    + canvasWidth + " x " + canvasHeight);
        }
        return new WebP(at, end(file, at), canvasWidth, canvasHeight, left, top);
    }

    /** Decodes. @param file the same as in {@link #open} */
    Image image(byte[] file, String source) throws IOException {
        int size = end - at;
        ByteBuffer still = ByteBuffer.allocate(FILE_HEAD + size + (size & 1)).order(ByteOrder.LITTLE_ENDIAN);
        still.put("RIFF".getBytes(StandardCharsets.US_ASCII)).putInt(still.capacity() - CHUNK_HEAD);
        still.put("WEBP".getBytes(StandardCharsets.US_ASCII)).put(file, at, size);
        DecodedWebP picture;
        try {
            picture = WebPDecoder.decode(still.array());
        } catch (WebPDecodeException e) {
            throw new IOException(e.getMessage(), e);
        }
        byte[] rgb = new byte[Math.multiplyExact(3, Math.multiplyExact(picture.width, picture.height))];
        for (int i = 0, o = 0; o < rgb.length; i += 4, o += 3) {
            picture.rgba.get(i, rgb, o, 3);
        }
        return new Image(picture.width, picture.height, rgb, source).crop(-left, -top, width, height);
    }

    /** Where the first chunk of that name begins, or -1; chunks follow each other from {@code from} on. */
    static int chunk(byte[] file, String name, int from, int to) {
        for (long at = from; at + CHUNK_HEAD < to; ) {
            if (name.equals(new String(file, (int) at, 4, StandardCharsets.ISO_8859_1))) {
                return (int) at;
            }
            long size = number(file, (int) at + 4, 4) & 0xFFFFFFFFL;
            at += CHUNK_HEAD + size + (size & 1);
        }
        return -1;
    }

    private static int end(byte[] file, int chunk) {
        return (int) Math.min(file.length, chunk + CHUNK_HEAD + (number(file, chunk + 4, 4) & 0xFFFFFFFFL));
    }

    /** Up to four bytes, the lowest first. */
    private static int number(byte[] file, int at, int bytes) {
        int n = 0;
        for (int i = 0; i < bytes; i++) {
            n |= (file[at + i] & 255) << 8 * i;
        }
        return n;
    }
}
