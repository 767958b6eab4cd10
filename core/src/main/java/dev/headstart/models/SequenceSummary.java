package dev.headstart.models;

import dev.headstart.HeadstartException;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Weights;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** One vector a text as config.json's {@code summary_} fields say (transformers GPT2SequenceSummary, ElectraSequenceSummary). */
final class SequenceSummary {
    private final String type;
    private final @Nullable Linear projection;
    private final Activation activation;
    private final Dropout first;
    private final Dropout last;

    /** What the family's configuration class says where config.json is silent. */
    record Defaults(String type, String activation, double firstDropout, double lastDropout) {}

    /**
     * @param w its place among the weights
     * @param size hidden size
     * @param out size of the result where there is a projection
     */
    SequenceSummary(Weights w, ConfigJson config, int size, int out, Defaults defaults) {
        type = config.text("summary_type", defaults.type);
        if (!List.of("first", "last", "mean", "cls_index").contains(type)) {
            throw new HeadstartException(
                    config.origin() + ": summary_type must be first, last, mean or cls_index, found \"" + type
                            + "\"; transformers has no other");
        }
        boolean project = config.flag("summary_use_proj", true);
        projection = project ? w.sub("summary").linear(size, out) : null;
        boolean none = config.node().has("summary_activation") && !config.has("summary_activation");
        String name = none ? "" : config.text("summary_activation", defaults.activation);
        activation = Activation.of(name.isEmpty() ? "linear" : name);
        first = w.dropout(config.number("summary_first_dropout", defaults.firstDropout));
        last = w.dropout(config.number("summary_last_dropout", defaults.lastDropout));
    }

    /**
     * @param x [..., S, H]
     * @param index which position stands for the text, [...], for {@code cls_index}; null for the last
     * @return [..., H or out]
     */
    Tensor forward(Tensor x, @Nullable Tensor index) {
        Tensor one =
                switch (type) { // [..., H]; as in the reference, dimension 1 is meant for S even where S is further
                    // right
                    case "first" -> x.select(1, 0);
                    case "last" -> x.select(1, x.size(1) - 1);
                    case "mean" -> x.mean(1);
                    default -> index == null ? x.select(-2, x.size(-2) - 1) : at(x, index);
                };
        Tensor y = first.forward(one);
        y = projection == null ? activation.apply(y) : projection.forward(y, activation);
        return last.forward(y);
    }

    private static Tensor at(Tensor x, Tensor index) {
        long[] shape = x.shape();
        shape[shape.length - 2] = 1;
        Tensor where = Checks.ids(index, "mc_token_ids", x.size(-2)); // [...]
        return x.gather(-2, where.unsqueeze(-1).unsqueeze(-1).expand(shape)).squeeze(-2);
    }
}
