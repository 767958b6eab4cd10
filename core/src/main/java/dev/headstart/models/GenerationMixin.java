package dev.headstart.models;

import dev.headstart.HeadstartException;
import dev.headstart.generation.DecodingSession;
import dev.headstart.generation.GenerationConfig;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.nn.Weights;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/** What the models that write text have in common: generation parameters and limits, as the configuration says (transformers GenerationMixin). */
public abstract class GenerationMixin<O extends ModelOutput> extends PreTrainedModel<O> implements GenerativeModel {
    private final GenerationConfig generation;
    private final int context;

    /** @param context most positions, 0 for no limit */
    GenerationMixin(Weights w, ConfigJson config, int context) {
        super(w, config);
        this.context = context;
        generation = GenerationConfig.of(Path.of(config.origin()), config.node());
    }

    /** What a generation can begin with. */
    List<String> generationInputs() {
        return List.of("input_ids", "attention_mask");
    }

    /** {@link #startDecoding} from inputs that the model takes. */
    abstract DecodingSession session(Map<String, Tensor> inputs, int rows, int capacity);

    @Override
    public final DecodingSession startDecoding(Map<String, Tensor> inputs, int rows, int capacity) {
        for (String name : inputs.keySet()) {
            if (!generationInputs().contains(name)) {
                throw new HeadstartException(getClass().getSimpleName() + " generates from "
                        + String.join(", ", generationInputs()) + "; it takes no " + name);
            }
        }
        return within(false, () -> session(inputs, rows, capacity));
    }

    @Override
    public final GenerationConfig generationConfig() {
        return generation;
    }

    @Override
    public boolean isEncoderDecoder() {
        return false;
    }

    @Override
    public final int contextLength() {
        return context;
    }

    @Override
    public final boolean contextIsHard() {
        return maxLengthIsHard();
    }
}
