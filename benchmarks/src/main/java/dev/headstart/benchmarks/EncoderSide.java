package dev.headstart.benchmarks;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.pipeline.Pipeline;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.pipeline.SentenceEmbeddingPipeline;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.global.torch;

/**
 * Headstart's side of {@link EncoderBenchmark}: a process that answers lines, as {@code peers/encoder.py} does for the others.
 *
 * <p>Arguments: model, precision, threads, tokens of a batch.
 */
public final class EncoderSide {
    private EncoderSide() {}

    /** Answers lines until they end. */
    public static void main(String[] args) throws IOException {
        torch.set_num_threads(Integer.parseInt(args[2]));
        PipelineOptions options = PipelineOptions.DEFAULT
                .withLoad(LoadOptions.defaults().withPrecision(args[1]))
                .withBatchTokens(Integer.parseInt(args[3]));
        try (SentenceEmbeddingPipeline own =
                        (SentenceEmbeddingPipeline) Pipeline.of("sentence-embedding", args[0], options);
                BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            System.out.println("ready");
            List<String> texts = List.of();
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String[] words = line.split(" ", 2);
                switch (words[0]) {
                    case "texts" -> {
                        texts = Files.readAllLines(Path.of(words[1]));
                        own.apply(texts.subList(0, Math.min(64, texts.size()))); // a first turn, as the others have
                        System.out.println("batches of "
                                + (options.batchTokens() == 0 ? "the device's" : options.batchTokens()) + " tokens");
                    }
                    case "outputs" -> {
                        List<float[]> vectors = own.apply(texts);
                        write(Path.of(words[1]), vectors);
                        System.out.println(vectors.get(0).length);
                    }
                    case "bulk" -> System.out.println(seconds(own, texts));
                    case "single" ->
                        System.out.println(texts.stream()
                                .limit(Long.parseLong(words[1]))
                                .map(t -> Double.toString(seconds(own, List.of(t))))
                                .collect(Collectors.joining(" ")));
                    default -> throw new HeadstartException("unknown line: " + line);
                }
            }
        }
    }

    private static double seconds(SentenceEmbeddingPipeline own, List<String> texts) {
        long t = System.nanoTime();
        own.apply(texts);
        return (System.nanoTime() - t) / 1e9;
    }

    private static void write(Path file, List<float[]> vectors) throws IOException {
        int d = vectors.get(0).length;
        float[] values = new float[d * vectors.size()];
        for (int i = 0; i < vectors.size(); i++) {
            System.arraycopy(vectors.get(i), 0, values, i * d, d);
        }
        Figures.write(file, values);
    }
}
