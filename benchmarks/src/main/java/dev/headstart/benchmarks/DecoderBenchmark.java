package dev.headstart.benchmarks;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.generation.Generation;
import dev.headstart.generation.GenerationOutput;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.models.AutoModelForCausalLM;
import dev.headstart.models.AutoModelForSeq2SeqLM;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.nn.Linear;
import dev.headstart.train.Throughput;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * Greedy and beam decoding, token by token: Headstart and Python peers take turns in one run on the same weights, with the same threads, and their
 * first tokens are compared. Beside tokens a second it prints what part of the machine's limits that is: bytes of weights a token over the measured read bandwidth, and for
 * a prompt of 512 tokens the part of the matrix product's peak.
 *
 * <p>Arguments: python, peer script, model folder, precision, threads, rounds, kind (decoder or seq2seq), batch, beams, new tokens, peers with commas.
 */
public final class DecoderBenchmark {
    private static final int PROMPT = 32;
    private static final int WARM = 4; // generations of every side before the first that counts

    private DecoderBenchmark() {}

    /** Runs the benchmark and prints its lines. */
    public static void main(String[] args) throws IOException {
        if (args.length != 11) {
            throw new HeadstartException(
                    "arguments: PYTHON PEER.py FOLDER fp32|bf16|int8|int4 THREADS ROUNDS decoder|seq2seq BATCH BEAMS"
                            + " TOKENS PEER,PEER");
        }
        String folder = args[2];
        String precision = args[3];
        int threads = Integer.parseInt(args[4]);
        int rounds = Integer.parseInt(args[5]);
        boolean decoder = args[6].equals("decoder");
        int batch = Integer.parseInt(args[7]);
        int beams = Integer.parseInt(args[8]);
        int tokens = Integer.parseInt(args[9]);
        torch.set_num_threads(threads);
        String quantized = folder + "-" + precision; // what `headstart quantize` made of it
        boolean stored = Files.isDirectory(Path.of(quantized));
        String from = stored ? quantized : folder;
        LoadOptions plain = LoadOptions.defaults();
        LoadOptions options = stored ? plain : plain.withPrecision(precision);
        try (PreTrainedModel<?> model = decoder
                ? AutoModelForCausalLM.fromPretrained(from, options)
                : AutoModelForSeq2SeqLM.fromPretrained(from, options)) {
            GenerativeModel own = (GenerativeModel) model;
            long[][] prompts = prompts(batch, PROMPT);
            Map<String, double[]> seconds = new LinkedHashMap<>();
            double[] ours = new double[rounds];
            long[][] texts = generate(own, prompts, tokens, beams);
            for (int i = 0; i < WARM; i++) { // the JVM compiles what runs often
                generate(own, prompts, tokens, beams);
            }
            seconds.put("headstart", ours);
            Map<String, LinePeer> peers = new LinkedHashMap<>();
            try {
                for (String name : args[10].isEmpty() ? new String[0] : args[10].split(",")) {
                    peers.put(name, new LinePeer(args[0], args[1], name, folder, precision, args[4]));
                    seconds.put(name, new double[rounds]);
                    long[][] theirs =
                            peers.get(name).generate(tokens, beams, prompts).ids();
                    System.out.printf(
                            Locale.ROOT,
                            "%s: the first %d of %d tokens agree%n",
                            name,
                            agreement(texts, theirs),
                            batch * tokens);
                    for (int i = 0; i < WARM; i++) {
                        peers.get(name).generate(tokens, beams, prompts);
                    }
                }
                for (int i = 0; i < rounds; i++) {
                    for (Map.Entry<String, LinePeer> p : peers.entrySet()) {
                        Objects.requireNonNull(seconds.get(p.getKey()))[i] =
                                p.getValue().generate(tokens, beams, prompts).seconds();
                    }
                    long t = System.nanoTime();
                    generate(own, prompts, tokens, beams);
                    ours[i] = (System.nanoTime() - t) / 1e9;
                    LinePeer.rest();
                }
                report(seconds, peers, batch * tokens, precision, batch, beams);
            } finally {
                peers.values().forEach(LinePeer::close);
            }
            if (decoder && batch == 1) {
                limits(own, model, rounds, precision, tokens / median(ours));
            }
        }
    }

    private static long[][] prompts(int batch, int length) {
        Random random = new Random(0);
        long[][] prompts = new long[batch][];
        Arrays.setAll(prompts, r -> random.longs(length, 3, 32000).toArray());
        return prompts;
    }

    private static long[][] generate(GenerativeModel model, long[][] prompts, int tokens, int beams) {
        try (PointerScope scope = new PointerScope()) {
            Generation request = Generation.of(model)
                    .with("max_new_tokens", tokens)
                    .with("min_new_tokens", tokens)
                    .with("num_beams", beams)
                    .with("do_sample", false);
            if (model.isEncoderDecoder()) {
                long[] flat =
                        Arrays.stream(prompts).flatMapToLong(Arrays::stream).toArray();
                request.inputs(Map.of("input_ids", Tensor.create(flat, prompts.length, prompts[0].length)));
            } else {
                request.prompt(prompts);
            }
            GenerationOutput out = request.generate();
            int from = out.promptLength();
            return Arrays.stream(out.sequences())
                    .map(s -> Arrays.copyOfRange(s, from, s.length))
                    .toArray(long[][]::new);
        }
    }

    private static int agreement(long[][] a, long[][] b) {
        int same = 0;
        for (int r = 0; r < a.length; r++) {
            int at = Arrays.mismatch(a[r], b[r]);
            same += at < 0 ? a[r].length : at;
        }
        return same;
    }

    private static void report(
            Map<String, double[]> seconds,
            Map<String, LinePeer> peers,
            int tokens,
            String precision,
            int batch,
            int beams)
            throws IOException {
        double own = median(Objects.requireNonNull(seconds.get("headstart")));
        for (Map.Entry<String, double[]> e : seconds.entrySet()) {
            LinePeer peer = peers.get(e.getKey());
            long peak = peer == null ? LinePeer.peak(ProcessHandle.current().pid()) : peer.memory();
            System.out.printf(
                    Locale.ROOT,
                    "%s batch %d beams %d  %-13s %7.1f tokens/s (best %.1f), headstart / it %.2f, peak memory %d MB%n",
                    precision,
                    batch,
                    beams,
                    e.getKey(),
                    tokens / median(e.getValue()),
                    tokens / Arrays.stream(e.getValue()).min().orElse(0),
                    median(e.getValue()) / own,
                    peak);
        }
    }

    private static void limits(
            GenerativeModel own, PreTrainedModel<?> model, int rounds, String precision, double tokensPerSecond) {
        double weights = 0;
        for (Linear l : model.linears()) {
            weights += (double) l.in() * l.out();
        }
        double bytes = switch (precision) {
            case "fp32" -> 4;
            case "bf16" -> 2;
            case "int8" -> 1;
            default -> 0.625; // 4 bits, and 32 for every 32 of them
        };
        double bandwidth = bandwidth();
        double limit = bandwidth / (weights * bytes);
        System.out.printf(
                Locale.ROOT,
                "read bandwidth %.1f GB/s: limit %.0f tokens/s, reached %.0f %%%n",
                bandwidth / 1e9,
                limit,
                100 * tokensPerSecond / limit);
        long[][] prompt = prompts(1, 512);
        generate(own, prompt, 1, 1);
        double best = Double.MAX_VALUE;
        for (int i = 0; i < rounds; i++) {
            long t = System.nanoTime();
            generate(own, prompt, 1, 1);
            best = Math.min(best, (System.nanoTime() - t) / 1e9);
        }
        double body = 0;
        for (Linear l : model.linears()) {
            body += l.name().contains("lm_head") ? 0 : 2.0 * l.in() * l.out() * 512;
        }
        System.out.printf(
                Locale.ROOT,
                "prefill of 512 tokens %.0f ms, %.0f GFLOP/s; peak fp32 %.0f, bf16 %.0f GFLOP/s%n",
                best * 1e3,
                body / best / 1e9,
                peak(torch.ScalarType.Float),
                peak(torch.ScalarType.BFloat16));
    }

    /** Bytes a second that all threads read together. */
    private static double bandwidth() {
        try (PointerScope scope = new PointerScope()) {
            Tensor big = torch.ones(new long[] {64L << 20});
            double best = Double.MAX_VALUE;
            for (int i = 0; i < 8; i++) {
                long t = System.nanoTime();
                big.sum();
                best = Math.min(best, (System.nanoTime() - t) / 1e9);
            }
            return 4.0 * big.numel() / best;
        }
    }

    /** Best GFLOP/s of one matrix product, 512 x 768 x 3072, prepacked. */
    private static double peak(torch.ScalarType type) {
        return Throughput.gemmPeak(type);
    }

    private static double median(double[] v) {
        return Figures.median(Arrays.stream(v).boxed().toList());
    }
}
