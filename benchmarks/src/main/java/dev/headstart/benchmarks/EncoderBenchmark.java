package dev.headstart.benchmarks;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.Hub;
import dev.headstart.pipeline.Pipeline;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.pipeline.SentenceEmbeddingPipeline;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.bytedeco.pytorch.global.torch;

/**
 * Mean-pooled features of many sentences: Headstart and Python transformers take turns in one run, on the same sentences, sorted by length, with the
 * same threads and precision, tokenization included. Outputs are compared before anything is timed.
 *
 * <p>Arguments: python, peer script, model id, file of sentences (one a line), precision, threads, rounds.
 */
public final class EncoderBenchmark {
    private EncoderBenchmark() {}

    /** Runs the benchmark and prints one table. */
    public static void main(String[] args) throws IOException {
        if (args.length != 7) {
            throw new HeadstartException("arguments: PYTHON PEER.py MODEL SENTENCES.txt fp32|bf16 THREADS ROUNDS");
        }
        String model = args[2];
        Path file = Path.of(args[3]);
        String precision = args[4];
        int threads = Integer.parseInt(args[5]);
        int rounds = Integer.parseInt(args[6]);
        List<String> sentences = Files.readAllLines(file);
        torch.set_num_threads(threads);
        PipelineOptions options =
                PipelineOptions.DEFAULT.withLoad(LoadOptions.defaults().withPrecision(precision));
        options = options.withBatchTokens(Integer.getInteger("batchTokens", options.batchTokens()));
        try (SentenceEmbeddingPipeline own =
                        (SentenceEmbeddingPipeline) Pipeline.of("sentence-embedding", model, options);
                Peer peer = new Peer(args[0], args[1], folder(model), file, precision, threads)) {
            List<float[]> ours = own.apply(sentences);
            float[][] theirs = peer.outputs(sentences.size());
            System.out.printf(
                    Locale.ROOT,
                    "%s, %d sentences, %s, %d threads; largest difference %.2g%n",
                    model,
                    sentences.size(),
                    precision,
                    threads,
                    difference(ours, theirs));
            double[] ownSeconds = new double[rounds];
            double[] peerSeconds = new double[rounds];
            for (int i = 0; i < rounds; i++) {
                long t = System.nanoTime();
                own.apply(sentences);
                ownSeconds[i] = (System.nanoTime() - t) / 1e9;
                peerSeconds[i] = peer.seconds();
            }
            report(
                    "headstart",
                    ownSeconds,
                    sentences.size(),
                    VmHwm.ofProcess(ProcessHandle.current().pid()));
            report("transformers", peerSeconds, sentences.size(), VmHwm.ofProcess(peer.pid()));
            System.out.printf(Locale.ROOT, "ratio of medians: %.2f%n", median(peerSeconds) / median(ownSeconds));
        }
    }

    private static Path folder(String model) {
        return Hub.standard().resolve(model).path();
    }

    private static void report(String name, double[] seconds, int n, long peakKb) {
        System.out.printf(
                Locale.ROOT,
                "%-13s median %.2f s, best %.2f s, %.0f sentences/s, peak memory %d MB%n",
                name,
                median(seconds),
                Arrays.stream(seconds).min().orElse(0),
                n / median(seconds),
                peakKb / 1024);
    }

    private static double median(double[] v) {
        double[] sorted = v.clone();
        Arrays.sort(sorted);
        return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
    }

    private static double difference(List<float[]> a, float[][] b) {
        double most = 0;
        for (int i = 0; i < b.length; i++) {
            for (int j = 0; j < b[i].length; j++) {
                most = Math.max(most, Math.abs(a.get(i)[j] - b[i][j]));
            }
        }
        return most;
    }

    /** Peak resident memory of a process in kB, as Linux counts it. */
    private static final class VmHwm {
        static long ofProcess(long pid) throws IOException {
            Path status = Path.of("/proc/" + pid + "/status");
            return Files.exists(status)
                    ? Files.readAllLines(status).stream()
                            .filter(l -> l.startsWith("VmHWM"))
                            .mapToLong(l -> Long.parseLong(l.replaceAll("\\D", "")))
                            .findFirst()
                            .orElse(0)
                    : 0;
        }
    }

    /** The Python side: one process that answers lines. */
    private static final class Peer implements AutoCloseable {
        private final Process process;
        private final PrintStream ask;
        private final BufferedReader answer;

        Peer(String python, String script, Path model, Path sentences, String precision, int threads)
                throws IOException {
            ProcessBuilder b = new ProcessBuilder(
                    python, script, model.toString(), sentences.toString(), precision, String.valueOf(threads));
            b.redirectError(ProcessBuilder.Redirect.INHERIT);
            process = b.start();
            ask = new PrintStream(process.getOutputStream(), true, StandardCharsets.UTF_8);
            answer = process.inputReader(StandardCharsets.UTF_8);
        }

        long pid() {
            return process.pid();
        }

        float[][] outputs(int n) throws IOException {
            Path out = Files.createTempFile("peer", ".f32");
            ask.println("outputs " + out);
            int d = Integer.parseInt(line());
            ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(out)).order(ByteOrder.LITTLE_ENDIAN);
            Files.delete(out);
            float[][] rows = new float[n][d];
            for (float[] row : rows) {
                for (int j = 0; j < d; j++) {
                    row[j] = bytes.getFloat();
                }
            }
            return rows;
        }

        double seconds() throws IOException {
            ask.println("run");
            return Double.parseDouble(line());
        }

        private String line() throws IOException {
            String line = answer.readLine();
            if (line == null) {
                throw new HeadstartException("the peer ended; its error stands above");
            }
            return line;
        }

        @Override
        public void close() {
            ask.close();
            process.destroy();
        }
    }
}
