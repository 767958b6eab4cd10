package dev.headstart.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.FeatureFormat;
import dev.headstart.data.FeatureWriter;
import dev.headstart.data.Features;
import dev.headstart.data.Format;
import dev.headstart.data.IdSet;
import dev.headstart.data.OnError;
import dev.headstart.data.ReadOptions;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import dev.headstart.pipeline.EmbedOptions;
import dev.headstart.pipeline.FeatureExtractor;
import dev.headstart.pipeline.FeatureExtractor.Pooling;
import dev.headstart.pipeline.ImageFeatures;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.text.Encoding;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * Features of many texts. The input is read and tokenized one window ahead of the model; a window is sorted by length, computed in batches of a token
 * budget, written in the input's order and committed, so memory does not grow with the input and a killed run goes on where it was.
 */
@Command(
        name = "extract",
        description = "Computes features of many texts or images and writes them to a file.",
        footer = {
            "",
            "The output's ending, or --format, chooses safetensors, npy, csv, jsonl or parquet. Until it is whole it stands in OUTPUT.partial;"
                    + " after a break the same command with --resume goes on, without a lost or doubled row."
        })
final class ExtractCommand implements Runnable {
    private static final int WINDOW_CHARS = 1 << 20;
    private static final int TOKEN_WINDOW_CHARS = 100_000;

    @Spec
    private @Nullable CommandSpec spec;

    @Option(names = "--model", required = true, paramLabel = "ID", description = "Folder or id.")
    private String model = "";

    @Option(
            names = "--input",
            required = true,
            paramLabel = "FILE",
            description = "csv, tsv, jsonl, json, txt, Parquet, also .gz; - for standard input; or a folder of images.")
    private String input = "";

    @Option(names = "--output", required = true, paramLabel = "FILE", description = "File to write.")
    private Path output = Path.of("");

    @Option(names = "--format", paramLabel = "F", description = "Of the output. Default: by its ending.")
    private @Nullable String format;

    @Option(
            names = "--input-format",
            paramLabel = "F",
            description = "Of the input. Default: by its ending or content.")
    private @Nullable String inputFormat;

    @Option(
            names = "--header",
            paramLabel = "yes|no",
            description = "Whether csv and tsv have a header line. Default: by looking.")
    private @Nullable String header;

    @Option(
            names = "--column",
            paramLabel = "NAME",
            description = "Column of the text. Default: by name, else by content.")
    private @Nullable String column;

    @Option(
            names = "--id-column",
            paramLabel = "NAME",
            description = "Column of the id. Default: one called id, if any.")
    private @Nullable String idColumn;

    @Option(
            names = "--pooling",
            paramLabel = "P",
            description =
                    "model (default: as modules.json says, else mean), mean, cls, max, none (one vector a token).")
    private Pooling pooling = Pooling.MODEL;

    @Option(
            names = "--layer",
            paramLabel = "N",
            description = "Hidden state: 0 embeddings, -1 the last layer. Default: the model's output.")
    private @Nullable Integer layer;

    @Option(
            names = "--prompt-name",
            paramLabel = "NAME",
            description = "One of the model's prompts. Default: the model's own default, with --pooling model.")
    private @Nullable String promptName;

    @Option(names = "--prompt", paramLabel = "TEXT", description = "Text to put before each input.")
    private @Nullable String prompt;

    @Option(
            names = "--truncate-dim",
            paramLabel = "N",
            description = "Dimensions to keep. Default: what the model says, else all.")
    private @Nullable Integer truncateDim;

    @Option(
            names = "--batch-tokens",
            paramLabel = "N",
            description = "Tokens, padding counted, that go through the model together. Default: 1024, on a GPU 16384.")
    private int batchTokens = PipelineOptions.DEFAULT.batchTokens();

    @Option(
            names = "--window",
            paramLabel = "N",
            description = "Rows that are sorted and committed together. Default: 2048.")
    private int window = 2048;

    @Option(names = "--resume", description = "Go on with an interrupted run.")
    private boolean resume;

    @Option(
            names = "--on-error",
            paramLabel = "skip|fail",
            description = "What to do with rows that cannot be used. Default: fail.")
    private OnError onError = OnError.FAIL;

    @Option(
            names = "--no-truncation",
            description = "Texts over the model's limit are rows that cannot be used, instead of being cut.")
    private boolean noTruncation;

    @Option(names = "--precision", paramLabel = "P", description = "auto, fp32 (default), bf16, int8.")
    private @Nullable String precision;

    @Mixin
    private DeviceOption device = new DeviceOption();

    @Option(names = "--revision", paramLabel = "REV", description = "Branch, tag or commit of the model.")
    private @Nullable String revision;

    @Option(names = "--offline", description = "Contact nothing.")
    private boolean offline;

    @Option(names = "--json", description = "Print a summary as one JSON object.")
    private boolean json;

    private long cut;
    private long rowsRead;

    /** One window: rows, their tokens, and how far the input has been read. */
    private record Window(
            List<Row> rows,
            List<Encoding> tokens,
            long consumed,
            double fraction,
            boolean last,
            Map<String, Long> skips) {}

    @Override
    public void run() {
        if (window < 1 || batchTokens < 0) {
            throw new HeadstartException("--window: expected at least 1, --batch-tokens: not below 0; found " + window
                    + " and " + batchTokens);
        }
        FeatureFormat target = FeatureFormat.of(format, output);
        EmbedOptions how = new EmbedOptions(prompt, promptName, truncateDim, false);
        LoadOptions load = LoadOptions.defaults()
                .withPrecision(precision)
                .withDevice(device.checked())
                .withRevision(revision)
                .withOffline(offline ? Boolean.TRUE : null);
        ReadOptions read = ReadOptions.defaults()
                .withFormat(inputFormat == null ? null : Format.of(inputFormat))
                .withHeader(header == null ? null : yes(header))
                .withOnError(onError);
        PrintWriter err = Objects.requireNonNull(spec).commandLine().getErr();
        long start = System.nanoTime();
        if (!input.equals("-") && Files.isDirectory(Path.of(input))) {
            folder(target, load, read, err, start);
            return;
        }
        try (RowReader reader = RowReader.open(input, read)) {
            Map<Role, String> given = new EnumMap<>(Role.class);
            if (column != null) {
                given.put(Role.TEXT, column);
            }
            if (idColumn != null) {
                given.put(Role.ID, idColumn);
            }
            Columns columns = Columns.infer(reader, given, List.of(Role.TEXT), List.of(Role.ID));
            try (FeatureWriter writer =
                    FeatureWriter.open(output, target, pooling == Pooling.NONE, settings(target), resume)) {
                if (!writer.complete()) {
                    PipelineOptions options =
                            PipelineOptions.DEFAULT.withLoad(load).withBatchTokens(batchTokens);
                    try (FeatureExtractor extractor = new FeatureExtractor(model, options, pooling, layer, how)) {
                        all(reader, columns, writer, extractor, err);
                    }
                }
                writer.finish();
                summary(reader, writer, (System.nanoTime() - start) / 1e9, err);
            }
        }
    }

    /** A folder of images. */
    private void folder(FeatureFormat target, LoadOptions load, ReadOptions read, PrintWriter err, long start) {
        if (pooling != Pooling.MODEL || layer != null) {
            throw new HeadstartException("--pooling and --layer are for texts; images have the model's pooled output");
        }
        try (RowReader reader = RowReader.open(Path.of(input), read);
                FeatureWriter writer = FeatureWriter.open(output, target, false, settings(target), resume)) {
            if (!writer.complete()) {
                try (ImageFeatures features = new ImageFeatures(model, PipelineOptions.DEFAULT.withLoad(load))) {
                    new ImageExtraction(reader, Path.of(input), features, writer).run(err);
                }
            }
            writer.finish();
            summary(reader, writer, (System.nanoTime() - start) / 1e9, err);
        }
    }

    private static boolean yes(String value) {
        return switch (value.toLowerCase(Locale.ROOT)) {
            case "yes", "true" -> true;
            case "no", "false" -> false;
            default -> throw new HeadstartException("--header: expected yes or no, found " + value);
        };
    }

    /** Everything that decides what the rows look like. */
    private String settings(FeatureFormat target) {
        String file = input;
        if (!input.equals("-")) {
            Path path = Path.of(input).toAbsolutePath().normalize();
            try {
                file = path + " of " + Files.size(path) + " bytes, " + Files.getLastModifiedTime(path);
            } catch (IOException e) {
                throw new HeadstartException(input + ": cannot be read: " + e.getMessage(), e);
            }
        }
        return String.join(
                "; ",
                "model " + model + (revision == null ? "" : "@" + revision),
                "input " + file,
                "format " + target,
                "columns " + column + " " + idColumn + " " + inputFormat + " " + header,
                "pooling " + pooling,
                "layer " + layer,
                "prompt " + promptName + " " + prompt,
                "dimensions " + truncateDim,
                "on error " + onError,
                "truncation " + !noTruncation,
                "precision " + precision);
    }

    private void all(
            RowReader reader, Columns columns, FeatureWriter writer, FeatureExtractor extractor, PrintWriter err) {
        long before = writer.consumed();
        if (before > 0) {
            err.println("resuming: " + String.format(Locale.ROOT, "%,d", before) + " rows are done");
            err.flush();
        }
        IdSet ids = new IdSet();
        ExecutorService ahead = Executors.newSingleThreadExecutor(work -> {
            Thread t = new Thread(work, "extract-reader");
            t.setDaemon(true);
            return t;
        });
        try {
            Future<Window> coming = ahead.submit(() -> window(reader, columns, ids, extractor, before));
            ProgressBar bar = null;
            while (true) {
                Window w = await(coming);
                if (bar == null) {
                    bar = new ProgressBar(
                            err,
                            TransferProgress.onTerminal(),
                            "extract",
                            "rows",
                            before,
                            w.consumed() == 0 ? 0 : w.fraction() * before / w.consumed());
                }
                if (!w.last()) {
                    coming = ahead.submit(() -> window(reader, columns, ids, extractor, before));
                }
                List<float[]> features = extractor.features(w.tokens());
                for (int i = 0; i < features.size(); i++) {
                    Row row = w.rows().get(i);
                    String id = columns.find(Role.ID) == null ? null : row.text(columns.get(Role.ID));
                    int tokens = pooling == Pooling.NONE ? w.tokens().get(i).length() : 1;
                    writer.write(new Features(row.number(), id, features.get(i), tokens));
                }
                writer.commit(w.consumed(), w.skips());
                bar.update(w.consumed(), w.fraction());
                if (w.last()) {
                    bar.close();
                    return;
                }
            }
        } finally {
            ahead.shutdownNow();
            try { // the reader must not be closed under its thread
                ahead.awaitTermination(1, java.util.concurrent.TimeUnit.MINUTES);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static Window await(Future<Window> coming) {
        try {
            return coming.get();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException r) {
                throw r;
            }
            if (e.getCause() instanceof Error r) {
                throw r;
            }
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new HeadstartException("interrupted; go on with --resume", e);
        }
    }

    /** Reads and tokenizes the next rows; those of an earlier run are checked again, for the counts and the ids, and left out. */
    private Window window(RowReader reader, Columns columns, IdSet ids, FeatureExtractor extractor, long before) {
        List<Row> rows = new ArrayList<>();
        List<Encoding> tokens = new ArrayList<>();
        long chars = 0;
        long consumed = before;
        int most = pooling == Pooling.NONE ? TOKEN_WINDOW_CHARS : WINDOW_CHARS;
        while (rows.size() < window && chars < most) {
            Row row = reader.next();
            if (row == null) {
                return new Window(
                        rows,
                        tokens,
                        Math.max(consumed, rowsRead),
                        1,
                        true,
                        reader.problems().byKind());
            }
            consumed = Math.max(consumed, row.number());
            rowsRead = consumed;
            if (!usable(row, columns, ids, reader)) {
                continue;
            }
            String text = row.text(columns.get(Role.TEXT));
            if (row.number() <= before && !noTruncation) {
                continue;
            }
            FeatureExtractor.Tokens t = extractor.tokenize(text);
            if (t.cut() && noTruncation) {
                reader.problems()
                        .report(
                                "text too long",
                                row.where() + ", column '" + columns.get(Role.TEXT) + "': " + t.whole()
                                        + " tokens, the model takes " + extractor.maxTokens());
                continue;
            }
            if (row.number() <= before) {
                continue;
            }
            cut += t.cut() ? 1 : 0;
            rows.add(row);
            tokens.add(t.encoding());
            chars += text.length();
        }
        return new Window(
                rows,
                tokens,
                consumed,
                reader.fraction(),
                false,
                reader.problems().byKind());
    }

    private static boolean usable(Row row, Columns columns, IdSet ids, RowReader reader) {
        String text = columns.get(Role.TEXT);
        if (!row.has(text) || row.values().get(text) instanceof String s && s.isBlank()) {
            boolean there = row.values().containsKey(text);
            reader.problems()
                    .report(
                            there ? "empty text" : "missing column",
                            row.where() + (there ? ", column '" + text + "': no text" : ": no column '" + text + "'"));
            return false;
        }
        String id = columns.find(Role.ID);
        if (id != null && !row.has(id)) {
            reader.problems().report("missing id", row.where() + ", column '" + id + "': no id");
            return false;
        }
        if (id != null && !ids.add(row.text(id))) {
            reader.problems()
                    .report(
                            "duplicate id",
                            row.where() + ", column '" + id + "': the id '" + row.text(id) + "' came before");
            return false;
        }
        return true;
    }

    private void summary(RowReader reader, FeatureWriter writer, double seconds, PrintWriter err) {
        if (json) {
            ObjectNode node = new ObjectMapper().createObjectNode();
            node.put("output", output.toString())
                    .put("rows", writer.written())
                    .put("skipped", reader.problems().skipped());
            node.put("cut", cut).put("seconds", seconds);
            PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
            out.println(node);
            out.flush();
        }
        err.println(String.format(
                        Locale.ROOT,
                        "%s: %,d rows in %s; %s",
                        output,
                        writer.written(),
                        Sizes.duration((long) Math.ceil(seconds)),
                        reader.problems().summary())
                + (cut > 0 ? String.format(Locale.ROOT, "; %,d texts were cut to the model's limit", cut) : ""));
        err.flush();
    }
}
