package dev.headstart.text;

import ai.djl.huggingface.tokenizers.jni.CharSpan;
import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.lang.ref.Cleaner;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * One native tokenizer, with its truncation and padding off for good, so that encoding never changes it and threads may share it. Closing
 * waits for calls that run.
 */
final class Engine implements Backend {
    private static final Cleaner CLEANER = Cleaner.create();

    private static final class Handle implements Runnable {
        private final TokenizersLibrary library;
        private long address;

        Handle(TokenizersLibrary library, long address) {
            this.library = library;
            this.address = address;
        }

        @Override
        public synchronized void run() {
            if (address != 0) library.deleteTokenizer(address);
            address = 0;
        }
    }

    private final TokenizersLibrary library;
    private final Handle handle;
    private final IntFunction<@Nullable String> tokenById;
    private final Map<Integer, Integer> decodedAs;
    private final Cleaner.Cleanable cleanable;
    private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();

    /** Every token under its own spelling. */
    Engine(String json, String where, IntFunction<@Nullable String> tokenById) {
        this(json, where, tokenById, Map.of());
    }

    /**
     * @param json a tokenizer.json
     * @param where its file, for errors
     * @param tokenById the vocabulary's spelling of an id; the library's own token of an unknown piece is the piece
     * @param decodedAs ids that are decoded as others
     */
    Engine(String json, String where, IntFunction<@Nullable String> tokenById, Map<Integer, Integer> decodedAs) {
        this.tokenById = tokenById;
        this.decodedAs = decodedAs;
        library = NativeTokenizers.library();
        long address;
        try {
            address = library.createTokenizerFromString(json);
        } catch (RuntimeException e) {
            throw new HeadstartException(
                    where + ": the tokenizers library cannot read it (" + TokenizerJson.oneLine(e.getMessage())
                            + "); the file is damaged or of a newer kind, fetch it again or update Headstart",
                    e);
        }
        library.disableTruncation(address);
        library.disablePadding(address);
        handle = new Handle(library, address);
        cleanable = CLEANER.register(this, handle);
    }

    /** What a tokenizer.json's normalizer makes of texts: they come back whole from a model that knows no piece of them. */
    static List<String> normalized(JsonNode normalizer, List<String> texts, String where) {
        ObjectNode probe = TokenizerJson.MAPPER.createObjectNode().put("version", "1.0");
        probe.putArray("added_tokens");
        probe.set("normalizer", normalizer);
        ObjectNode model = probe.putObject("model").put("type", "Unigram").put("unk_id", 0);
        model.putArray("vocab").addArray().add("<unk>").add(0.0);
        try (Engine engine = new Engine(probe.toString(), where, id -> null)) {
            return texts.stream().map(engine::pieces).toList();
        }
    }

    private String pieces(String text) {
        return call(t -> {
            long encoding = library.encode(t, sound(text), false);
            try {
                return String.join("", library.getTokens(encoding));
            } finally {
                library.deleteEncoding(encoding);
            }
        });
    }

    private interface Call<T> {
        T on(long tokenizer);
    }

    private <T> T call(Call<T> call) {
        lock.readLock().lock();
        try {
            if (handle.address == 0) throw new IllegalStateException("this tokenizer is closed");
            return call.on(handle.address);
        } finally {
            lock.readLock().unlock();
        }
    }

    @Override
    public Columns encode(String text, @Nullable String pair, boolean special) {
        String a = sound(text);
        String b = pair == null ? null : sound(pair);
        return call(t -> read(
                b == null ? library.encode(t, a, special) : library.encodeDual(t, a, b, special),
                b == null ? List.of(a) : List.of(a, b)));
    }

    /** On all processors. */
    @Override
    public List<Columns> encode(List<String> texts, @Nullable List<String> pairs, boolean special) {
        String[] a = texts.stream().map(Engine::sound).toArray(String[]::new);
        String[] b = pairs == null ? null : pairs.stream().map(Engine::sound).toArray(String[]::new);
        return call(t -> {
            long[] encodings =
                    b == null ? library.batchEncode(t, a, special) : library.batchEncodePair(t, a, b, special);
            return IntStream.range(0, a.length)
                    .parallel()
                    .mapToObj(i -> read(encodings[i], b == null ? List.of(a[i]) : List.of(a[i], b[i])))
                    .toList();
        });
    }

    @Override
    public Columns encodeWords(List<String> words, @Nullable List<String> pair, boolean special) {
        if (pair == null) return words(words, special);
        // The library takes no pair of word lists: the template comes from the joined texts, the tokens from each list.
        Columns joined = encode(String.join(" ", words), String.join(" ", pair), special);
        Columns first = words(words, false);
        Columns second = words(pair, false);
        List<Columns> parts = new ArrayList<>();
        int seen = -1;
        for (int i = 0; i < joined.length(); i++) {
            int sequence = joined.sequenceIds[i];
            if (sequence < 0) {
                parts.add(joined.select(new int[] {i}));
            } else if (sequence != seen) {
                parts.add((sequence == 0 ? first : second).asSequence(sequence, (int) joined.typeIds[i]));
                seen = sequence;
            }
        }
        return Columns.join(parts);
    }

    private Columns words(List<String> words, boolean special) {
        String[] a = words.stream().map(Engine::sound).toArray(String[]::new);
        return call(t -> {
            Columns c = read(library.encodeList(t, a, special), List.of());
            for (int i = 0; i < c.length(); i++) {
                if (c.wordIds[i] >= 0 && c.wordIds[i] < a.length) utf16(c, i, a[c.wordIds[i]]);
            }
            return c;
        });
    }

    @Override
    public String decode(long[] ids, boolean skipSpecialTokens) {
        long[] known = decodedAs.isEmpty()
                ? ids
                : Arrays.stream(ids)
                        .map(id -> decodedAs.getOrDefault((int) id, (int) id))
                        .toArray();
        return call(t -> library.decode(t, known, skipSpecialTokens));
    }

    @Override
    public void close() {
        lock.writeLock().lock();
        try {
            cleanable.clean();
        } finally {
            lock.writeLock().unlock();
        }
    }

    private Columns read(long encoding, List<String> texts) {
        try {
            long[] ids = library.getTokenIds(encoding);
            long[] typeIds = library.getTypeIds(encoding);
            long[] words = library.getWordIds(encoding);
            long[] sequences = library.getSequenceIds(encoding);
            long[] special = library.getSpecialTokenMask(encoding);
            CharSpan[] spans = library.getTokenCharSpans(encoding);
            Columns c = new Columns(ids.length);
            for (int i = 0; i < ids.length; i++) {
                c.ids[i] = ids[i];
                c.typeIds[i] = typeIds[i];
                c.tokens[i] = token(ids[i]);
                c.special[i] = (int) special[i];
                c.wordIds[i] = (int) words[i];
                c.sequenceIds[i] = special[i] == 1 ? -1 : (int) sequences[i];
                c.attention[i] = 1;
                CharSpan span = spans[i];
                if (span != null) {
                    c.start[i] = c.pointStart[i] = span.getStart();
                    c.end[i] = c.pointEnd[i] = span.getEnd();
                }
            }
            for (int s = 0; s < texts.size(); s++) utf16(c, s, texts.get(s).length(), texts.get(s));
            return c;
        } finally {
            library.deleteEncoding(encoding);
        }
    }

    private String token(long id) {
        String token = tokenById.apply((int) id);
        return token == null ? "" : token;
    }

    /** Sets the UTF-16 offsets of one sequence's tokens. */
    private static void utf16(Columns c, int sequence, int length, String text) {
        int points = text.codePointCount(0, length);
        if (points == length) return;
        int[] index = new int[points + 1];
        for (int p = 0, i = 0; p < points; p++) {
            index[p] = i;
            i += Character.charCount(text.codePointAt(i));
        }
        index[points] = length;
        for (int i = 0; i < c.length(); i++) {
            if (c.sequenceIds[i] != sequence) continue;
            c.start[i] = index[Math.min(c.pointStart[i], points)];
            c.end[i] = index[Math.min(c.pointEnd[i], points)];
        }
    }

    private static void utf16(Columns c, int i, String word) {
        int points = word.codePointCount(0, word.length());
        if (points == word.length()) return;
        c.start[i] = word.offsetByCodePoints(0, Math.min(c.pointStart[i], points));
        c.end[i] = word.offsetByCodePoints(0, Math.min(c.pointEnd[i], points));
    }

    /** The text with unpaired surrogates, which no encoding of Unicode can hold, replaced one for one by U+FFFD. */
    static String sound(String text) {
        StringBuilder fixed = null;
        for (int i = 0; i < text.length(); i++) {
            char ch = text.charAt(i);
            if (!Character.isSurrogate(ch)) continue;
            if (Character.isHighSurrogate(ch)
                    && i + 1 < text.length()
                    && Character.isLowSurrogate(text.charAt(i + 1))) {
                i++;
                continue;
            }
            if (fixed == null) fixed = new StringBuilder(text);
            fixed.setCharAt(i, '\uFFFD');
        }
        return fixed == null ? text : fixed.toString();
    }
}
