package dev.headstart.nn;

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

    @Override
    public void close() {
        if (torch.decrement_nesting() == 0) {
            torch.clear_cache();
        }
        torch.set_autocast_enabled(device, before);
    }
}
