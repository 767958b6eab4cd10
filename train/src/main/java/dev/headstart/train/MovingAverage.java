package dev.headstart.train;

import dev.headstart.HeadstartException;
import dev.headstart.io.Safetensors;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.nn.Memory;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/**
 * Exponential moving average of weights and running statistics over the steps (Polyak averaging; timm ModelEma). It starts quickly: the decay of step t
 * is at most (1 + t) / (10 + t). It is saved in each checkpoint and read again on resuming.
 */
public final class MovingAverage implements TrainerCallback, AutoCloseable {
    private static final String FILE = "ema.safetensors";
    private static final OperatorHandle LERP = Ops.find("aten::_foreach_lerp_", "Scalar");
    private final PreTrainedModel<?> model;
    private final double decay;
    private final Path checkpoints;
    private final Map<String, Tensor> average = new LinkedHashMap<>();

    /** @param decay near 1 @param checkpoints where the trainer writes them */
    public MovingAverage(PreTrainedModel<?> model, double decay, Path checkpoints) {
        if (!(decay > 0 && decay < 1)) {
            throw new HeadstartException("--ema must be above 0 and below 1, found " + decay);
        }
        this.model = model;
        this.decay = decay;
        this.checkpoints = checkpoints;
        tensors()
                .forEach((name, t) ->
                        average.put(name, Memory.scoped(() -> t.detach().clone())));
    }

    /** Weights and statistics that are numbers with a fraction. */
    private Map<String, Tensor> tensors() {
        Map<String, Tensor> all = new LinkedHashMap<>();
        for (Parameter p : model.namedParameters().values()) {
            if (p.tensor().is_floating_point()) {
                all.put(p.name(), p.tensor());
            }
        }
        return all;
    }

    @Override
    public void onBegin(long first, long total) {
        Path file = checkpoints.resolve("checkpoint-" + (first - 1)).resolve(FILE);
        if (first > 1 && Files.exists(file)) {
            Map<String, Tensor> saved = Safetensors.readMap(file);
            try (PointerScope scope = new PointerScope()) {
                average.forEach((name, t) -> {
                    Tensor s = saved.get(name);
                    if (s == null || s.numel() != t.numel()) {
                        throw new HeadstartException(file + ": " + name
                                + " is missing or of another shape; the checkpoint is of another model");
                    }
                    t.copy_(s);
                });
            } finally {
                saved.values().forEach(Tensor::close);
            }
        }
    }

    @Override
    public void onStep(Step step) {
        double d = Math.min(decay, (1.0 + step.step()) / (10 + step.step()));
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Ops.run(
                    LERP,
                    Ops.list(average.values()),
                    Ops.list(List.copyOf(tensors().values())),
                    new IValue(new Scalar(1 - d)));
        }
    }

    @Override
    public void onSave(long step, Path staging) {
        Safetensors.write(staging.resolve(FILE), average, Map.of());
    }

    /** What {@code evaluation} finds with the averages in the model's place. */
    public <T> T during(Supplier<T> evaluation) {
        swap();
        try {
            return evaluation.get();
        } finally {
            swap();
        }
    }

    /** Exchanges the model's values and the averages; doing so again undoes it. */
    public void swap() {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Map<String, Tensor> mine = tensors();
            average.forEach((name, t) -> {
                Tensor p = java.util.Objects.requireNonNull(mine.get(name)),
                        before = p.detach().clone();
                p.copy_(t);
                t.copy_(before);
            });
        }
    }

    @Override
    public void close() {
        average.values().forEach(Tensor::close);
        average.clear();
    }
}
