package dev.headstart.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.data.OnError;
import dev.headstart.data.Problems;
import dev.headstart.hub.FileSelection;
import dev.headstart.hub.Hub;
import dev.headstart.io.StagedFile;
import dev.headstart.pipeline.ImageFeatures;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.vision.Image;
import dev.headstart.vision.ImageBatch;
import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Images of a folder by their likeness to an image or a text. */
@Command(
        name = "search",
        description = "Finds the images of a folder that are most like an image, or fit a text best.",
        footer = {
            "",
            "A query that names a file is an image; anything else is a text and needs a CLIP model. Scores are cosines"
                    + " of the model's features, -1 to 1. Files that cannot be read are reported and left out (--on-error fail:"
                    + " the first ends it)."
        })
final class SearchCommand implements Runnable {
    private static final int WINDOW = 32;
    private static final String CLIP = "openai/clip-vit-base-patch32";
    private static final String SMALL = "headstart/cifar10-resnet14";
    private static final Logger LOG = LoggerFactory.getLogger(SearchCommand.class);

    @Spec
    private @Nullable CommandSpec spec;

    @Option(names = "--query", required = true, paramLabel = "FILE|TEXT", description = "An image file, or a text.")
    private String query = "";

    @Option(
            names = "--folder",
            required = true,
            paramLabel = "DIR",
            description = "Where to search, subfolders included.")
    private Path folder = Path.of("");

    @Option(
            names = "--model",
            paramLabel = "ID",
            description = {
                "CLIP for texts; for images any model with image features. Default: " + CLIP
                        + ", for an image where that" + " cannot be had " + SMALL + "."
            })
    private @Nullable String model;

    @Option(names = "--top-k", paramLabel = "K", description = "How many to show (${DEFAULT-VALUE}).")
    private int topK = 10;

    @Option(names = "--html", paramLabel = "FILE", description = "Write a contact sheet, in one file.")
    private @Nullable Path html;

    @Option(
            names = "--on-error",
            paramLabel = "skip|fail",
            description = "What to do with files that cannot be read (skip).")
    private OnError onError = OnError.SKIP;

    @Option(names = "--precision", paramLabel = "P", description = "auto, fp32 (default), bf16, int8.")
    private @Nullable String precision;

    @Mixin
    private DeviceOption device = new DeviceOption();

    @Option(names = "--json", description = "Print [{\"score\", \"path\"}].")
    private boolean json;

    @Option(names = "--offline", description = "Contact nothing.")
    private boolean offline;

    /** An image that was found. @param thumbnail small enough for the contact sheet */
    record Hit(Path path, double score, Image thumbnail) {}

    @Override
    public void run() {
        if (topK < 1) {
            throw new HeadstartException("--top-k must be at least 1, found " + topK);
        }
        List<Path> files = ImageFiles.under(folder);
        Path file = imageQuery();
        Image example = file == null ? null : Image.read(file);
        PrintWriter err = Objects.requireNonNull(spec).commandLine().getErr();
        LoadOptions load = LoadOptions.defaults()
                .withPrecision(precision)
                .withDevice(device.checked())
                .withOffline(offline ? Boolean.TRUE : null);
        String id = model != null ? model : standard(example != null, load);
        try (ImageFeatures features = new ImageFeatures(id, PipelineOptions.DEFAULT.withLoad(load))) {
            float[] wanted = unit(
                    example != null
                            ? features.images(List.of(features.prepare(example)))
                                    .get(0)
                            : features.texts(List.of(query)).get(0));
            Problems problems = new Problems(onError);
            List<Hit> hits = search(features, wanted, files, problems, err);
            if (hits.isEmpty()) {
                throw new HeadstartException(folder + ": none of the " + files.size() + " images can be read");
            }
            print(hits, Objects.requireNonNull(spec).commandLine().getOut());
            if (html != null) {
                byte[] page = ContactSheet.of(query, example, id, hits).getBytes(StandardCharsets.UTF_8);
                StagedFile.write(html, out -> out.write(ByteBuffer.wrap(page)));
            }
            err.println(files.size() - problems.skipped() + " images searched; " + problems.summary());
            err.flush();
        }
    }

    /** The model where none is named: images alone can be compared by one that needs no hub. */
    private static String standard(boolean images, LoadOptions load) {
        if (images) {
            try {
                Hub.standard().resolve(CLIP, FileSelection.NO_WEIGHTS, load);
            } catch (HeadstartException e) {
                LOG.warn(
                        "{}; images are compared by {}, which knows ten kinds of things: --model names a better one",
                        e.getMessage(),
                        SMALL);
                return SMALL;
            }
        }
        return CLIP;
    }

    /** The query as a file, when it is one or looks like one. */
    private @Nullable Path imageQuery() {
        try {
            Path path = Path.of(query);
            if (Files.exists(path)) {
                return path;
            }
        } catch (java.nio.file.InvalidPathException e) {
            return null; // a text
        }
        String ending = query.substring(query.lastIndexOf('.') + 1).toLowerCase(Locale.ROOT);
        if (query.contains(".") && ImageFiles.ENDINGS.contains(ending) && !query.contains(" ")) {
            throw new HeadstartException(query + ": no such file; give the path of an image, or a text");
        }
        return null;
    }

    /** Images as the model takes them; those decoded in full are gone, so that large ones do not add up. */
    private record Ready(List<Path> paths, List<Image> thumbnails, List<ImageBatch> batches) {}

    private List<Hit> search(
            ImageFeatures features, float[] wanted, List<Path> files, Problems problems, PrintWriter err) {
        List<Hit> best = new ArrayList<>();
        try (ProgressBar bar = new ProgressBar(err, TransferProgress.onTerminal(), "search", "images", 0, 0)) {
            CompletableFuture<Ready> coming = load(features, files, 0, problems);
            for (int from = 0; from < files.size(); from += WINDOW) {
                Ready ready = join(coming);
                int next = Math.min(files.size(), from + WINDOW);
                coming = load(features, files, next, problems);
                List<float[]> vectors = features.images(ready.batches);
                for (int i = 0; i < vectors.size(); i++) {
                    best.add(new Hit(ready.paths.get(i), dot(unit(vectors.get(i)), wanted), ready.thumbnails.get(i)));
                }
                best.sort(Comparator.comparingDouble(Hit::score).reversed());
                best.subList(Math.min(topK, best.size()), best.size()).clear();
                bar.update(next, (double) next / files.size());
            }
            join(coming);
        }
        return best;
    }

    private static CompletableFuture<Ready> load(
            ImageFeatures features, List<Path> files, int from, Problems problems) {
        List<Path> some = files.subList(from, Math.min(files.size(), from + WINDOW));
        return CompletableFuture.supplyAsync(() -> {
            @Nullable Image[] thumbnails = new Image[some.size()];
            @Nullable ImageBatch[] images = new ImageBatch[some.size()];
            @Nullable String[] failures = new String[some.size()];
            IntStream.range(0, images.length).parallel().forEach(i -> {
                try {
                    Image image = Image.read(some.get(i));
                    images[i] = features.prepare(image);
                    thumbnails[i] = ContactSheet.thumbnail(image);
                } catch (HeadstartException e) {
                    failures[i] = e.getMessage();
                }
            });
            List<Path> paths = new ArrayList<>();
            List<Image> small = new ArrayList<>();
            List<ImageBatch> prepared = new ArrayList<>();
            for (int i = 0; i < images.length; i++) {
                ImageBatch image = images[i];
                Image thumbnail = thumbnails[i];
                if (image == null || thumbnail == null) {
                    problems.report("unreadable image", String.valueOf(failures[i]));
                } else {
                    paths.add(some.get(i));
                    small.add(thumbnail);
                    prepared.add(image);
                }
            }
            return new Ready(paths, small, prepared);
        });
    }

    private static Ready join(CompletableFuture<Ready> future) {
        try {
            return future.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw e;
        }
    }

    static float[] unit(float[] v) {
        double n = Math.sqrt(dot(v, v));
        float[] u = new float[v.length];
        for (int i = 0; i < v.length; i++) {
            u[i] = n == 0 ? 0 : (float) (v[i] / n);
        }
        return u;
    }

    private static double dot(float[] a, float[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += (double) a[i] * b[i];
        }
        return sum;
    }

    private void print(List<Hit> hits, PrintWriter out) {
        if (json) {
            ArrayNode all = new ObjectMapper().createArrayNode();
            hits.forEach(h ->
                    all.addObject().put("score", h.score()).put("path", h.path().toString()));
            out.println(all);
        } else {
            hits.forEach(h -> out.println(String.format(Locale.ROOT, "%.4f  %s", h.score(), h.path())));
        }
        out.flush();
    }
}
