package dev.headstart.benchmarks;

import dev.headstart.hub.Hub;
import dev.headstart.models.ConfigJson;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.global.torch;

/**
 * Vectors of texts: Headstart and its peers, each a process of its own with its best settings, take turns in one run on the same texts with the same
 * threads and precision, tokenization included. Vectors are compared before anything is timed. Bulk (all texts) and latency (one text a call); beside
 * the ratios it prints what part of the machine's peak of matrix products each side reaches, and the peak memory of its whole process.
 *
 * <p>Arguments: python, peer script, and {@code name=value}: model, inputs (sst2, passages, or a file of one text a line), precision (fp32, bf16,
 * int8), peers, threads, rounds, every (of SST-2's sentences), passages (their number), singles (calls for latency), tokens (of Headstart's batches),
 * shared (the folder of the data sets), each with a default.
 */
public final class EncoderBenchmark {
    private static final int PASSAGE_TOKENS = 256;

    private static final Map<String, String> DEFAULTS = Map.ofEntries(
            Map.entry("model", "bert-base-uncased"),
            Map.entry("inputs", "sst2,passages"),
            Map.entry("precision", "fp32,bf16,int8"),
            Map.entry("peers", ""), // all that fit
            Map.entry("threads", "2"),
            Map.entry("rounds", "3"),
            Map.entry("every", "4"),
            Map.entry("passages", "32"),
            Map.entry("singles", "100"),
            Map.entry("tokens", String.valueOf(PipelineOptions.DEFAULT.batchTokens())), // of Headstart's batches
            Map.entry("shared", "../shared"));

    private final Options options;
    private final String python;
    private final String script;
    private final Path folder;
    private final Path work;

    private EncoderBenchmark(String[] args) throws IOException {
        options = new Options(DEFAULTS, Arrays.asList(args).subList(2, args.length));
        python = args[0];
        script = args[1];
        folder = Hub.standard().resolve(options.text("model")).path();
        work = Files.createDirectories(Path.of("target", "benchmark-encoders"));
    }

    /** Runs the benchmark and prints one table a precision and input. */
    public static void main(String[] args) throws IOException {
        EncoderBenchmark b = new EncoderBenchmark(args);
        for (String input : b.options.list("inputs")) {
            Texts texts = b.texts(input);
            for (String precision : b.options.list("precision")) {
                b.run(texts, precision);
            }
        }
    }

    // === Texts ===

    /** @param file one text a line; @param lengths in tokens */
    private record Texts(String name, Path file, int[] lengths) {
        long tokens() {
            return Arrays.stream(lengths).asLongStream().sum();
        }
    }

    private Texts texts(String input) throws IOException {
        try (Tokenizer tokenizer = Tokenizer.fromPretrained(options.text("model"))) {
            List<String> lines = switch (input) {
                case "sst2" -> sentences();
                case "passages" -> passages(tokenizer);
                default -> Files.readAllLines(Path.of(input));
            };
            int[] lengths = lines.stream()
                    .mapToInt(t ->
                            tokenizer.encode(t, null, EncodeOptions.DEFAULT).length())
                    .toArray();
            Path file = Files.write(work.resolve(Path.of(input).getFileName() + ".txt"), lines);
            return new Texts(input, file.toAbsolutePath(), lengths);
        }
    }

    /** The second column of SST-2's dev set, every n-th. */
    private List<String> sentences() throws IOException {
        List<String> rows = Files.readAllLines(Path.of(options.text("shared"), "data", "sst2", "dev.tsv"));
        List<String> some = new ArrayList<>();
        for (int i = 0; i < rows.size(); i += options.number("every")) {
            some.add(rows.get(i).split("\t")[1]);
        }
        return some;
    }

    /** A novel cut between words into texts of 256 tokens, special ones among them. */
    private List<String> passages(Tokenizer tokenizer) throws IOException {
        Path novel = Path.of(options.text("shared"), "data", "english-novels", "Doyle_Hound_1902.txt");
        String[] words = Files.readString(novel).replace("\uFEFF", "").strip().split("\\s+");
        List<String> all = new ArrayList<>();
        StringBuilder passage = new StringBuilder();
        int tokens = 2;
        for (int i = 0; i < words.length && all.size() < options.number("passages"); i++) {
            int more = tokenizer.encode(words[i]).length() - 2;
            if (tokens + more > PASSAGE_TOKENS) {
                all.add(passage.toString().strip());
                passage.setLength(0);
                tokens = 2;
            }
            passage.append(' ').append(words[i]);
            tokens += more;
        }
        return all;
    }

    // === Comparison ===

    private void run(Texts texts, String precision) throws IOException {
        torch.set_num_threads(options.number("threads"));
        double peak = MatrixPeak.packed(precision);
        Map<String, LinePeer> sides = new LinkedHashMap<>();
        try {
            sides.put("headstart", own(precision));
            for (String name : peers()) {
                LinePeer peer = new LinePeer(
                        List.of(
                                python,
                                script,
                                name,
                                folder.toString(),
                                precision,
                                options.text("threads"),
                                work.toAbsolutePath().toString()),
                        ProcessBuilder.Redirect.appendTo(
                                work.resolve("peers.log").toFile()));
                if (peer.greeting().equals("ready")) {
                    sides.put(name, peer);
                } else {
                    System.out.println(name + ":" + peer.greeting().substring(2));
                    peer.close();
                }
            }
            System.out.printf(
                    Locale.ROOT,
                    "%n%s, %s: %d texts, %d tokens; %s, %s threads%n",
                    options.text("model"),
                    texts.name(),
                    texts.lengths().length,
                    texts.tokens(),
                    precision,
                    options.text("threads"));
            float[][] ours = new float[0][];
            for (Map.Entry<String, LinePeer> side : sides.entrySet()) {
                String settings = side.getValue().ask("texts " + texts.file());
                float[][] vectors = outputs(side.getValue(), texts.lengths().length);
                if (ours.length == 0) {
                    ours = vectors;
                }
                System.out.printf(
                        Locale.ROOT,
                        "%-21s %s; vectors differ from ours by at most %.2g (cosine %.5f)%n",
                        side.getKey(),
                        settings,
                        difference(ours, vectors),
                        cosine(ours, vectors));
            }
            Map<String, List<Double>> bulk = new LinkedHashMap<>();
            Map<String, List<Double>> single = new LinkedHashMap<>();
            int calls = options.number("singles") / options.number("rounds");
            for (LinePeer side : sides.values()) {
                side.ask("single " + calls); // what compiles or is made on the first calls, on both sides
            }
            for (int round = 0; round < options.number("rounds"); round++) {
                for (Map.Entry<String, LinePeer> side : sides.entrySet()) {
                    bulk.computeIfAbsent(side.getKey(), k -> new ArrayList<>())
                            .addAll(numbers(side.getValue().ask("bulk")));
                }
                for (Map.Entry<String, LinePeer> side : sides.entrySet()) {
                    if (calls > 0) {
                        side.getValue().ask("single 3"); // its threads sleep since their last turn
                        single.computeIfAbsent(side.getKey(), k -> new ArrayList<>())
                                .addAll(numbers(side.getValue().ask("single " + calls)));
                    }
                }
                peak = Math.max(peak, MatrixPeak.packed(precision));
            }
            report(texts, precision, peak, sides, bulk, single);
        } finally {
            sides.values().forEach(LinePeer::close);
        }
    }

    private List<String> peers() {
        if (!options.list("peers").isEmpty()) {
            return options.list("peers");
        }
        List<String> all = new ArrayList<>(List.of("transformers", "onnxruntime"));
        if (Files.exists(folder.resolve("modules.json"))) {
            all.add("sentence-transformers");
        }
        return all;
    }

    /** Headstart with the launcher's JVM options. */
    private LinePeer own(String precision) throws IOException {
        return new LinePeer(
                List.of(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1", // as the launcher runs tasks on texts
                        "-XX:+UseSerialGC",
                        "-Xms64m",
                        "-Dorg.bytedeco.javacpp.maxPhysicalBytes=0",
                        "-cp",
                        System.getProperty("java.class.path"),
                        EncoderSide.class.getName(),
                        options.text("model"),
                        precision,
                        options.text("threads"),
                        options.text("tokens")),
                ProcessBuilder.Redirect.INHERIT);
    }

    private float[][] outputs(LinePeer side, int n) throws IOException {
        Path out = work.resolve("vectors.f32");
        int d = Integer.parseInt(side.ask("outputs " + out.toAbsolutePath()));
        float[] values = Figures.read(out);
        Files.delete(out);
        float[][] rows = new float[n][];
        Arrays.setAll(rows, i -> Arrays.copyOfRange(values, i * d, (i + 1) * d));
        return rows;
    }

    private static double difference(float[][] a, float[][] b) {
        double most = 0;
        for (int i = 0; i < b.length; i++) {
            for (int j = 0; j < b[i].length; j++) {
                most = Math.max(most, Math.abs(a[i][j] - b[i][j]));
            }
        }
        return most;
    }

    /** The lowest cosine of two vectors of the same text. */
    private static double cosine(float[][] a, float[][] b) {
        double least = 1;
        for (int i = 0; i < b.length; i++) {
            double ab = 0, aa = 0, bb = 0;
            for (int j = 0; j < b[i].length; j++) {
                ab += (double) a[i][j] * b[i][j];
                aa += (double) a[i][j] * a[i][j];
                bb += (double) b[i][j] * b[i][j];
            }
            least = Math.min(least, ab / Math.sqrt(aa * bb));
        }
        return least;
    }

    private static List<Double> numbers(String line) {
        return Arrays.stream(line.split(" ")).map(Double::valueOf).toList();
    }

    // === Report ===

    private void report(
            Texts texts,
            String precision,
            double peak,
            Map<String, LinePeer> sides,
            Map<String, List<Double>> bulk,
            Map<String, List<Double>> single)
            throws IOException {
        double work = operations(texts.lengths());
        double own = Figures.median(Objects.requireNonNull(bulk.get("headstart")));
        System.out.printf(
                Locale.ROOT,
                "peak of matrix products in this run %.0f GFLOP/s, %.1f GFLOP a text%n",
                peak,
                work / 1e9 / texts.lengths().length);
        for (Map.Entry<String, LinePeer> side : sides.entrySet()) {
            double seconds = Figures.median(Objects.requireNonNull(bulk.get(side.getKey())));
            System.out.printf(
                    Locale.ROOT,
                    "%-21s %6.2f s %7.1f texts/s %7.0f tokens/s, %3.0f %% of the peak, headstart / it %.2f, peak"
                            + " memory %d MB%s%n",
                    side.getKey(),
                    seconds,
                    texts.lengths().length / seconds,
                    texts.tokens() / seconds,
                    100 * work / seconds / 1e9 / peak,
                    seconds / own,
                    side.getValue().memory(),
                    latency(single.getOrDefault(side.getKey(), List.of())));
        }
    }

    private static String latency(List<Double> seconds) {
        if (seconds.isEmpty()) {
            return "";
        }
        List<Double> sorted = seconds.stream().sorted().toList();
        return String.format(
                Locale.ROOT,
                "; one text p50 %.2f ms, p99 %.2f ms",
                1e3 * sorted.get(sorted.size() / 2),
                1e3 * sorted.get((int) Math.ceil(0.99 * sorted.size()) - 1));
    }

    /** Operations of the model's matrix products on texts of these lengths: Linears and attention, no padding. */
    private double operations(int[] lengths) {
        ConfigJson config = ConfigJson.read(folder.resolve("config.json"));
        double layers = config.integer("num_hidden_layers", 0);
        double h = config.integer("hidden_size", 0);
        double linears = 2 * (4 * h * h + 2 * h * config.integer("intermediate_size", 0));
        double sum = 0;
        for (int s : lengths) {
            sum += layers * (s * linears + 4.0 * s * s * h);
        }
        return sum;
    }
}
