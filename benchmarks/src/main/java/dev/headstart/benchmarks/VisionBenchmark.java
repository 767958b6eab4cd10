package dev.headstart.benchmarks;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.headstart.LoadOptions;
import dev.headstart.hub.Hub;
import dev.headstart.models.AutoModelForImageClassification;
import dev.headstart.models.Inputs;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Quantization;
import dev.headstart.models.Tensors;
import dev.headstart.pipeline.ClassScore;
import dev.headstart.pipeline.Pipeline;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.train.Objective;
import dev.headstart.train.TrainerCallback;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.TrainingData;
import dev.headstart.train.vision.Augmentation;
import dev.headstart.train.vision.ImageFineTune;
import dev.headstart.train.vision.ImageFineTuneOptions;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * Image classifiers of the usual shapes (224 x 224, random weights): images a second beside torchvision or timm (channels-last) and ONNX Runtime, same
 * threads, taking turns; outputs are compared before anything is timed. Batches above 8 go through Headstart in eights, as its pipelines do.
 *
 * <p>Arguments: python, peer script, and {@code name=value}: model (resnet50 or vit-b16), rows (fp32, bf16, int8: the network alone; jpeg: decoding, resizing and the network, in
 * the precisions of the option of that name; training: bare steps; finetune: the
 * loop over JPEG files), batches, training (fp32 or bf16), batch and steps (of training, a turn), formats and workers (of the peer's loop), threads, seconds (a figure), rounds, each with a default.
 */
public final class VisionBenchmark {
    private static final int PIECE = 8;
    private static final int SIDE = 224;
    private static final int CALIBRATION = 16;

    private static final Map<String, String> DEFAULTS = Map.ofEntries(
            Map.entry("model", "resnet50"),
            Map.entry("rows", "fp32,bf16,int8,jpeg,training"),
            Map.entry("batches", "1,32"),
            Map.entry("training", "bf16"),
            Map.entry("batch", "16"),
            Map.entry("steps", "2"),
            Map.entry("threads", "2"),
            Map.entry("seconds", "3"),
            Map.entry("rounds", "3"),
            Map.entry("jpeg", "fp32,bf16,int8"),
            Map.entry("formats", "nchw,nhwc"),
            Map.entry("workers", "0,1,2"),
            Map.entry("kept", "0"));

    /** What the peers have for a precision, and what it is called. */
    private static final Map<String, Map<String, String>> PEERS = Map.of(
            "fp32", Map.of("torch", "torch", "ort", "ONNX Runtime"),
            "bf16", Map.of("autocast", "torch"),
            "int8", Map.of("ort-int8", "ONNX Runtime"));

    private final Options options;
    private final Path folder;
    private final LinePeer peer;

    private VisionBenchmark(Options options, Path folder, LinePeer peer) {
        this.options = options;
        this.folder = folder;
        this.peer = peer;
    }

    /** Runs the benchmark and prints one line a figure. */
    public static void main(String[] args) throws IOException {
        Options options = new Options(DEFAULTS, Arrays.asList(args).subList(2, args.length));
        Path folder = Path.of("target", "vision-" + options.text("model"));
        torch.set_num_threads(options.number("threads"));
        List<String> command =
                List.of(args[0], args[1], options.text("model"), folder.toString(), options.text("threads"));
        Files.createDirectories(folder);
        ProcessBuilder.Redirect log =
                ProcessBuilder.Redirect.to(folder.resolve("peer.log").toFile());
        try (LinePeer peer = new LinePeer(command, log)) {
            VisionBenchmark b = new VisionBenchmark(options, folder, peer);
            Figures.write(folder.resolve("calibration.f32"), pixels(CALIBRATION, 2));
            for (String row : options.list("rows")) {
                switch (row) {
                    case "jpeg" -> {
                        for (String precision : options.list("jpeg")) {
                            b.files(precision);
                        }
                    }
                    case "training" -> b.training(options.text("training"));
                    case "finetune" -> b.finetune(options.text("training"));
                    default -> b.network(row);
                }
            }
        }
    }

    // === the network alone ===

    private void network(String precision) throws IOException {
        Map<String, String> kinds = Objects.requireNonNull(PEERS.get(precision), precision);
        try (PreTrainedModel<?> model = load(precision)) {
            float[] x = pixels(2, 1);
            float[] exact = peer(x, "torch"), own = logits(model, x);
            System.out.printf(
                    Locale.ROOT,
                    "%s %s: largest difference of any logit from torch's in fp32, of the largest: headstart %.2g",
                    options.text("model"),
                    precision,
                    difference(own, exact));
            for (String kind : kinds.keySet()) {
                float[] theirs = peer(x, kind);
                System.out.printf(
                        Locale.ROOT,
                        ", %s",
                        theirs.length == 0 ? "no " + kind : kind + " %.2g".formatted(difference(theirs, exact)));
            }
            System.out.println();
            for (String batch : options.list("batches")) {
                int images = Integer.parseInt(batch);
                compare(precision + " batch " + batch, kinds, "run %s " + batch, () -> own(model, images));
            }
        }
    }

    private PreTrainedModel<?> load(String precision) throws IOException {
        String id = folder.toString();
        if (!precision.equals("int8") || !options.text("model").equals("resnet50")) {
            return AutoModelForImageClassification.fromPretrained(
                    id, LoadOptions.defaults().withPrecision(precision));
        }
        Path quantized = folder.resolveSibling(folder.getFileName() + "-int8");
        float[] examples = Figures.read(folder.resolve("calibration.f32"));
        Consumer<PreTrainedModel<?>> measure = model -> logits(model, examples);
        Quantization.write(Hub.standard().resolve(id), 8, 32, quantized, measure);
        return AutoModelForImageClassification.fromPretrained(quantized.toString(), LoadOptions.defaults());
    }

    private double own(PreTrainedModel<?> model, int batch) {
        try (PointerScope scope = new PointerScope()) {
            Tensor x = torch.randn(Math.min(batch, PIECE), 3, SIDE, SIDE);
            return rate(batch, () -> {
                for (int at = 0; at < batch; at += PIECE) {
                    logits(model, x);
                }
            });
        }
    }

    private static float[] logits(PreTrainedModel<?> model, float[] pixels) {
        try (PointerScope scope = new PointerScope()) {
            return logits(model, Tensor.create(pixels).view(-1, 3, SIDE, SIDE));
        }
    }

    private static float[] logits(PreTrainedModel<?> model, Tensor x) {
        try (PointerScope scope = new PointerScope();
                ModelOutput y = model.forward(Inputs.of(Map.of("pixel_values", x)))) {
            return Tensors.floats(Objects.requireNonNull(y.tensors().get("logits")));
        }
    }

    /** What the peer makes of the pixels; empty where it cannot. */
    private float[] peer(float[] pixels, String kind) throws IOException {
        Path in = Files.createTempFile("pixels", ".f32"), out = Files.createTempFile("logits", ".f32");
        try {
            Figures.write(in, pixels);
            int images = pixels.length / (3 * SIDE * SIDE);
            String answer = peer.ask("outputs " + kind + " " + in + " " + out + " " + images);
            return answer.startsWith("no ") ? new float[0] : Figures.read(out);
        } finally {
            Files.delete(in);
            Files.delete(out);
        }
    }

    private static double difference(float[] a, float[] b) {
        double most = 0, largest = 0;
        for (int i = 0; i < a.length; i++) {
            most = Math.max(most, Math.abs(a[i] - b[i]));
            largest = Math.max(largest, Math.abs(b[i]));
        }
        return most / largest;
    }

    // === JPEG files ===

    private void files(String precision) throws IOException {
        Map<String, String> kinds = Objects.requireNonNull(PEERS.get(precision), precision);
        String id = folder.toString();
        PipelineOptions how =
                PipelineOptions.DEFAULT.withLoad(LoadOptions.defaults().withPrecision(precision));
        if (precision.equals("int8") && options.text("model").equals("resnet50")) {
            load(precision).close();
            id = folder + "-int8";
            how = PipelineOptions.DEFAULT;
        }
        List<String> paths;
        try (var images = Files.list(folder.resolve("images"))) {
            paths = images.map(Path::toString).sorted().toList();
        }
        try (Pipeline pipeline = Pipeline.of("image-classification", id, how)) {
            for (String batch : options.list("batches")) {
                int size = Integer.parseInt(batch);
                List<String> own = best(pipeline, paths, size);
                for (String kind : kinds.keySet()) {
                    String answer = peer.ask("classes " + kind + " " + batch);
                    List<String> theirs = Arrays.stream(answer.split(" "))
                            .map(c -> "LABEL_" + c)
                            .toList();
                    long same = java.util.stream.IntStream.range(0, own.size())
                            .filter(i ->
                                    theirs.size() == own.size() && own.get(i).equals(theirs.get(i)))
                            .count();
                    System.out.printf(
                            Locale.ROOT,
                            "jpeg %s: %d of %d classes are those of %s%n",
                            precision,
                            same,
                            own.size(),
                            kind);
                }
                compare(
                        "jpeg " + precision + " batch " + batch,
                        kinds,
                        "files %s " + batch,
                        () -> rate(paths.size(), () -> best(pipeline, paths, size)));
            }
        }
    }

    /** The best class of each file, so many files in a call. */
    private static List<String> best(Pipeline pipeline, List<String> paths, int batch) {
        List<String> all = new ArrayList<>();
        for (int at = 0; at < paths.size(); at += batch) {
            all.addAll(best(pipeline, paths.subList(at, Math.min(paths.size(), at + batch))));
        }
        return all;
    }

    private static List<String> best(Pipeline pipeline, List<String> paths) {
        return pipeline.run(paths, JsonNodeFactory.instance.objectNode().put("top_k", 1)).stream()
                .map(scores -> ((ClassScore) ((List<?>) scores).get(0)).label())
                .toList();
    }

    // === training ===

    /** What the peer trains with. */
    private static TrainingArguments sgd(int batch, String precision) {
        return TrainingArguments.defaults()
                .optimizer("sgd")
                .momentum(0.9)
                .learningRate(1e-3)
                .weightDecay(0)
                .maxGradNorm(0)
                .batchSize(batch)
                .bf16(precision.equals("bf16"));
    }

    private void training(String precision) throws IOException {
        int batch = options.number("batch"), steps = options.number("steps");
        String kind = precision.equals("bf16") ? "autocast" : "torch";
        Path file = folder.resolve("training.f32").toAbsolutePath();
        Rows rows = new Rows(pixels(batch * steps, 3));
        Figures.write(file, rows.pixels);
        try (PreTrainedModel<?> model =
                AutoModelForImageClassification.fromPretrained(folder.toString(), LoadOptions.defaults())) {
            double theirs = Double.parseDouble(peer.ask("loss " + file + " " + batch));
            model.eval();
            double ours;
            try (PointerScope scope = new PointerScope()) {
                int[] first = new int[batch];
                Arrays.setAll(first, i -> i);
                ours = Objective.ofModel()
                        .loss(model, rows.batch(first, new SplittableRandom(0)))
                        .item_double();
            }
            model.layOutForTraining(precision.equals("bf16")); // as finetune does; the peer's are channels-last
            TrainingArguments arguments = sgd(batch, precision);
            TrainingTurns turns = TrainingTurns.run(
                    model, arguments, rows, steps, options.number("rounds"), peer, "train " + kind + " " + steps);
            double images = (double) batch * steps;
            double own = images / TrainingTurns.median(turns.own()),
                    other = images / TrainingTurns.median(turns.other());
            System.out.printf(
                    Locale.ROOT,
                    "training %s, batch %d: losses %.5f and %.5f; headstart %.1f, torch %.1f (%.2f x) images/s%n",
                    precision,
                    batch,
                    ours,
                    theirs,
                    own,
                    other,
                    own / other);
        } finally {
            Files.deleteIfExists(file);
        }
    }

    /** Fine-tuning from JPEG files with random resized crop and flip, as {@code headstart finetune} does it, beside torchvision's reference loop over the same files. */
    private void finetune(String precision) throws IOException {
        int batch = options.number("batch"), steps = options.number("steps"), rounds = options.number("rounds");
        Path data = folder.resolve("classes"), output = folder.resolve("finetuned");
        try (var images = Files.list(folder.resolve("images"))) {
            int n = 0;
            for (Path image : images.sorted().toList()) {
                Path link =
                        Files.createDirectories(data.resolve("class" + n++ % 8)).resolve(image.getFileName());
                if (!Files.exists(link)) {
                    Files.copy(image, link);
                }
            }
        }
        Map<String, List<Double>> theirs = new LinkedHashMap<>();
        List<Double> ours = new ArrayList<>();
        TrainerCallback turns = new TrainerCallback() {
            private double sum;

            @Override
            public void onStep(Step step) {
                sum += step.step() == 1 ? 0 : step.seconds(); // the first one is not counted
                if (step.step() == 1 || (step.step() - 1) % steps != 0) {
                    return;
                }
                ours.add(sum);
                sum = 0;
                String kind = precision.equals("bf16") ? "autocast" : "torch";
                for (String format : options.list("formats")) {
                    for (String workers : options.list("workers")) {
                        String line = "loop %s %s %s %d %d".formatted(kind, format, workers, steps, batch);
                        try {
                            theirs.computeIfAbsent(format + ", " + workers + " workers", k -> new ArrayList<>())
                                    .add(Double.parseDouble(peer.ask(line)));
                        } catch (IOException e) {
                            throw new UncheckedIOException(e);
                        }
                    }
                }
            }
        };
        TrainingArguments arguments = sgd(batch, precision).checkpoints(false).maxSteps((long) steps * rounds + 1);
        new ImageFineTune(new ImageFineTuneOptions(data, output)
                        .model(folder.toString())
                        .validation(data)
                        .maxSamples(0, 8)
                        .overwrite(true)
                        .augmentation(new Augmentation(0, 0.08, 0.5, 0, 9, 0))
                        .imageMemory((long) options.number("kept") << 20)
                        .arguments(arguments))
                .callback(turns)
                .run();
        double images = (double) batch * steps, own = images / Figures.median(ours);
        System.out.printf(Locale.ROOT, "finetune %s, batch %d, JPEG files: headstart %.2f", precision, batch, own);
        theirs.forEach((what, seconds) -> {
            double other = images / Figures.median(seconds);
            System.out.printf(Locale.ROOT, "; torch %s %.2f (%.2f x)", what, other, own / other);
        });
        System.out.println(" images/s");
    }

    /** Pixels in memory, labels 0, 1, 2 ... */
    private static final class Rows implements TrainingData {
        private static final int SIZE = 3 * SIDE * SIDE;
        private final float[] pixels;

        Rows(float[] pixels) {
            this.pixels = pixels;
        }

        @Override
        public int size() {
            return pixels.length / SIZE;
        }

        @Override
        public Map<String, Tensor> batch(int[] indexes, SplittableRandom random) {
            float[] some = new float[indexes.length * SIZE];
            long[] labels = new long[indexes.length];
            for (int i = 0; i < indexes.length; i++) {
                System.arraycopy(pixels, indexes[i] * SIZE, some, i * SIZE, SIZE);
                labels[i] = indexes[i] % 1000;
            }
            return Map.of(
                    "pixel_values",
                    Tensor.create(some).view(-1, 3, SIDE, SIDE), // [B, 3, 224, 224]
                    "labels",
                    Tensor.create(labels)); // [B]
        }
    }

    // === figures ===

    private static float[] pixels(int images, int seed) {
        try (PointerScope scope = new PointerScope()) {
            torch.manual_seed(seed);
            return Tensors.floats(torch.randn(images, 3, SIDE, SIDE));
        }
    }

    /** Images a second of some work, done once before. */
    private double rate(int images, Runnable work) {
        work.run();
        long begin = System.nanoTime(), n = 0;
        do {
            work.run();
            n += images;
        } while (System.nanoTime() - begin < 1e9 * Double.parseDouble(options.text("seconds")));
        return n / ((System.nanoTime() - begin) / 1e9);
    }

    private interface Side {
        double imagesPerSecond() throws IOException;
    }

    /** Lets all sides take turns, warms them up by one more, and prints medians. @param line what the peer is asked, the kind and the seconds left out */
    private void compare(String what, Map<String, String> kinds, String line, Side own) throws IOException {
        List<Double> ours = new ArrayList<>();
        Map<String, List<Double>> theirs = new LinkedHashMap<>();
        for (int round = -1; round < options.number("rounds"); round++) { // the one before the first is to warm up
            double rate = own.imagesPerSecond();
            if (round >= 0) {
                ours.add(rate);
            }
            for (Map.Entry<String, String> kind : kinds.entrySet()) {
                String answer = peer.ask(line.formatted(kind.getKey()) + " " + options.text("seconds"));
                if (round >= 0 && !answer.startsWith("no ")) {
                    theirs.computeIfAbsent(kind.getValue(), k -> new ArrayList<>())
                            .add(Double.parseDouble(answer));
                }
            }
        }
        double median = Figures.median(ours);
        StringBuilder text = new StringBuilder(
                String.format(Locale.ROOT, "%s %s: headstart %.1f", options.text("model"), what, median));
        theirs.forEach((name, rates) -> text.append(String.format(
                Locale.ROOT, ", %s %.1f (%.2f x)", name, Figures.median(rates), median / Figures.median(rates))));
        System.out.println(text.append(" images/s"));
    }
}
