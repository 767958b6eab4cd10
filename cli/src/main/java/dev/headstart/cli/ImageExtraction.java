package dev.headstart.cli;

import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.FeatureWriter;
import dev.headstart.data.Features;
import dev.headstart.data.OnError;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import dev.headstart.pipeline.ImageFeatures;
import dev.headstart.vision.Image;
import dev.headstart.vision.ImageBatch;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** Features of an image folder: one window is decoded and resized, in parallel, while the model works on the one before. */
final class ImageExtraction {
    private static final int WINDOW = 64;

    private final RowReader reader;
    private final String column;
    private final Path folder;
    private final ImageFeatures features;
    private final FeatureWriter writer;
    private final boolean skip;
    private long seen;

    /** Images that are ready for the model, and how far the input has been read. */
    private record Window(
            List<Row> rows,
            List<ImageBatch> batches,
            long consumed,
            double fraction,
            boolean last,
            Map<String, Long> skips) {}

    ImageExtraction(RowReader reader, Path folder, ImageFeatures features, FeatureWriter writer) {
        this.reader = reader;
        this.folder = folder;
        this.features = features;
        this.writer = writer;
        this.skip = reader.options().onError() == OnError.SKIP;
        this.column =
                Columns.infer(reader, Map.of(), List.of(Role.IMAGE), List.of()).get(Role.IMAGE);
    }

    void run(PrintWriter err) {
        long before = writer.consumed();
        seen = before;
        if (before > 0) {
            err.println("resuming: " + before + " images are done");
            err.flush();
        }
        writer.skips().forEach((kind, n) -> reader.problems().carryOver(Map.of(kind, n)));
        for (long i = 0; i < before; i++) {
            reader.next();
        }
        ExecutorService ahead = Executors.newSingleThreadExecutor(work -> {
            Thread t = new Thread(work, "extract-images");
            t.setDaemon(true);
            return t;
        });
        try (ProgressBar bar =
                new ProgressBar(err, TransferProgress.onTerminal(), "extract", "images", before, reader.fraction())) {
            Future<Window> coming = ahead.submit(this::window);
            while (true) {
                Window w = await(coming);
                if (!w.last()) {
                    coming = ahead.submit(this::window);
                }
                List<float[]> vectors = features.images(w.batches());
                for (int i = 0; i < vectors.size(); i++) {
                    Row row = w.rows().get(i);
                    writer.write(new Features(row.number(), name(row), vectors.get(i), 1));
                }
                writer.commit(w.consumed(), w.skips());
                bar.update(w.consumed(), w.fraction());
                if (w.last()) {
                    return;
                }
            }
        } finally {
            ahead.shutdownNow();
        }
    }

    private String name(Row row) {
        Path file = Path.of(row.text(column));
        return (file.startsWith(folder) ? folder.relativize(file) : file).toString();
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

    private Window window() {
        List<Row> rows = new ArrayList<>();
        boolean last = false;
        while (rows.size() < WINDOW && !last) {
            Row row = reader.next();
            if (row == null) {
                last = true;
            } else {
                rows.add(row);
                seen = Math.max(seen, row.number());
            }
        }
        @Nullable ImageBatch[] images = new ImageBatch[rows.size()];
        @Nullable HeadstartException[] failures = new HeadstartException[rows.size()];
        IntStream.range(0, images.length).parallel().forEach(i -> {
            try {
                images[i] = features.prepare(Image.read(Path.of(rows.get(i).text(column))));
            } catch (HeadstartException e) {
                failures[i] = e;
            }
        });
        List<Row> good = new ArrayList<>();
        List<ImageBatch> prepared = new ArrayList<>();
        for (int i = 0; i < images.length; i++) {
            ImageBatch image = images[i];
            if (image != null) {
                good.add(rows.get(i));
                prepared.add(image);
            } else if (skip) {
                reader.problems()
                        .report(
                                "unreadable image",
                                String.valueOf(
                                        Objects.requireNonNull(failures[i]).getMessage()));
            } else {
                throw new HeadstartException(
                        Objects.requireNonNull(failures[i]).getMessage()
                                + "; or leave such files out with --on-error skip, and go on with --resume",
                        failures[i]);
            }
        }
        return new Window(
                good, prepared, seen, reader.fraction(), last, reader.problems().byKind());
    }
}
