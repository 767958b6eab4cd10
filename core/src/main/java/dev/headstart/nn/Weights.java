package dev.headstart.nn;

import dev.headstart.HeadstartException;
import dev.headstart.io.TensorInfo;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Where layers get their weights: a path into a checkpoint (or into nothing, when a model starts from scratch). {@link #sub} goes down,
 * {@link #linear} and its like build a layer at the place. Missing weights are collected and reported together by {@link WeightLoader#finish}.
 */
public final class Weights {
    private final WeightLoader loader;
    private final String path;
    private final boolean head;

    Weights(WeightLoader loader, String path, boolean head) {
        this.loader = loader;
        this.path = path;
        this.head = head;
    }

    /** The weights below {@code name}; dots go down several levels. */
    public Weights sub(String name) {
        return name.isEmpty() ? this : new Weights(loader, join(name), head);
    }

    /** The same place, marked as task head: with {@code Init.NEW_HEAD} its missing weights are initialised instead of reported. */
    public Weights head() {
        return new Weights(loader, path, true);
    }

    /** Whether the checkpoint holds a tensor of this name here; true for every name when starting from scratch. */
    public boolean has(String name) {
        return loader.has(join(name));
    }

    /** Full path of this place. */
    public String path() {
        return path;
    }

    /** Where the model lives. */
    public Device device() {
        return loader.device();
    }

    /** The state that the layers share. */
    public ModelState state() {
        return loader.state();
    }

    /** The sizes of a stored tensor, for layers whose size no config field gives; null when it is not in the checkpoint. */
    public @Nullable List<Long> shapeOf(String name) {
        TensorInfo info = loader.info(join(name));
        return info == null ? null : info.shape();
    }

    /** A weight of the given shape. @param init how it starts when it is not read */
    public Parameter parameter(String name, Init init, long... shape) {
        return loader.parameter(join(name), init, false, head, shape);
    }

    /** A weight that a kernel may hold in its own form: where layers are packed before the source is closed, it is read only when it is needed. */
    private Parameter packable(Init init, long... shape) {
        return loader.packable(join("weight"), init, head, shape);
    }

    /** A buffer: saved with the weights, never trained. @param init how it starts when it is not read */
    public Parameter buffer(String name, Init init, long... shape) {
        return loader.parameter(join(name), init, true, head, shape);
    }

    /** A Linear with bias: {@code weight} [out, in], {@code bias} [out]. */
    public Linear linear(long in, long out) {
        return linear(in, out, true);
    }

    /** A Linear: {@code weight} [out, in] and, if asked for, {@code bias} [out]. */
    public Linear linear(long in, long out, boolean bias) {
        return linear(in, out, bias, loader.linearInit());
    }

    /** As {@link #linear(long, long, boolean)}. @param init how the weight starts when it is not read */
    public Linear linear(long in, long out, boolean bias, Init init) {
        Parameter w = packable(init, out, in);
        return register(new Linear(path, w, bias ? parameter("bias", Init.ZEROS, out) : null, false));
    }

    /** A Linear whose new weights start as torch's own do: uniform, bound 1 / sqrt(in). */
    public Linear torchLinear(long in, long out) {
        Parameter w = packable(new Init.KaimingUniform(), out, in);
        return register(new Linear(path, w, parameter("bias", new Init.Uniform(1 / Math.sqrt(in)), out), false));
    }

    /** GPT-2's Conv1D: {@code weight} [in, out], {@code bias} [out]. */
    public Linear conv1d(long in, long out) {
        return conv1d(in, out, loader.linearInit());
    }

    /** GPT-2's Conv1D whose weight starts as {@code init} says. */
    public Linear conv1d(long in, long out, Init init) {
        Parameter w = packable(init, in, out);
        return register(new Linear(path, w, parameter("bias", Init.ZEROS, out), true));
    }

    /**
     * A Linear whose weight is another parameter (tied to an embedding) and whose bias, if any, is given too. Where the checkpoint holds other values
     * for them at this place, they are its own, as transformers 5 decides (tie_weights).
     */
    public Linear tiedLinear(Parameter weight, @Nullable Parameter bias) {
        boolean own = differs("weight", weight);
        Parameter w = own ? packable(loader.linearInit(), weight.size(0), weight.size(1)) : weight;
        Parameter b = bias != null && differs("bias", bias) ? parameter("bias", Init.ZEROS, bias.size(0)) : bias;
        if (!own) {
            tie("weight", weight);
        }
        if (bias != null && b == bias) {
            tie("bias", bias);
        }
        return register(new Linear(path, w, b, false));
    }

    /** A table that is another one, unless the checkpoint holds other values for it at this place. */
    public Embedding tiedEmbedding(Embedding table, long paddingIdx) {
        Parameter weight = table.weight();
        if (differs("weight", weight)) {
            return embedding(weight.size(0), weight.size(1), paddingIdx);
        }
        tie("weight", weight);
        return table;
    }

    private boolean differs(String name, Parameter shared) {
        return !join(name).equals(shared.name()) && loader.differs(join(name), shared.name());
    }

    /** Declares that {@code name} here is the same tensor as {@code parameter}: not read, not saved twice. */
    public void tie(String name, Parameter parameter) {
        if (!join(name).equals(parameter.name())) {
            loader.tie(join(name), parameter);
        }
    }

    /** A table of {@code n} rows of size {@code d}: {@code weight} [n, d]. */
    public Embedding embedding(long n, long d) {
        return embedding(n, d, -1);
    }

    /** A table whose row {@code paddingIdx} gets no gradient and starts at zero; -1 for none. */
    public Embedding embedding(long n, long d, long paddingIdx) {
        return table(packable(loader.embeddingInit(paddingIdx), n, d), paddingIdx);
    }

    /** A table of {@code n} rows of size {@code d} that starts as {@code init} says: {@code weight} [n, d]. */
    public Embedding embedding(long n, long d, Init init) {
        return table(packable(init, n, d), -1);
    }

    private Embedding table(Parameter weight, long paddingIdx) {
        loader.state().tables().add(weight);
        return new Embedding(weight, paddingIdx);
    }

    /** LayerNorm over the last dimension: {@code weight} [d], {@code bias} [d]. */
    public LayerNorm layerNorm(long d, double eps) {
        return layerNorm(d, eps, true);
    }

    /** LayerNorm over the last dimension: {@code weight} [d] and, if asked for, {@code bias} [d]. */
    public LayerNorm layerNorm(long d, double eps, boolean bias) {
        return new LayerNorm(parameter("weight", Init.ONES, d), bias ? parameter("bias", Init.ZEROS, d) : null, eps);
    }

    /** RmsNorm over the last dimension: {@code weight} [d]. @param offset whether the stored weight is counted from 1 (Gemma) */
    public RmsNorm rmsNorm(long d, double eps, boolean offset) {
        return new RmsNorm(parameter("weight", offset ? Init.ZEROS : Init.ONES, d), eps, offset);
    }

    /** A convolution with a square kernel: {@code weight} [out, in / groups, kernel, kernel] and, if asked for, {@code bias} [out]. */
    public Conv2d conv2d(long in, long out, long kernel, Conv2d.Shape shape, boolean bias) {
        return conv2d(in, out, kernel, shape, bias, loader.linearInit());
    }

    /** As {@link #conv2d(long, long, long, Conv2d.Shape, boolean)}. @param init how the weight starts when it is not read */
    public Conv2d conv2d(long in, long out, long kernel, Conv2d.Shape shape, boolean bias, Init init) {
        Parameter w = parameter("weight", init, out, in / shape.groups(), kernel, kernel);
        return new Conv2d(w, bias ? parameter("bias", Init.ZEROS, out) : null, shape, shape.stride(), shape.stride());
    }

    /** A convolution that cuts an image into patches: kernel and stride are {patch height, patch width}. */
    public Conv2d patches(long in, long out, long height, long width, boolean bias) {
        Parameter w = parameter("weight", loader.linearInit(), out, in, height, width);
        return new Conv2d(
                w, bias ? parameter("bias", Init.ZEROS, out) : null, Conv2d.Shape.of(height, 0), height, width);
    }

    /** Batch normalization: {@code weight}, {@code bias}, {@code running_mean}, {@code running_var} [c], {@code num_batches_tracked}. */
    public BatchNorm2d batchNorm2d(long c, double eps) {
        return batchNorm2d(c, eps, 0.1);
    }

    /** As {@link #batchNorm2d(long, double)}. @param momentum by how much the running statistics follow a batch's */
    public BatchNorm2d batchNorm2d(long c, double eps, double momentum) {
        return new BatchNorm2d(
                parameter("weight", Init.ONES, c),
                parameter("bias", Init.ZEROS, c),
                buffer("running_mean", Init.ZEROS, c),
                buffer("running_var", Init.ONES, c),
                loader.counter(join("num_batches_tracked")),
                momentum,
                eps,
                loader.state());
    }

    /** A convolution and its batch normalization, which inference may fold into one. */
    public ConvNorm convNorm(Conv2d convolution, BatchNorm2d normalization) {
        ConvNorm pair = new ConvNorm(convolution, normalization);
        loader.state().convNorms().add(pair);
        return pair;
    }

    /** Stochastic depth that follows the model's training mode. */
    public DropPath dropPath(double p) {
        return new DropPath(p, loader.state());
    }

    /** Dropout that follows the model's training mode. */
    public Dropout dropout(double p) {
        return new Dropout(p, loader.state());
    }

    private Linear register(Linear layer) {
        loader.state().linears().add(layer);
        return layer;
    }

    private String join(String name) {
        return path.isEmpty() ? name : path + "." + name;
    }

    static HeadstartException wrongShape(String file, String name, List<Long> found, long[] expected, String config) {
        return new HeadstartException(file + ": tensor " + name + " has shape " + found + ", config.json " + config
                + "needs " + Arrays.toString(expected) + "; the file and its config.json do not belong together");
    }

    static HeadstartException notANumber(String file, String name, Tensor t) {
        long bad = t.isnan().sum().item_long();
        return new HeadstartException(file + ": tensor " + name + " holds " + bad + " NaN of " + t.numel()
                + " values; the checkpoint is damaged or its training diverged: fetch it again or use an earlier one");
    }
}
