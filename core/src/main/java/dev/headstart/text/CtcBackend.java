package dev.headstart.text;

import dev.headstart.text.Tokenizer.CtcUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Letters for speech recognition by CTC (transformers Wav2Vec2CTCTokenizer): the padding token is the blank, "|" stands between words. */
final class CtcBackend implements Backend {
    private final Vocabulary vocabulary;
    private final List<String> special;
    private final String blank;
    private final String delimiter;
    private final String delimiterText;
    private final boolean upperCase;

    CtcBackend(Vocabulary vocabulary, TokenizerConfig config) {
        this.vocabulary = vocabulary;
        this.special = TokenizerConfig.NAMED.stream()
                .map(config::special)
                .filter(t -> t != null)
                .map(String::valueOf)
                .distinct()
                .toList();
        this.blank = or(config.special("pad_token"), "<pad>");
        this.delimiter = or(TokenizerConfig.text(config.raw, "word_delimiter_token"), "|");
        this.delimiterText = or(TokenizerConfig.text(config.raw, "replace_word_delimiter_char"), " ");
        this.upperCase = config.flag("do_lower_case", false); // the name is transformers'; texts become upper case
    }

    private static String or(@Nullable String value, String otherwise) {
        return value == null ? otherwise : value;
    }

    @Override
    public Columns encode(String text, @Nullable String pair, boolean withSpecial) {
        Columns a = one(text, 0);
        return pair == null ? a : Columns.join(List.of(a, one(pair, 0).asSequence(1, 0)));
    }

    @Override
    public Columns encodeWords(List<String> words, @Nullable List<String> pair, boolean withSpecial) {
        Columns a = words(words);
        return pair == null ? a : Columns.join(List.of(a, words(pair).asSequence(1, 0)));
    }

    private Columns words(List<String> words) {
        List<Columns> parts = new ArrayList<>();
        for (int i = 0; i < words.size(); i++) {
            Columns word = one(" " + words.get(i), i);
            for (int k = 0; k < word.length(); k++) {
                word.start[k] = Math.max(0, word.start[k] - 1);
                word.end[k]--;
                word.pointStart[k] = Math.max(0, word.pointStart[k] - 1);
                word.pointEnd[k]--;
            }
            parts.add(word);
        }
        return Columns.join(parts);
    }

    private Columns one(String text, int word) {
        List<Columns> parts = new ArrayList<>();
        for (int i = 0, point = 0; i < text.length(); ) {
            int from = i;
            String token = special.stream()
                    .filter(s -> text.startsWith(s, from))
                    .findFirst()
                    .orElse(null);
            int end = i + (token == null ? Character.charCount(text.codePointAt(i)) : token.length());
            String letter = token != null ? token : text.substring(i, end);
            if (token == null && upperCase) letter = letter.toUpperCase(Locale.ROOT);
            if (letter.equals(" ")) letter = delimiter;
            Integer known = vocabulary.id(letter);
            int id = known == null ? vocabulary.unkId() : known;
            String spelling = vocabulary.token(id);
            Columns c = new Columns(1);
            c.ids[0] = id;
            c.tokens[0] = spelling == null ? letter : spelling;
            c.attention[0] = 1;
            c.wordIds[0] = word;
            c.start[0] = i;
            c.end[0] = end;
            c.pointStart[0] = point;
            point += text.codePointCount(i, end);
            c.pointEnd[0] = point;
            parts.add(c);
            i = end;
        }
        return Columns.join(parts);
    }

    /** Runs of the same token become one, blanks vanish. */
    private List<CtcUnit> letters(long[] ids, boolean skipSpecialTokens) {
        List<CtcUnit> units = new ArrayList<>();
        String last = null;
        int frame = 0;
        for (long id : ids) {
            String token = or(vocabulary.token((int) id), or(vocabulary.token(vocabulary.unkId()), ""));
            if (skipSpecialTokens && special.contains(token) && !token.equals(delimiter)) {
                frame++; // as in transformers: a blank that is skipped no longer separates equal letters
                continue;
            }
            int at = frame++;
            if (token.equals(last)) {
                if (!token.equals(blank)) {
                    CtcUnit unit = units.remove(units.size() - 1);
                    units.add(new CtcUnit(unit.text(), unit.start(), at + 1));
                }
                continue;
            }
            last = token;
            if (!token.equals(blank))
                units.add(new CtcUnit(token.equals(delimiter) ? delimiterText : token, at, at + 1));
        }
        return units;
    }

    @Override
    public String decode(long[] ids, boolean skipSpecialTokens) {
        StringBuilder text = new StringBuilder();
        letters(ids, skipSpecialTokens).forEach(u -> text.append(u.text()));
        String joined = text.toString().strip();
        return upperCase ? joined.toLowerCase(Locale.ROOT) : joined;
    }

    List<CtcUnit> units(long[] ids, boolean words) {
        List<CtcUnit> letters = letters(ids, false);
        if (!words) return List.copyOf(letters);
        List<CtcUnit> list = new ArrayList<>();
        StringBuilder word = new StringBuilder();
        int start = 0;
        int end = 0;
        for (CtcUnit letter : letters) {
            if (letter.text().equals(delimiterText)) {
                if (word.length() > 0) list.add(new CtcUnit(word.toString(), start, end));
                word.setLength(0);
                continue;
            }
            if (word.length() == 0) start = letter.start();
            end = letter.end();
            word.append(letter.text());
        }
        if (word.length() > 0) list.add(new CtcUnit(word.toString(), start, end));
        return List.copyOf(list);
    }

    @Override
    public void close() {}
}
