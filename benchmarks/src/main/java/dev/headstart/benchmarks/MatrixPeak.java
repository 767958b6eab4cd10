package dev.headstart.benchmarks;

import dev.headstart.nn.Natives;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** What the machine's matrix products reach at best. */
final class MatrixPeak {
    private MatrixPeak() {}

    /** GFLOP/s of 1024 x 1024 x 4096. */
    static double gflops(torch.ScalarType type) {
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
}
