package dev.headstart.train;

import dev.headstart.models.PreTrainedModel;
import dev.headstart.nn.Memory;
import dev.headstart.nn.Ops;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;

/** Where a model computes, and how batches get there. */
public final class Placement {
    private static final MemoryFormatOptional AS_IT_IS = Memory.keep(new MemoryFormatOptional());

    private Placement() {}

    /**
     * A batch beside the model's weights: itself on the CPU; on a GPU copies in the caller's scope, through page-locked memory and without waiting for
     * what the GPU still has to do.
     */
    public static Map<String, Tensor> of(PreTrainedModel<?> model, Map<String, Tensor> batch) {
        Tensor there = any(model);
        if (!there.is_cuda()) {
            return batch;
        }
        Device device = there.device();
        Map<String, Tensor> moved = new LinkedHashMap<>();
        batch.forEach((name, t) ->
                moved.put(name, t.is_cuda() ? t : t.pin_memory().to(device, Ops.type(t), true, false, AS_IT_IS)));
        return moved;
    }

    private static Tensor any(PreTrainedModel<?> model) {
        return model.namedParameters().values().iterator().next().tensor();
    }
}
