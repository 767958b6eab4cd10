package dev.headstart.train.pretrain;

import dev.headstart.HeadstartException;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.pretrain.Corpus.Split;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.text.BreakIterator;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A corpus tokenized once: for each split a shard of tokens and, where sentences matter, where they and the documents begin. */
final class Shards implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Pretrain.class);
    private static final int BATCH = 256;
    private final Path folder;
    private final int vocabSize;
    private final List<AutoCloseable> open = new ArrayList<>();

    private Shards(Path folder, int vocabSize) {
        this.folder = folder;
        this.vocabSize = vocabSize;
    }

    /** Tokens of a split. */
    TokenShard tokens(Split split) {
        TokenShard shard = TokenShard.open(file(folder, split, "tokens"), vocabSize);
        open.add(shard);
        return shard;
    }

    /** Where sentences begin, and after the last the end; as positions in the tokens. */
    TokenShard sentences(Split split) {
        TokenShard shard = TokenShard.open(file(folder, split, "sentences"), Integer.MAX_VALUE);
        open.add(shard);
        return shard;
    }

    /** Indexes of the sentences with which documents begin, and after the last their number. */
    long[] documents(Split split) {
        try (TokenShard shard = TokenShard.open(file(folder, split, "documents"), Integer.MAX_VALUE)) {
            return shard.read(0, Math.toIntExact(shard.length()));
        }
    }

    private static Path file(Path folder, Split split, String what) {
        return folder.resolve(split.name().toLowerCase(Locale.ROOT) + "." + what);
    }

    @Override
    public void close() {
        for (AutoCloseable c : open) {
            ((TokenShard) c).close();
        }
    }

    /**
     * Tokenizes, or takes what an earlier run of the same data left.
     *
     * @param sentences whether sentences are told apart; documents have no end token then
     * @param end token after each document, if any
     * @throws HeadstartException when a split is empty or the folder cannot be written
     */
    static Shards of(
            Path folder, Corpus corpus, Tokenizer tokenizer, boolean sentences, OptionalInt end, boolean resume) {
        Path mark = folder.resolve("corpus.txt");
        String content = corpus.fingerprint() + "; sentences " + sentences + "; " + tokenizer.vocabSize() + " tokens";
        try {
            if (resume && Files.isRegularFile(mark)) {
                if (!Files.readString(mark).equals(content)) {
                    throw new HeadstartException(folder + ": --resume found other data than the run began with; resume"
                            + " with the same data, or start anew in another --output");
                }
                return new Shards(folder, tokenizer.vocabSize());
            }
            Files.createDirectories(folder);
            for (Split split : Split.values()) {
                try (Writer writer = new Writer(folder, split, tokenizer, sentences, end)) {
                    corpus.read(split, writer);
                    writer.finish();
                    LOG.info(
                            "{}: {} tokens in {} documents",
                            split.name().toLowerCase(Locale.ROOT),
                            String.format(Locale.ROOT, "%,d", writer.tokens.length()),
                            writer.documents);
                }
            }
            Files.writeString(mark, content);
            return new Shards(folder, tokenizer.vocabSize());
        } catch (IOException e) {
            throw new HeadstartException(
                    folder + ": the tokens cannot be written (" + e.getMessage() + "); free space or choose another"
                            + " --output",
                    e);
        }
    }

    private static final class Writer implements Corpus.Sink, AutoCloseable {
        private final Tokenizer tokenizer;
        private final OptionalInt end;
        private final TokenShard.Writer tokens;
        private final TokenShard.@Nullable Writer starts;
        private final TokenShard.@Nullable Writer firsts;
        private final List<String> waiting = new ArrayList<>();
        private boolean begun;
        private long documents;

        Writer(Path folder, Split split, Tokenizer tokenizer, boolean sentences, OptionalInt end) throws IOException {
            this.tokenizer = tokenizer;
            this.end = end;
            tokens = new TokenShard.Writer(file(folder, split, "tokens"), tokenizer.vocabSize());
            starts = sentences ? new TokenShard.Writer(file(folder, split, "sentences"), Integer.MAX_VALUE) : null;
            firsts = sentences ? new TokenShard.Writer(file(folder, split, "documents"), Integer.MAX_VALUE) : null;
        }

        @Override
        public void text(String piece) {
            if (starts == null) {
                waiting.add(piece);
            } else {
                for (String paragraph : piece.split("\\n\\s*\\n")) {
                    sentences(paragraph.replace('\n', ' '), waiting);
                }
            }
            if (waiting.size() >= BATCH) {
                flush();
            }
        }

        @Override
        public void endOfDocument() {
            flush();
            if (begun && end.isPresent()) {
                try {
                    tokens.add(end.getAsInt());
                } catch (IOException e) {
                    throw failed(e);
                }
            }
            documents += begun ? 1 : 0;
            begun = false;
        }

        private void flush() {
            if (waiting.isEmpty()) {
                return;
            }
            try {
                for (Encoding e : tokenizer
                        .encode(List.copyOf(waiting), EncodeOptions.DEFAULT.withSpecialTokens(false))
                        .encodings()) {
                    add(e.ids());
                }
            } catch (IOException e) {
                throw failed(e);
            }
            waiting.clear();
        }

        private void add(long[] ids) throws IOException {
            if (ids.length == 0) {
                return;
            }
            if (starts != null && firsts != null) {
                if (tokens.length() + ids.length > Integer.MAX_VALUE) {
                    throw new HeadstartException(
                            "more than 2^31 tokens are too many for sentence pairs; use --objective"
                                    + " mlm, or less data");
                }
                if (!begun) {
                    firsts.add(starts.length());
                }
                starts.add(tokens.length());
            }
            begun = true;
            for (long id : ids) {
                tokens.add(id);
            }
        }

        private static HeadstartException failed(IOException e) {
            return new HeadstartException("the tokens cannot be written: " + e.getMessage(), e);
        }

        void finish() throws IOException {
            if (starts != null && firsts != null) {
                firsts.add(starts.length());
                starts.add(tokens.length());
            }
        }

        @Override
        public void close() throws IOException {
            tokens.close();
            if (starts != null && firsts != null) {
                starts.close();
                firsts.close();
            }
        }
    }

    /** Adds the sentences of a text. */
    static void sentences(String text, List<String> to) {
        BreakIterator breaks = BreakIterator.getSentenceInstance(Locale.ROOT);
        breaks.setText(text);
        int from = breaks.first();
        for (int at = breaks.next(); at != BreakIterator.DONE; from = at, at = breaks.next()) {
            String sentence = text.substring(from, at).strip();
            if (!sentence.isEmpty()) {
                to.add(sentence);
            }
        }
    }
}
