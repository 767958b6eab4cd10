package dev.headstart.text;

import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Encodings of given ids, for tests that start where the tokenizer ends. */
public final class Encodings {
    private Encodings() {}

    /** Tokens that all count. @param typeIds null for a family without segments */
    public static Encoding of(long[] ids, long @Nullable [] typeIds) {
        Columns c = new Columns(ids.length);
        System.arraycopy(ids, 0, c.ids, 0, ids.length);
        Arrays.fill(c.tokens, "");
        Arrays.fill(c.attention, 1);
        if (typeIds != null) {
            System.arraycopy(typeIds, 0, c.typeIds, 0, ids.length);
        }
        return new Encoding(c, typeIds != null, List.of());
    }
}
