package dev.headstart.benchmarks;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.AutoModelForImageClassification;
import dev.headstart.models.Inputs;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * Image classifiers of the usual shapes (224 x 224, random weights): images a second beside torch channels-last and ONNX Runtime, same threads, taking
 * turns; fp32 outputs are compared before anything is timed. Batches above 8 go through Headstart in eights, as its pipelines do.
 *
 * <p>Arguments: python, peer script, resnet50 or vit-b16, folder for the weights, threads, seconds a figure.
 */
public final class VisionBenchmark {
    private static final int PIECE = 8;

    private VisionBenchmark() {}

    /** Runs the benchmark and prints one line a figure. */
    public static void main(String[] args) throws IOException {
        if (args.length != 6) {
            throw new HeadstartException("arguments: PYTHON PEER.py resnet50|vit-b16 FOLDER THREADS SECONDS");
        }
        String folder = args[3];
        double seconds = Double.parseDouble(args[5]);
        Process peer = new ProcessBuilder(args[0], args[1], args[2], folder, args[4])
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        try (BufferedReader in = peer.inputReader(StandardCharsets.UTF_8);
                PrintWriter out =
                        new PrintWriter(new OutputStreamWriter(peer.getOutputStream(), StandardCharsets.UTF_8), true)) {
            answer(in);
            torch.set_num_threads(Integer.parseInt(args[4]));
            for (String precision : new String[] {"fp32", "bf16"}) {
                try (PreTrainedModel<?> model = AutoModelForImageClassification.fromPretrained(
                        folder, LoadOptions.defaults().withPrecision(precision))) {
                    System.out.printf(
                            Locale.ROOT,
                            "%s %s: largest difference of any logit, of the largest: %.2g%n",
                            args[2],
                            precision,
                            difference(model, in, out));
                    for (int batch : new int[] {1, 32}) {
                        double own = own(model, batch, seconds);
                        String kind = precision.equals("bf16") ? "autocast" : "torch";
                        double theirs = ask(in, out, "run " + kind + " " + batch + " " + seconds);
                        double ort = precision.equals("bf16")
                                ? Double.NaN
                                : ask(in, out, "run ort " + batch + " " + seconds);
                        System.out.printf(
                                Locale.ROOT,
                                "%s %s batch %d: headstart %.1f, torch channels-last %.1f (%.2f x), ONNX Runtime %.1f (%.2f x) images/s%n",
                                args[2],
                                precision,
                                batch,
                                own,
                                theirs,
                                own / theirs,
                                ort,
                                own / ort);
                    }
                }
            }
        } finally {
            peer.destroy();
        }
    }

    private static String answer(BufferedReader in) throws IOException {
        String line = in.readLine();
        if (line == null) {
            throw new HeadstartException("the peer ended; run it by hand to see why");
        }
        return line;
    }

    private static double ask(BufferedReader in, PrintWriter out, String what) throws IOException {
        out.println(what);
        return Double.parseDouble(answer(in));
    }

    private static double own(PreTrainedModel<?> model, int batch, double seconds) {
        try (PointerScope scope = new PointerScope()) {
            Tensor x = torch.randn(Math.min(batch, PIECE), 3, 224, 224);
            long begin = 0, n = 0;
            for (int i = 0; i < 2 || System.nanoTime() - begin < seconds * 1e9; i++) {
                if (i == 1) {
                    begin = System.nanoTime();
                }
                for (int at = 0; at < batch; at += PIECE) {
                    logits(model, x);
                }
                n += i > 0 ? batch : 0;
            }
            return n / ((System.nanoTime() - begin) / 1e9);
        }
    }

    private static float[] logits(PreTrainedModel<?> model, Tensor x) {
        try (PointerScope scope = new PointerScope();
                ModelOutput y = model.forward(Inputs.of(Map.of("pixel_values", x)))) {
            return Tensors.floats(Objects.requireNonNull(y.tensors().get("logits")));
        }
    }

    private static double difference(PreTrainedModel<?> model, BufferedReader in, PrintWriter out) throws IOException {
        Path pixels = Files.createTempFile("pixels", ".bin"), result = Files.createTempFile("logits", ".bin");
        try (PointerScope scope = new PointerScope()) {
            torch.manual_seed(1);
            Tensor x = torch.randn(2, 3, 224, 224);
            float[] values = Tensors.floats(x);
            ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
            bytes.asFloatBuffer().put(values);
            Files.write(pixels, bytes.array());
            out.println("outputs " + pixels + " " + result + " 2");
            answer(in);
            float[] own = logits(model, x), theirs = new float[own.length];
            ByteBuffer.wrap(Files.readAllBytes(result))
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .asFloatBuffer()
                    .get(theirs);
            double most = 0, largest = 0;
            for (int i = 0; i < own.length; i++) {
                most = Math.max(most, Math.abs(own[i] - theirs[i]));
                largest = Math.max(largest, Math.abs(theirs[i]));
            }
            return most / largest;
        } finally {
            Files.delete(pixels);
            Files.delete(result);
        }
    }
}
