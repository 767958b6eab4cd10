package dev.headstart.nn;

import dev.headstart.HeadstartException;
import dev.headstart.io.TensorSource;
import java.util.Collection;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Where the values of weights can be read again, so that they need not be there in fp32 while nothing computes with them in fp32.
 *
 * @param checkpoint opens the weights that the model was built from, under the names of {@code names}
 * @param names of the weights in the checkpoint by their paths in the model; what did not come from there is not among them
 * @param type of the model's weights
 */
record Originals(Supplier<TensorSource> checkpoint, Map<String, String> names, ScalarType type) {
    /** Reads weights of those that {@link #names} lists. @param use gets each with its value, which belongs to a scope that ends with the call */
    void read(Collection<Parameter> parameters, BiConsumer<Parameter, Tensor> use) {
        try (TensorSource source = checkpoint.get()) {
            for (Parameter p : parameters) {
                String name = names.get(p.name());
                if (name == null || !source.names().contains(name)) {
                    throw new HeadstartException(
                            "the checkpoint that this model was read from no longer holds " + p.name()
                                    + "; it must stay as it is while the model trains: put it back and train again"
                                    + " (--resume)");
                }
                Memory.scoped(() -> {
                    try (Tensor t = source.tensor(name)) {
                        use.accept(p, t.to(type));
                    }
                });
            }
        }
    }

    /** A weight that is not what it was when the model was read. */
    static HeadstartException changed(Parameter p) {
        return new HeadstartException("the checkpoint that this model was read from has another " + p.name()
                + " now than when training began; it must stay as it is while the model trains: put it back and train"
                + " again (--resume)");
    }
}
