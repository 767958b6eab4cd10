package dev.headstart.pipeline;

import dev.headstart.text.Tokenizer;
import java.util.Arrays;

/**
 * Turns tokens into text as they come, whole characters only: a token that ends inside a character waits for the rest. Spaces between tokens are those of
 * the whole text, because each piece is decoded together with the one before it.
 */
public final class TextStreamer {
    private static final char BROKEN = '\uFFFD'; // what a decoder writes for part of a character

    private final Tokenizer tokenizer;
    private final boolean skipSpecialTokens;
    private long[] ids = new long[64];
    private int count;
    private int before; // start of the piece before
    private int shown; // tokens whose text was given out

    /** @param tokenizer stays the caller's */
    public TextStreamer(Tokenizer tokenizer, boolean skipSpecialTokens) {
        this.tokenizer = tokenizer;
        this.skipSpecialTokens = skipSpecialTokens;
    }

    /** One more token. @return the text that is certain now, often empty */
    public String push(long id) {
        if (count == ids.length) {
            ids = Arrays.copyOf(ids, 2 * count);
        }
        ids[count++] = id;
        String known = decode(before, shown);
        String all = decode(before, count);
        if (all.length() <= known.length() || all.charAt(all.length() - 1) == BROKEN) {
            return "";
        }
        before = shown;
        shown = count;
        return all.substring(known.length());
    }

    /** What is left at the end, without a character that was never completed. */
    public String finish() {
        String known = decode(before, shown);
        String all = decode(before, count);
        shown = count;
        int end = all.length();
        while (end > known.length() && all.charAt(end - 1) == BROKEN) {
            end--;
        }
        return end <= known.length() ? "" : all.substring(known.length(), end);
    }

    private String decode(int from, int to) {
        return from == to ? "" : tokenizer.decode(Arrays.copyOfRange(ids, from, to), skipSpecialTokens);
    }
}
