package dev.headstart.nn;

import java.util.function.Supplier;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** torch.autocast with bf16 on this thread: matrix products in bf16, sums and losses in fp32; each weight is cast once. */
public final class Autocast implements AutoCloseable {
    private final DeviceType device;
    private final boolean before;

    /** Switches it on. @param device whose operators compute in bf16 */
    public Autocast(DeviceType device) {
        this.device = device;
        this.before = torch.is_autocast_enabled(device);
        torch.set_autocast_dtype(device, ScalarType.BFloat16);
        torch.set_autocast_enabled(device, true);
        torch.increment_nesting();
    }

    /** The input of several matrix products in the type that this thread computes them in: each would make a copy of its own, and keep it for its gradient. */
    static Tensor operand(Tensor x) {
        boolean lower = Ops.type(x) == ScalarType.Float && isOn(x.is_cuda() ? DeviceType.CUDA : DeviceType.CPU);
        return lower ? x.to(ScalarType.BFloat16) : x;
    }

    /** Whether it is on, on this thread. */
    static boolean isOn(DeviceType device) {
        return torch.is_autocast_enabled(device);
    }

    /** Does something as if it were off on the CPU: for operators that take types as they come. */
    public static <T> T without(Supplier<T> work) {
        if (!isOn(DeviceType.CPU)) {
            return work.get();
        }
        torch.set_autocast_enabled(DeviceType.CPU, false);
        try {
            return work.get();
        } finally {
            torch.set_autocast_enabled(DeviceType.CPU, true);
        }
    }

    @Override
    public void close() {
        if (torch.decrement_nesting() == 0) {
            torch.clear_cache();
        }
        torch.set_autocast_enabled(device, before);
    }
}
