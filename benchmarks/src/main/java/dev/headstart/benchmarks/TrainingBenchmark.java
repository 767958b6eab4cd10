package dev.headstart.benchmarks;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.Hub;
import dev.headstart.models.AutoModelForSequenceClassification;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.Objective;
import dev.headstart.train.Throughput;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.TrainingData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * Steps of full fine-tuning of a sequence classifier (forward, backward, clipping, AdamW): Headstart's trainer and Python transformers with
 * torch.optim.AdamW take turns in one run, on the same batches, with the same threads and precision. The losses of the first batch, dropout off, are
 * compared before anything is timed.
 *
 * <p>Arguments: python, peer script, model id, fp32 or bf16 (autocast), threads, rounds, batch, length, batching. Of one length, both sides make the same
 * steps, 4 a round; where the length is a file of texts, each side goes through 1,600 of them (spread over the file; as many as both group at once), 10 steps a round, in batches of its own:
 * Headstart's grouped by length as {@code finetune} does it, the peer's random (its default) or grouped, each batch padded to its longest text. Tokens are those of the texts.
 */
public final class TrainingBenchmark {
    private static final int STEPS = 4;
    private static final int STEPS_ON_TEXTS = 10;
    private static final int TEXTS = 1600;

    private TrainingBenchmark() {}

    /** Runs the benchmark and prints one table. */
    public static void main(String[] args) throws IOException {
        if (args.length != 9) {
            throw new HeadstartException(
                    "arguments: PYTHON PEER.py MODEL fp32|bf16 THREADS ROUNDS BATCH LENGTH|FILE random|grouped");
        }
        String precision = args[3];
        int threads = Integer.parseInt(args[4]);
        int rounds = Integer.parseInt(args[5]);
        int batch = Integer.parseInt(args[6]);
        boolean texts = !args[7].matches("\\d+");
        torch.set_num_threads(threads);
        Path folder = Hub.standard().resolve(args[2]).path();
        Rows rows = texts
                ? Rows.ofTexts(Path.of(args[7]), folder, TEXTS)
                : Rows.random(batch * STEPS, Integer.parseInt(args[7]));
        int steps = texts ? STEPS_ON_TEXTS : STEPS;
        Path head = Files.createTempDirectory("training-benchmark");
        try (PreTrainedModel<?> model = AutoModelForSequenceClassification.fromPretrained(
                folder.toString(), LoadOptions.defaults().withNumLabels(2).withInit(LoadOptions.Init.NEW_HEAD))) {
            model.savePretrained(head); // both sides start from the same head
            List<String> command = List.of(
                    args[0],
                    args[1],
                    head.toString(),
                    rows.write(head).toString(),
                    precision,
                    args[4],
                    args[6],
                    texts ? args[8] : "given");
            try (LinePeer peer = new LinePeer(command, ProcessBuilder.Redirect.INHERIT)) {
                double ours = loss(model, rows, batch);
                double theirs = Double.parseDouble(peer.ask("loss"));
                System.out.printf(
                        Locale.ROOT,
                        "%s, batches of %d, %d texts of %d tokens in all, %s, %d threads; loss %.6f and %.6f%n",
                        args[2],
                        batch,
                        rows.size(),
                        rows.tokens(),
                        precision,
                        threads,
                        ours,
                        theirs);
                TrainingArguments arguments = TrainingArguments.defaults()
                        .batchSize(batch)
                        .groupByLength(texts)
                        .bf16(precision.equals("bf16"));
                TrainingTurns turns = TrainingTurns.run(model, arguments, rows, steps, rounds, peer, "run " + steps);
                double own = TrainingTurns.rate(turns.own());
                double other = TrainingTurns.rate(turns.other());
                report(
                        "headstart",
                        turns.own(),
                        VmHwm.of(ProcessHandle.current().pid()));
                report("transformers", turns.other(), 1024 * peer.memory());
                System.out.printf(Locale.ROOT, "ratio: %.2f%n", own / other);
                System.out.println("headstart, counted as if the last layer computed every position: "
                        + Throughput.describe(
                                model, own, (int) (rows.tokens() / rows.size()), 1, precision.equals("bf16")));
            }
        } finally {
            try (var files = Files.list(head)) {
                files.forEach(f -> f.toFile().delete());
            }
            Files.delete(head);
        }
    }

    private static double loss(PreTrainedModel<?> model, Rows rows, int batch) {
        model.eval();
        try (PointerScope scope = new PointerScope()) {
            int[] first = new int[batch];
            Arrays.setAll(first, i -> i);
            return Objective.ofModel()
                    .loss(model, rows.batch(first, new SplittableRandom(0)))
                    .item_double();
        }
    }

    private static void report(String name, List<TrainingTurns.Turn> turns, long peakKb) {
        System.out.printf(
                Locale.ROOT,
                "%-13s %.0f tokens/s (%s), peak memory %d MB%n",
                name,
                TrainingTurns.rate(turns),
                String.join(
                        ", ",
                        turns.stream()
                                .map(t -> "%.0f".formatted(t.tokens() / t.seconds()))
                                .toList()),
                peakKb / 1024);
    }

    /** Rows of token ids, the same for both sides; labels take turns. */
    static final class Rows implements TrainingData {
        private final long[][] ids;

        private Rows(long[][] ids) {
            this.ids = ids;
        }

        static Rows random(int count, int length) {
            SplittableRandom random = new SplittableRandom(1);
            long[][] ids = new long[count][length];
            for (long[] row : ids) {
                Arrays.setAll(row, i -> 1000 + random.nextInt(20000));
            }
            return new Rows(ids);
        }

        /** @param file a text a line, in its last column where tabs part it; @param count of them, spread over the file */
        static Rows ofTexts(Path file, Path model, int count) throws IOException {
            List<String> lines = Files.readAllLines(file);
            List<String> texts = lines.stream()
                    .map(l -> l.substring(l.lastIndexOf('\t') + 1))
                    .toList();
            try (Tokenizer tokenizer = Tokenizer.fromPretrained(model.toString())) {
                long[][] ids = new long[Math.min(count, texts.size())][];
                for (int i = 0; i < ids.length; i++) {
                    ids[i] = tokenizer
                            .encode(texts.get((int) ((long) i * texts.size() / ids.length)))
                            .ids();
                }
                return new Rows(ids);
            }
        }

        Path write(Path folder) throws IOException {
            return Files.write(
                    folder.resolve("rows.txt"),
                    Arrays.stream(ids)
                            .map(r -> String.join(
                                    " ",
                                    Arrays.stream(r).mapToObj(Long::toString).toList()))
                            .toList());
        }

        long tokens() {
            return Arrays.stream(ids).mapToLong(r -> r.length).sum();
        }

        @Override
        public int size() {
            return ids.length;
        }

        @Override
        public int length(int index) {
            return ids[index].length;
        }

        @Override
        public Map<String, Tensor> batch(int[] indexes, SplittableRandom random) {
            int s = Arrays.stream(indexes).map(this::length).max().orElseThrow();
            long[] flat = new long[indexes.length * s];
            long[] mask = new long[indexes.length * s];
            long[] labels = new long[indexes.length];
            for (int i = 0; i < indexes.length; i++) {
                long[] row = ids[indexes[i]];
                System.arraycopy(row, 0, flat, i * s, row.length);
                Arrays.fill(mask, i * s, i * s + row.length, 1);
                labels[i] = indexes[i] % 2;
            }
            return Map.of(
                    "input_ids",
                    Tensor.create(flat).view(indexes.length, s), // [B, S]
                    "attention_mask",
                    Tensor.create(mask).view(indexes.length, s), // [B, S]
                    "labels",
                    Tensor.create(labels)); // [B]
        }
    }
}
