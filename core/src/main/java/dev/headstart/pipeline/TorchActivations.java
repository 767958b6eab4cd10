package dev.headstart.pipeline;

import static org.bytedeco.pytorch.global.torch.celu;
import static org.bytedeco.pytorch.global.torch.elu;
import static org.bytedeco.pytorch.global.torch.hardshrink;
import static org.bytedeco.pytorch.global.torch.hardsigmoid;
import static org.bytedeco.pytorch.global.torch.hardtanh;
import static org.bytedeco.pytorch.global.torch.log_sigmoid;
import static org.bytedeco.pytorch.global.torch.selu;
import static org.bytedeco.pytorch.global.torch.softplus;
import static org.bytedeco.pytorch.global.torch.softshrink;

import dev.headstart.HeadstartException;
import dev.headstart.nn.Activation;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/** The activations of {@code torch.nn} with their default arguments, by which sentence-transformers' modules name theirs. */
final class TorchActivations {
    private static final Map<String, UnaryOperator<Tensor>> ALL = all();

    private TorchActivations() {}

    private static Map<String, UnaryOperator<Tensor>> all() {
        Map<String, UnaryOperator<Tensor>> all = new TreeMap<>();
        all.put("identity", Activation.LINEAR::apply);
        all.put("tanh", Activation.TANH::apply);
        all.put("sigmoid", Activation.SIGMOID::apply);
        all.put("relu", Activation.RELU::apply);
        all.put("relu6", Activation.RELU6::apply);
        all.put("leakyrelu", Activation.LEAKY_RELU::apply);
        all.put("gelu", Activation.GELU::apply);
        all.put("silu", Activation.SILU::apply);
        all.put("mish", Activation.MISH::apply);
        all.put("hardswish", Activation.HARDSWISH::apply);
        all.put("elu", x -> elu(x));
        all.put("celu", x -> celu(x));
        all.put("selu", x -> selu(x));
        all.put("softplus", x -> softplus(x));
        all.put("softsign", x -> x.div(x.abs().add(new Scalar(1))));
        all.put("hardtanh", x -> hardtanh(x));
        all.put("hardsigmoid", x -> hardsigmoid(x));
        all.put("hardshrink", x -> hardshrink(x));
        all.put("softshrink", x -> softshrink(x));
        all.put("tanhshrink", x -> x.sub(x.tanh()));
        all.put("logsigmoid", x -> log_sigmoid(x));
        all.put("softmax", x -> x.softmax(1));
        all.put("logsoftmax", x -> x.log_softmax(1));
        return all;
    }

    /**
     * By the name of torch's class, with or without its package.
     *
     * @param where the file or argument that names it
     * @return takes and gives [B, D]
     */
    static UnaryOperator<Tensor> of(String name, String where) {
        UnaryOperator<Tensor> found = ALL.get(last(name));
        if (found == null) {
            throw new HeadstartException(
                    where + " " + name + " is not known; known of torch.nn: " + String.join(", ", ALL.keySet()));
        }
        return found;
    }

    /** The class's name alone, in lower case. */
    static String last(String name) {
        return name.substring(name.lastIndexOf('.') + 1).toLowerCase(Locale.ROOT);
    }
}
