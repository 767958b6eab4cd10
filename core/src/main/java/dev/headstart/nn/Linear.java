package dev.headstart.nn;

import static org.bytedeco.pytorch.global.torch.cat;
import static org.bytedeco.pytorch.global.torch.linear;

import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * y = act(x W^T + b), as {@code torch.nn.Linear}: one object whose kernel can be exchanged (plain and differentiable, prepacked, quantized), with
 * an optional low-rank delta (LoRA, Hu et al. 2021). GPT-2's Conv1D is the same with its weight stored as [in, out].
 */
public final class Linear {
    private static final boolean FAST_BF16 = Processor.current().fastBf16();
    private final String name;
    private final long in;
    private final long out;
    private final boolean transposed;
    private volatile Parameter weight;
    private final @Nullable Parameter bias;
    private volatile @Nullable Kernel kernel;
    private volatile @Nullable Lora lora;
    private volatile boolean released;
    private volatile boolean fixed;
    private volatile List<Linear> joined = List.of();
    private volatile boolean even;
    private volatile @Nullable Consumer<Tensor> observer;

    /** A low-rank delta: y += scaling * dropout(x) A^T B^T, with A [r, in] and B [out, r]. */
    public record Lora(Parameter a, Parameter b, double scaling, Dropout dropout) {
        /** What is scaled and added. */
        Tensor product(Tensor x) {
            return linear(linear(dropout.forward(x), a.tensor()), b.tensor()); // [..., out]
        }
    }

    Linear(String name, Parameter weight, @Nullable Parameter bias, boolean transposed) {
        this.name = name;
        this.weight = weight;
        this.bias = bias;
        this.transposed = transposed;
        this.out = weight.size(transposed ? 1 : 0);
        this.in = weight.size(transposed ? 0 : 1);
    }

    /** @param x [..., in]; @return [..., out] */
    public Tensor forward(Tensor x) {
        return forward(x, Activation.LINEAR);
    }

    /** @param x [..., in]; @return act(x W^T + b), [..., out] */
    public Tensor forward(Tensor x, Activation act) {
        Kernel k = kernel;
        Lora delta = lora;
        if (delta != null) {
            Tensor y = k != null ? k.apply(x, Activation.LINEAR) : plain(x);
            return act.apply(y.add(delta.product(x), new Scalar(delta.scaling())));
        }
        return k != null ? k.apply(x, act) : act.apply(plain(x));
    }

    /** @param x [..., in]; @param other [..., out]; @return x W^T + b + other, [..., out] */
    public Tensor forwardAndAdd(Tensor x, Tensor other) {
        Kernel k = kernel;
        return k != null && lora == null ? k.applyAndAdd(x, other) : forward(x).add(other);
    }

    /** The same, x W^T + b dropped out before it is added. */
    public Tensor forwardAndAdd(Tensor x, Tensor other, Dropout dropout) {
        return dropout.active() > 0 ? dropout.forward(forward(x)).add(other) : forwardAndAdd(x, other);
    }

    /** As {@link Kernel#record}. */
    boolean record(CodeSequence sequence, Tensor x, Activation act, @Nullable Tensor other, Tensor y) {
        Kernel k = kernel;
        return k != null && lora == null && k.record(sequence, x, act, other, y);
    }

    /**
     * Query, key and value of an attention: one product where they are {@linkplain #join joined} and packed together. Of weights with 8 bits they come in
     * bfloat16 where the processor computes the attention faster so.
     *
     * @param x [..., in]
     * @param exact whether they must come in x's type
     * @return one [..., out] each; views of one tensor where it was one product
     */
    public static Tensor[] forAttention(Tensor x, boolean exact, Linear... layers) {
        JointKernel.Part[] parts = joint(layers);
        Tensor[] results = new Tensor[layers.length];
        if (parts == null) {
            Tensor once = Autocast.operand(x);
            Arrays.setAll(results, r -> layers[r].forward(once));
        } else {
            Tensor y = product(parts[0].joint(), x, exact); // [..., sum of out]
            Arrays.setAll(results, r -> y.narrow(-1, parts[r].start(), parts[r].rows()));
        }
        return results;
    }

    /** The results of {@link #forAttention} side by side. @param layers as they were {@linkplain #join joined}; @return [..., sum of out] */
    static Tensor sideBySide(Tensor x, boolean exact, Linear... layers) {
        JointKernel.Part[] parts = joint(layers);
        return parts == null
                ? cat(new TensorVector(forAttention(x, exact, layers)), -1)
                : product(parts[0].joint(), x, exact);
    }

    /** The parts of the product that the layers were packed as; null where they are not one. */
    private static JointKernel.Part @Nullable [] joint(Linear... layers) {
        JointKernel.Part[] parts = new JointKernel.Part[layers.length];
        for (int i = 0; i < layers.length; i++) {
            if (layers[i].lora != null
                    || !(layers[i].kernel instanceof JointKernel.Part part)
                    || part.joint() != (i == 0 ? part : parts[0]).joint()) {
                return null;
            }
            parts[i] = part;
        }
        return parts;
    }

    /**
     * Records {@link #sideBySide}.
     *
     * @param x [T, in]
     * @return the results side by side once it has run, [T, sum of out]; null where they are not one product, or it cannot be recorded
     */
    static @Nullable Tensor recordSideBySide(CodeSequence sequence, Tensor x, Linear... layers) {
        JointKernel.Part[] parts = joint(layers);
        if (parts == null) {
            return null;
        }
        JointKernel all = parts[0].joint();
        long width = Arrays.stream(layers).mapToLong(Linear::out).sum();
        Tensor y = sequence.empty(halves(all) ? ScalarType.BFloat16 : Ops.type(x), x.size(0), width);
        return all.record(sequence, x, y) ? y : null;
    }

    /** The type of what an activation made of results for x, which is rounded further on. */
    ScalarType activated(Tensor x) {
        Kernel k = kernel;
        return k != null && lora == null && k.halves() && FAST_BF16 ? ScalarType.BFloat16 : Ops.type(x);
    }

    private static boolean halves(JointKernel all) {
        return all.halves() && FAST_BF16;
    }

    private static Tensor product(JointKernel all, Tensor x, boolean exact) {
        return halves(all) && !exact ? all.apply(x, ScalarType.BFloat16) : all.apply(x);
    }

    /** Says that these Linears always get the same input, so that {@link Kernels} may pack them as one. */
    public static void join(Linear... layers) {
        List<Linear> all = List.of(layers);
        all.forEach(l -> l.joined = all);
    }

    /** Says that the rows of this Linear's input are of a like size, because a norm wrote them: they may share what rounds them. */
    void evenInput() {
        even = true;
    }

    boolean even() {
        return even;
    }

    /** The Linears that get the same input, this one among them; empty when it is alone. */
    List<Linear> joined() {
        return joined;
    }

    /** Shows the inputs of the plain kernel from now on; null for nobody. */
    void observe(@Nullable Consumer<Tensor> seen) {
        observer = seen;
    }

    private Tensor plain(Tensor x) {
        Consumer<Tensor> seen = observer;
        if (seen != null) {
            seen.accept(x);
        }
        Tensor w = transposed ? weight.tensor().transpose(0, 1) : weight.tensor(); // [out, in]
        return bias == null ? linear(x, w) : linear(x, w, bias.optional());
    }

    /** Full path of the layer: {@code bert.encoder.layer.0.attention.self.query}. */
    public String name() {
        return name;
    }

    /** Size of the last dimension of the input. */
    public long in() {
        return in;
    }

    /** Size of the last dimension of the output. */
    public long out() {
        return out;
    }

    /** Whether the weight is stored as [in, out] (GPT-2's Conv1D). */
    public boolean transposed() {
        return transposed;
    }

    /** The weight, [out, in]; [in, out] when {@link #transposed}. Its tensor is empty while a packed kernel holds the values. */
    public Parameter weight() {
        return weight;
    }

    /** Puts another weight of the same size in the place of one that it shares. */
    void own(Parameter next) {
        weight = next;
    }

    /** The bias, [out], if there is one. */
    public @Nullable Parameter bias() {
        return bias;
    }

    /** The low-rank delta in force, if any. */
    public @Nullable Lora lora() {
        return lora;
    }

    /** Puts a low-rank delta on this layer, or takes it off. */
    public void lora(@Nullable Lora delta) {
        this.lora = delta;
    }

    /** Name of the kernel in use. */
    public String kernelName() {
        Kernel k = kernel;
        return k == null ? "plain" : k.name();
    }

    /**
     * Replaces the plain kernel by another and frees the original weight. Only for inference; {@link #unpack} undoes it.
     *
     * @param shared whether an embedding reads the same weight, which then stays unless the kernel can look up its rows
     */
    void pack(Kernel packed, boolean shared) {
        RowSource rows = packed.table();
        this.kernel = packed;
        this.released = !shared || rows != null;
        if (released) {
            weight.release(shared ? rows : null);
        }
    }

    /** Returns to the plain, differentiable kernel. */
    void unpack() {
        Kernel k = kernel;
        if (k != null) {
            if (released) {
                Memory.scoped(() -> weight.set(plainWeight()));
            }
            kernel = null;
            fixed = false;
            k.close();
        }
    }

    /** Keeps the kernel, which holds the weight as the checkpoint stores it, when others are packed. */
    void fix() {
        fixed = true;
    }

    boolean isJoint() {
        return kernel instanceof JointKernel.Part;
    }

    boolean fixed() {
        return fixed;
    }

    /** The weight as it is stored, whichever kernel holds it: [out, in], or [in, out] when {@link #transposed}. Made in the caller's scope. */
    public Tensor plainWeight() {
        Kernel k = kernel;
        if (k == null || !released) {
            return weight.tensor();
        }
        Tensor w = Memory.handOver(k.weight()); // [out, in]
        return transposed ? w.transpose(0, 1).contiguous() : w;
    }

    @Nullable
    TensorOptional biasOrNull() {
        return bias == null ? null : bias.optional();
    }

    void close() {
        Kernel k = kernel;
        if (k != null) {
            k.close();
            kernel = null;
        }
    }
}
