package dev.headstart.text;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What splits texts into tokens and joins them again. Implementations are thread-safe. */
interface Backend extends AutoCloseable {
    /** @param special whether the template's tokens are put around */
    Columns encode(String text, @Nullable String pair, boolean special);

    /** Many texts or pairs at once. */
    default List<Columns> encode(List<String> texts, @Nullable List<String> pairs, boolean special) {
        List<Columns> rows = new ArrayList<>(texts.size());
        for (int i = 0; i < texts.size(); i++)
            rows.add(encode(texts.get(i), pairs == null ? null : pairs.get(i), special));
        return rows;
    }

    /** A text that is split into words, or a pair of them; offsets count in the word that each token belongs to. */
    Columns encodeWords(List<String> words, @Nullable List<String> pair, boolean special);

    String decode(long[] ids, boolean skipSpecialTokens);

    @Override
    void close();
}
