package dev.headstart.train.pretrain;

import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.ReadOptions;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The documents of a pre-training run, read piece by piece: a text file is one document, a row of a jsonl, csv, tsv or Parquet file is one. The last part
 * of every text file, and every nth row, is held out for validation.
 */
final class Corpus {
    private static final Logger LOG = LoggerFactory.getLogger(Pretrain.class);
    private static final Pattern LEGAL = Pattern.compile("(?i)(licen[cs]e|copying|notice|readme).*");
    private static final List<String> TABLES = List.of(".jsonl", ".csv", ".tsv", ".parquet");
    private static final int PIECE = 4096;
    private final List<Path> files;
    private final double heldOut;

    /** Which part of the documents. */
    enum Split {
        TRAIN,
        VALIDATION
    }

    /** Takes documents. */
    interface Sink {
        /** A piece of a document, whole lines with their ends; the pieces together are the document. */
        void text(String piece);

        /** The document is complete. */
        void endOfDocument();
    }

    /**
     * @param data files and folders
     * @param heldOut part of the data that is the validation split, in (0, 1)
     * @throws HeadstartException when there is no text
     */
    Corpus(List<Path> data, double heldOut) {
        if (!(heldOut > 0 && heldOut < 1)) {
            throw new HeadstartException("--validation-split must be between 0 and 1, found " + heldOut);
        }
        this.heldOut = heldOut;
        files = new ArrayList<>();
        for (Path path : data) {
            if (Files.isRegularFile(path)) {
                files.add(path);
            } else if (Files.isDirectory(path)) {
                files.addAll(inside(path));
            } else {
                throw new HeadstartException(path + ": no such file or folder; --data takes text files (.txt), tables"
                        + " with a text column (.jsonl, .csv, .tsv, .parquet), and folders of them");
            }
        }
        if (files.isEmpty()) {
            throw new HeadstartException(data + ": no .txt, .jsonl, .csv, .tsv or .parquet file found there");
        }
    }

    private static List<Path> inside(Path folder) {
        try (Stream<Path> all = Files.walk(folder, FileVisitOption.FOLLOW_LINKS)) {
            return all.filter(Files::isRegularFile)
                    .filter(f -> name(f).endsWith(".txt") || isTable(f))
                    .filter(f -> !LEGAL.matcher(name(f)).matches())
                    .sorted()
                    .toList();
        } catch (IOException e) {
            throw new HeadstartException(folder + ": cannot be listed: " + e.getMessage(), e);
        }
    }

    private static String name(Path file) {
        return String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
    }

    private static boolean isTable(Path file) {
        return TABLES.stream().anyMatch(name(file)::endsWith);
    }

    /** The files, in the order they are read. */
    List<Path> files() {
        return files;
    }

    /** Names and sizes of the files, and what is held out: a resumed run must have the same. */
    String fingerprint() {
        StringBuilder b = new StringBuilder("held out " + heldOut);
        try {
            for (Path f : files) {
                b.append("; ").append(f.getFileName()).append(' ').append(Files.size(f));
            }
        } catch (IOException e) {
            throw new HeadstartException("the data cannot be read: " + e.getMessage(), e);
        }
        return b.toString();
    }

    /** Reads one split from beginning to end; memory does not grow with its size. */
    void read(Split split, Sink sink) {
        for (Path file : files) {
            LOG.debug("{}: reading {}", file, split);
            try {
                if (isTable(file)) {
                    table(file, split, sink);
                } else {
                    text(file, split, sink);
                }
            } catch (MalformedInputException e) {
                throw new HeadstartException(file + ": not UTF-8 text; convert it, or leave it out of --data", e);
            } catch (IOException e) {
                throw new HeadstartException(file + ": cannot be read: " + e.getMessage(), e);
            }
        }
    }

    private void text(Path file, Split split, Sink sink) throws IOException {
        long cut = Math.round(Files.size(file) * (1 - heldOut));
        long at = 0;
        StringBuilder piece = new StringBuilder();
        boolean any = false;
        try (BufferedReader in = Files.newBufferedReader(file)) {
            String line;
            while ((line = in.readLine()) != null) {
                if (at == 0 && line.startsWith("\uFEFF")) {
                    line = line.substring(1);
                }
                boolean train = at < cut;
                at += bytes(line) + 1;
                if (train != (split == Split.TRAIN)) {
                    continue;
                }
                piece.append(line).append('\n');
                if (piece.length() >= PIECE) {
                    sink.text(piece.toString());
                    piece.setLength(0);
                }
                any = true;
            }
        }
        if (!piece.isEmpty()) {
            sink.text(piece.toString());
        }
        if (any) {
            sink.endOfDocument();
        }
    }

    private static int bytes(String line) {
        int n = 0;
        for (int i = 0; i < line.length(); i++) {
            char c = line.charAt(i);
            n += c < 0x80 ? 1 : c < 0x800 || Character.isSurrogate(c) ? 2 : 3;
        }
        return n;
    }

    private void table(Path file, Split split, Sink sink) {
        long every = Math.max(2, Math.round(1 / heldOut));
        try (RowReader reader = RowReader.open(file, ReadOptions.defaults())) {
            if (reader.peek(1).isEmpty()) {
                return;
            }
            String column = Columns.infer(reader, Map.of(), List.of(Columns.Role.TEXT), List.of())
                    .get(Columns.Role.TEXT);
            long n = 0;
            for (Row row = reader.next(); row != null; row = reader.next()) {
                boolean validation = n++ % every == every - 1;
                if (validation == (split == Split.VALIDATION)) {
                    sink.text(row.text(column) + "\n");
                    sink.endOfDocument();
                }
            }
        }
    }
}
