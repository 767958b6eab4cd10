package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.gelu;
import static org.bytedeco.pytorch.global.torch.hardswish;
import static org.bytedeco.pytorch.global.torch.leaky_relu;
import static org.bytedeco.pytorch.global.torch.mish;
import static org.bytedeco.pytorch.global.torch.relu;
import static org.bytedeco.pytorch.global.torch.relu6;
import static org.bytedeco.pytorch.global.torch.sigmoid;
import static org.bytedeco.pytorch.global.torch.silu;
import static org.bytedeco.pytorch.global.torch.softplus;
import static org.bytedeco.pytorch.global.torch.square;
import static org.bytedeco.pytorch.global.torch.tanh;

import dev.headstart.HeadstartException;
import java.util.Arrays;
import java.util.Locale;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** Activations under transformers' names ({@code transformers.activations.ACT2FN}). Shapes are kept. */
public enum Activation {
    /** No activation. */
    LINEAR("linear", x -> x, "none", null),
    /** x Phi(x) with the exact normal distribution function. */
    GELU("gelu", x -> gelu(x), "gelu", "none"),
    /** GELU by tanh, as GPT-2 writes it out (Hendrycks and Gimpel 2016). */
    GELU_NEW("gelu_new", x -> gelu(x, "tanh"), "gelu", "tanh"),
    /** GELU by tanh, in torch's own kernel. */
    GELU_PYTORCH_TANH("gelu_pytorch_tanh", x -> gelu(x, "tanh"), "gelu", "tanh"),
    /** GELU by tanh, Flax' constants. */
    GELU_FAST("gelu_fast", x -> gelu(x, "tanh"), "gelu", "tanh"),
    /** GELU by tanh, written out. */
    GELU_PYTHON_TANH("gelu_python_tanh", x -> gelu(x, "tanh"), "gelu", "tanh"),
    /** GELU in Python in the original BERT. */
    GELU_PYTHON("gelu_python", x -> gelu(x), "gelu", "none"),
    /** GELU by tanh in Gemma's spelling. */
    GELU_ACCURATE("gelu_accurate", x -> gelu(x, "tanh"), "gelu", "tanh"),
    /** GELU clipped to [-10, 10]. */
    GELU_10("gelu_10", x -> gelu(x).clamp(scalarOf(-10), scalarOf(10)), null, null),
    /** x sigmoid(1.702 x), CLIP's. */
    QUICK_GELU("quick_gelu", x -> x.mul(sigmoid(x.mul(new Scalar(1.702)))), null, null),
    /** max(0, x). */
    RELU("relu", x -> relu(x), "relu", null),
    /** max(0, x) squared. */
    RELU2("relu2", x -> square(relu(x)), null, null),
    /** min(max(0, x), 6). */
    RELU6("relu6", x -> relu6(x), null, null),
    /** x sigmoid(x). */
    SILU("silu", x -> silu(x), null, null),
    /** x sigmoid(x), the older name. */
    SWISH("swish", x -> silu(x), null, null),
    /** x tanh(softplus(x)). */
    MISH("mish", x -> mish(x), null, null),
    /** Hyperbolic tangent. */
    TANH("tanh", x -> tanh(x), "tanh", null),
    /** Logistic function. */
    SIGMOID("sigmoid", x -> sigmoid(x), "sigmoid", null),
    /** max(0.01 x, x). */
    LEAKY_RELU("leaky_relu", x -> leaky_relu(x), null, null),
    /** x relu6(x + 3) / 6. */
    HARDSWISH("hardswish", x -> hardswish(x), null, null),
    /** Normal distribution function with mean 0.707107 and standard deviation 0.282095 (Ma et al. 2022). */
    LAPLACE("laplace", x -> laplace(x), null, null),
    /** Square root of softplus. */
    SQRTSOFTPLUS("sqrtsoftplus", x -> softplus(x).sqrt(), null, null);

    private final String id;
    private final UnaryOperator<Tensor> function;
    private final @Nullable String fused;
    private final @Nullable String algorithm;

    Activation(String id, UnaryOperator<Tensor> function, @Nullable String fused, @Nullable String algorithm) {
        this.id = id;
        this.function = function;
        this.fused = fused;
        this.algorithm = algorithm;
    }

    /**
     * By transformers' name.
     *
     * @throws HeadstartException naming the activations there are
     */
    public static Activation of(String name) {
        for (Activation a : values()) {
            if (a.id.equals(name.toLowerCase(Locale.ROOT))) {
                return a;
            }
        }
        throw new HeadstartException("config.json: unknown activation \"" + name + "\"; known: "
                + Arrays.stream(values()).map(Activation::id).collect(Collectors.joining(", ")));
    }

    /** transformers' name. */
    public String id() {
        return id;
    }

    /** Applies it element-wise. */
    public Tensor apply(Tensor x) {
        return function.apply(x);
    }

    /** oneDNN's name where a linear can apply it while it writes its output, else null. */
    @Nullable
    String fused() {
        return fused;
    }

    /** oneDNN's variant of the activation, else null. */
    @Nullable
    String algorithm() {
        return algorithm;
    }

    private static Tensor laplace(Tensor x) {
        Tensor z = x.sub(new Scalar(0.707107)).div(new Scalar(0.282095 * Math.sqrt(2)));
        return z.erf().add(new Scalar(1)).mul(new Scalar(0.5));
    }

    private static org.bytedeco.pytorch.ScalarOptional scalarOf(double v) {
        return new org.bytedeco.pytorch.ScalarOptional(new Scalar(v));
    }
}
