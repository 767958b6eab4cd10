package dev.headstart.train;

import dev.headstart.models.PreTrainedModel;
import dev.headstart.nn.Parameter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/**
 * Parameters that an optimizer treats alike.
 *
 * @param parameters in a fixed order
 * @param weightDecay their weight decay
 * @param rate what the learning rate is multiplied with
 */
public record ParameterGroup(List<Parameter> parameters, double weightDecay, double rate) {
    /** Where weight decay does harm: biases and the weights of normalizations (transformers get_decay_parameter_names). */
    private static final Pattern NO_DECAY = Pattern.compile(
            "(.*\\.)?(bias|[^.]*(norm|Norm)[^.]*\\.weight|ln_(f|\\d+|pre|post)\\.weight|bn\\d*\\.weight)",
            Pattern.CASE_INSENSITIVE);

    /** Copies the list. */
    public ParameterGroup {
        parameters = List.copyOf(parameters);
    }

    /** Parameters that learn at the full rate. */
    public ParameterGroup(List<Parameter> parameters, double weightDecay) {
        this(parameters, weightDecay, 1);
    }

    /** Every parameter of a model in training mode that is not frozen, adapters included, in the model's order. */
    public static List<Parameter> trainable(PreTrainedModel<?> model) {
        List<Parameter> all = new ArrayList<>();
        all.addAll(model.namedParameters().values());
        all.addAll(model.state().added().values());
        return all.stream().filter(p -> !p.isBuffer() && p.trainable()).toList();
    }

    /** One group for each weight decay: {@code weightDecay}, and 0 for the parameters that {@code noDecay} takes out by name. */
    public static List<ParameterGroup> split(
            List<Parameter> parameters, double weightDecay, Predicate<String> noDecay) {
        Map<Double, List<Parameter>> byDecay = new TreeMap<>();
        for (Parameter p : parameters) {
            byDecay.computeIfAbsent(noDecay.test(p.name()) ? 0.0 : weightDecay, k -> new ArrayList<>())
                    .add(p);
        }
        return byDecay.entrySet().stream()
                .map(e -> new ParameterGroup(e.getValue(), e.getKey()))
                .toList();
    }

    /** Whether a parameter is a bias or belongs to a normalization, by its name. */
    public static boolean isBiasOrNorm(String name) {
        return NO_DECAY.matcher(name).matches();
    }
}
