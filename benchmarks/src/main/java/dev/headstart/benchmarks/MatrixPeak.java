package dev.headstart.benchmarks;

import dev.headstart.nn.Natives;
import dev.headstart.nn.Ops;
import java.util.function.Supplier;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** What the machine's matrix products reach at best. */
final class MatrixPeak {
    private MatrixPeak() {}

    /** GFLOP/s of the best of four shapes of BERT-base's Linears, weights prepacked by oneDNN; on a GPU of a large square. @param precision fp32, bf16 or int8 */
    static double packed(String precision) {
        Natives.load();
        if (torch.cuda_is_available()) {
            return gpu(precision.equals("bf16") ? ScalarType.BFloat16 : ScalarType.Float);
        }
        double best = 0;
        for (long m : new long[] {512, 2048}) {
            for (long[] shape : new long[][] {{768, 3072}, {3072, 768}}) {
                best = Math.max(best, packed(precision, m, shape[0], shape[1]));
            }
        }
        return best;
    }

    private static double packed(String precision, long m, long k, long n) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Tensor x = torch.rand(new long[] {m, k});
            Tensor w = torch.rand(new long[] {n, k});
            if (precision.equals("int8")) {
                return best(m, k, n, int8(x, w));
            }
            ScalarType type = precision.equals("bf16") ? ScalarType.BFloat16 : ScalarType.Float;
            OperatorHandle op = Ops.find("mkldnn::_linear_pointwise", "");
            Tensor packed =
                    Ops.call(Ops.find("mkldnn::_reorder_linear_weight", ""), new IValue(w.to(type)), new IValue());
            Tensor input = x.to(type);
            IValue none = Ops.emptyList(op, 4);
            return best(
                    m,
                    k,
                    n,
                    () -> Ops.call(
                            op,
                            new IValue(input),
                            new IValue(packed),
                            new IValue(),
                            new IValue("none"),
                            none,
                            new IValue()));
        }
    }

    private static double gpu(ScalarType type) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            long n = 8192;
            Tensor x = torch.rand(new long[] {n, n}).to(new Device("cuda"), type);
            return best(n, n, n, () -> {
                Tensor y = x.mm(x);
                torch.cuda_synchronize();
                return y;
            });
        }
    }

    private static Supplier<Tensor> int8(Tensor x, Tensor w) {
        OperatorHandle op = Ops.find("onednn::qlinear_pointwise", "");
        long n = w.size(0);
        Tensor packed = Ops.call(
                Ops.find("onednn::qlinear_prepack", ""),
                new IValue(w.mul(new Scalar(100)).to(ScalarType.Char)),
                new IValue());
        Tensor input = x.mul(new Scalar(100)).to(ScalarType.Byte);
        Tensor scales = torch.ones(new long[] {n});
        Tensor zeros = torch.zeros(new long[] {n}).to(ScalarType.Long);
        IValue none = Ops.emptyList(op, 11);
        return () -> Ops.call(
                op,
                new IValue(input),
                new IValue(0.01),
                new IValue(0L),
                new IValue(packed),
                new IValue(scales),
                new IValue(zeros),
                new IValue(),
                new IValue(1.0),
                new IValue(0L),
                new IValue((long) ScalarType.BFloat16.intern().value),
                new IValue("none"),
                none,
                new IValue(""));
    }

    private static double best(long m, long k, long n, Supplier<Tensor> product) {
        double best = Double.MAX_VALUE;
        for (int i = 0; i < 8; i++) {
            long t = System.nanoTime();
            try (PointerScope scope = new PointerScope()) {
                if (product.get().numel() == 0) {
                    throw new IllegalStateException("an empty product");
                }
            }
            best = Math.min(best, (System.nanoTime() - t) / 1e9);
        }
        return 2.0 * m * k * n / best / 1e9;
    }
}
