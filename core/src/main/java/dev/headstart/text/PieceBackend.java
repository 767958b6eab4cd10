package dev.headstart.text;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A SentencePiece model whose pieces get their ids from a vocab.json of their own: Marian (transformers MarianTokenizer) and M2M100
 * (M2M100Tokenizer). Knows no template; {@link AffixBackend} adds it.
 */
final class PieceBackend implements Backend {
    private final Engine pieces;
    private final Vocabulary vocabulary;
    private final boolean marian;

    PieceBackend(Engine pieces, Vocabulary vocabulary, boolean marian) {
        this.pieces = pieces;
        this.vocabulary = vocabulary;
        this.marian = marian;
    }

    @Override
    public Columns encode(String text, @Nullable String pair, boolean special) {
        Columns a = one(text);
        return pair == null ? a : Columns.join(List.of(a, one(pair).asSequence(1, 0)));
    }

    private Columns one(String text) {
        int code = marian && text.startsWith(">>") ? text.indexOf("<<") + 2 : 0;
        if (code < 2) return ids(pieces.encode(text, null, false));
        Columns language = new Columns(1); // >>fr<< names the target language
        language.tokens[0] = text.substring(0, code);
        language.attention[0] = 1;
        language.end[0] = code;
        language.pointEnd[0] = text.codePointCount(0, code);
        Columns rest = pieces.encode(text.substring(code), null, false);
        for (int i = 0; i < rest.length(); i++) {
            rest.start[i] += code;
            rest.end[i] += code;
            rest.pointStart[i] += language.pointEnd[0];
            rest.pointEnd[i] += language.pointEnd[0];
        }
        return ids(Columns.join(List.of(language, rest)));
    }

    private Columns ids(Columns c) {
        for (int i = 0; i < c.length(); i++) {
            Integer known = vocabulary.id(c.tokens[i]);
            c.ids[i] = known == null ? vocabulary.unkId() : known;
            String spelling = vocabulary.token((int) c.ids[i]);
            if (spelling != null) c.tokens[i] = spelling;
        }
        return c;
    }

    @Override
    public Columns encodeWords(List<String> words, @Nullable List<String> pair, boolean special) {
        Columns a = ids(pieces.encodeWords(words, null, false));
        return pair == null
                ? a
                : Columns.join(
                        List.of(a, ids(pieces.encodeWords(pair, null, false)).asSequence(1, 0)));
    }

    @Override
    public String decode(long[] ids, boolean skipSpecialTokens) {
        StringBuilder text = new StringBuilder();
        List<String> run = new ArrayList<>();
        for (long id : ids) {
            String token = vocabulary.token((int) id);
            if (token == null) continue;
            if (!vocabulary.isSpecial(token)) {
                run.add(token);
                continue;
            }
            if (skipSpecialTokens) continue;
            text.append(join(run)).append(token);
            if (marian) text.append(' ');
            run.clear();
        }
        return text.append(join(run)).toString().strip();
    }

    private static String join(List<String> run) {
        String text = String.join("", run).replace('\u2581', ' ');
        return text.startsWith(" ") ? text.substring(1) : text;
    }

    @Override
    public void close() {
        pieces.close();
    }
}
