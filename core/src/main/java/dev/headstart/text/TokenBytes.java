package dev.headstart.text;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongFunction;
import org.jspecify.annotations.Nullable;

/**
 * The bytes that a token stands for inside a text, also where a token is only part of a character: what stop strings are compared with. Byte-level
 * vocabularies (GPT-2, Llama 3, Qwen) and byte fallback (Llama 2, Gemma: {@code <0xE2>}) are taken apart; other tokens are decoded behind a fixed text.
 */
public final class TokenBytes implements LongFunction<byte[]> {
    private static final String BEFORE = "abcdef";
    private static final Map<Character, Byte> BYTE_LEVEL = byteLevel();

    private final Tokenizer tokenizer;
    private final boolean byteLevel;
    private final long[] before;
    private final Map<Long, byte[]> known = new ConcurrentHashMap<>();

    /** @param tokenizer stays the caller's */
    public TokenBytes(Tokenizer tokenizer) {
        this.tokenizer = tokenizer;
        this.byteLevel = tokenizer.byteLevel();
        this.before = tokenizer
                .encode(BEFORE, null, EncodeOptions.DEFAULT.withSpecialTokens(false))
                .ids();
    }

    @Override
    public byte[] apply(long id) {
        return known.computeIfAbsent(id, this::bytes);
    }

    private byte[] bytes(long id) {
        String token = tokenizer.idToToken((int) id);
        if (token == null) {
            return new byte[0];
        }
        byte[] raw = byteLevel ? ofByteLevel(token) : fromFallback(token);
        if (raw != null) {
            return raw;
        }
        long[] ids = Arrays.copyOf(before, before.length + 1);
        ids[before.length] = id;
        String text = tokenizer.decode(ids, false);
        int at = text.indexOf(BEFORE);
        return (at < 0 ? token : text.substring(at + BEFORE.length())).getBytes(StandardCharsets.UTF_8);
    }

    /** The bytes of a token that is written in GPT-2's stand-ins; null when a character is none of them. */
    static byte @Nullable [] ofByteLevel(String token) {
        byte[] bytes = new byte[token.length()];
        for (int i = 0; i < bytes.length; i++) {
            Byte b = BYTE_LEVEL.get(token.charAt(i));
            if (b == null) {
                return null;
            }
            bytes[i] = b;
        }
        return bytes;
    }

    private static byte @Nullable [] fromFallback(String token) {
        return token.matches("<0x[0-9A-Fa-f]{2}>")
                ? new byte[] {(byte) Integer.parseInt(token.substring(3, 5), 16)}
                : null;
    }

    /** GPT-2's printable stand-ins for bytes (bytes_to_unicode), inverted. */
    private static Map<Character, Byte> byteLevel() {
        Map<Character, Byte> map = new HashMap<>();
        int extra = 0;
        for (int b = 0; b < 256; b++) {
            boolean printable = b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE;
            map.put((char) (printable ? b : 256 + extra++), (byte) b);
        }
        return map;
    }
}
