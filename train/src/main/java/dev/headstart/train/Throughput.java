package dev.headstart.train;

import dev.headstart.models.PreTrainedModel;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Natives;
import java.util.Locale;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** How much of the machine a training of a model without a separate decoder used: its arithmetic beside the machine's best matrix products. */
public final class Throughput {
    private Throughput() {}

    /**
     * Operations of one training step for each token: 6 for every weight of a Linear (2 forward, 4 backward), and attention (Kaplan et al. 2020, section
     * 2.1, backward included).
     *
     * @param length tokens of an example
     * @param predicted part of the tokens for which the words are scored
     */
    public static double flopsPerToken(PreTrainedModel<?> model, int length, double predicted) {
        int vocabulary = model.config().integer("vocab_size", 0);
        double weights = 0;
        for (Linear l : model.linears()) {
            weights += (double) l.in() * l.out() * (l.out() == vocabulary ? predicted : 1);
        }
        int layers = model.config().integer("num_hidden_layers", model.config().integer("n_layer", 0));
        int width = model.config().integer("hidden_size", model.config().integer("n_embd", 0));
        return 6 * weights + 12.0 * layers * width * length;
    }

    /** GFLOP/s of 8192 x 8192 x 8192 on the GPU where a model is. */
    private static double gpuPeak(Device device, ScalarType type) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Tensor x = torch.rand(new long[] {8192, 1024}).to(device, type).repeat(1, 8); // [8192, 8192]
            double best = Double.MAX_VALUE;
            for (int i = 0; i < 4; i++) {
                torch.linear(x, x).select(0, 0).select(0, 0).item_double(); // waits for what was begun before
                long t = System.nanoTime();
                for (int k = 0; k < 9; k++) {
                    torch.linear(x, x);
                }
                torch.linear(x, x).select(0, 0).select(0, 0).item_double();
                best = Math.min(best, (System.nanoTime() - t) / 1e9 / 10);
            }
            return 2.0 * 8192 * 8192 * 8192 / best / 1e9;
        }
    }

    /** GFLOP/s of 1024 x 1024 x 4096 at best, with as many threads as training has. */
    public static double gemmPeak(ScalarType type) {
        Natives.blasThreads(true); // as models do for training; a loaded model has set it to one
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Tensor x = torch.rand(new long[] {1024, 1024}).to(type);
            Tensor w = torch.rand(new long[] {4096, 1024}).to(type);
            double best = Double.MAX_VALUE;
            for (int i = 0; i < 6; i++) {
                long t = System.nanoTime();
                torch.linear(x, w);
                best = Math.min(best, (System.nanoTime() - t) / 1e9);
            }
            return 2.0 * 1024 * 1024 * 4096 / best / 1e9;
        }
    }

    /** In words; measures the machine for a fraction of a second. */
    public static String describe(
            PreTrainedModel<?> model, double tokensPerSecond, int length, double predicted, boolean bf16) {
        Tensor any = model.namedParameters().values().iterator().next().tensor();
        ScalarType type = bf16 ? ScalarType.BFloat16 : ScalarType.Float;
        double peak = any.is_cuda() ? gpuPeak(any.device(), type) : gemmPeak(type);
        double used = tokensPerSecond * flopsPerToken(model, length, predicted) / 1e9;
        return String.format(
                Locale.ROOT,
                "%,.0f tokens/s, %.0f GFLOP/s: %.0f %% of the %s's matrix products at their best (%s, %.0f GFLOP/s)",
                tokensPerSecond,
                used,
                100 * used / peak,
                any.is_cuda() ? "GPU" : "machine",
                bf16 ? "bf16" : "fp32",
                peak);
    }
}
