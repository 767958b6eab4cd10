package dev.headstart.text;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Puts fixed tokens before and after a text instead of the template of the backend inside: language codes and the end of sentence, as
 * translation models want them. Both texts of a pair come between, without a separator. Does not own the backend inside.
 */
final class AffixBackend implements Backend {
    private final Backend inside;
    private final Columns prefix;
    private final Columns suffix;

    AffixBackend(Backend inside, Vocabulary vocabulary, List<String> prefix, List<String> suffix) {
        this.inside = inside;
        this.prefix = columns(vocabulary, prefix);
        this.suffix = columns(vocabulary, suffix);
    }

    private static Columns columns(Vocabulary vocabulary, List<String> tokens) {
        Columns c = new Columns(tokens.size());
        for (int i = 0; i < tokens.size(); i++) {
            Integer known = vocabulary.id(tokens.get(i));
            int id = known == null ? vocabulary.unkId() : known;
            String spelling = vocabulary.token(id);
            c.ids[i] = id;
            c.tokens[i] = spelling == null ? tokens.get(i) : spelling;
            c.special[i] = 1;
            c.attention[i] = 1;
            c.wordIds[i] = -1;
            c.sequenceIds[i] = -1;
        }
        return c;
    }

    @Override
    public Columns encode(String text, @Nullable String pair, boolean special) {
        return around(
                inside.encode(text, null, false), pair == null ? null : inside.encode(pair, null, false), special);
    }

    @Override
    public List<Columns> encode(List<String> texts, @Nullable List<String> pairs, boolean special) {
        List<Columns> a = inside.encode(texts, null, false);
        List<Columns> b = pairs == null ? null : inside.encode(pairs, null, false);
        List<Columns> rows = new ArrayList<>(a.size());
        for (int i = 0; i < a.size(); i++) rows.add(around(a.get(i), b == null ? null : b.get(i), special));
        return rows;
    }

    @Override
    public Columns encodeWords(List<String> words, @Nullable List<String> pair, boolean special) {
        return around(
                inside.encodeWords(words, null, false),
                pair == null ? null : inside.encodeWords(pair, null, false),
                special);
    }

    private Columns around(Columns a, @Nullable Columns b, boolean special) {
        List<Columns> parts = new ArrayList<>();
        if (special) parts.add(prefix);
        parts.add(a);
        if (b != null) parts.add(b.asSequence(1, 0));
        if (special) parts.add(suffix);
        return Columns.join(parts);
    }

    @Override
    public String decode(long[] ids, boolean skipSpecialTokens) {
        return inside.decode(ids, skipSpecialTokens);
    }

    @Override
    public void close() {}
}
