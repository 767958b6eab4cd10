package dev.headstart.train;

import dev.headstart.HeadstartException;
import dev.headstart.models.Inputs;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.nn.Memory;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/** What training makes small. */
@FunctionalInterface
public interface Objective {
    /**
     * The loss of one batch.
     *
     * @param batch what {@link TrainingData#batch} made; the tensors stay the caller's
     * @return a scalar that carries gradients, made in the caller's scope
     */
    Tensor loss(PreTrainedModel<?> model, Map<String, Tensor> batch);

    /** The loss that the model itself computes from the labels in the batch. */
    static Objective ofModel() {
        return (model, batch) -> {
            Tensor loss = forward(model, batch).get("loss");
            if (loss == null) {
                throw new HeadstartException(model.getClass().getSimpleName() + " gives no loss for a batch of "
                        + String.join(", ", batch.keySet())
                        + "; labels are missing, or an objective of its own is needed");
            }
            return loss;
        };
    }

    /** Runs the model; its outputs by transformers' names belong to the caller's scope. */
    static Map<String, Tensor> forward(PreTrainedModel<?> model, Map<String, Tensor> batch) {
        PointerScope scope = PointerScope.getInnerScope();
        try (ModelOutput out = model.forward(Inputs.of(batch))) {
            Map<String, Tensor> tensors = out.tensors();
            tensors.values().forEach(t -> {
                if (scope == null) {
                    Memory.keep(t);
                } else {
                    scope.attach(t);
                }
            });
            return tensors;
        }
    }
}
