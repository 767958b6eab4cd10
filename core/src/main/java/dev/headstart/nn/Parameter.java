package dev.headstart.nn;

import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** A named tensor of a model: a weight that training may change, or a buffer (running statistics) that is saved but has no gradient. */
public final class Parameter {
    private final String name;
    private final boolean buffer;
    private final boolean head;
    private final boolean fresh;
    private boolean frozen;
    private Tensor value;
    private TensorOptional optional;

    Parameter(String name, Tensor value, boolean buffer, boolean head, boolean fresh) {
        this.name = name;
        this.buffer = buffer;
        this.head = head;
        this.fresh = fresh;
        this.value = Memory.keep(value);
        this.optional = optionalOf(value);
    }

    /** Full path under transformers' names: {@code bert.encoder.layer.0.output.dense.weight}. */
    public String name() {
        return name;
    }

    /** Whether this is a buffer: saved, never trained. */
    public boolean isBuffer() {
        return buffer;
    }

    /** Whether it belongs to the task head, which is trained alone on frozen features. */
    public boolean isHead() {
        return head;
    }

    /** Whether it was initialised because the checkpoint lacks it. */
    public boolean isNew() {
        return fresh;
    }

    /** The tensor; it belongs to the model and must not be closed. */
    public Tensor tensor() {
        return value;
    }

    /** The tensor as an optional argument of an operator. */
    public TensorOptional optional() {
        return optional;
    }

    /** Whether training leaves it alone. */
    public boolean isFrozen() {
        return frozen;
    }

    /** Takes it out of training, or puts it back (a model in training mode then asks for gradients at its next {@code train()}). */
    public void freeze(boolean on) {
        frozen = on;
        if (on) {
            value.set_requires_grad(false);
        }
    }

    /** Whether gradients flow into it. */
    public boolean trainable() {
        return value.requires_grad();
    }

    /** Puts another tensor in its place (other type, device, or a trained value) and frees the old one. */
    public void set(Tensor next) {
        Tensor oldValue = value;
        TensorOptional oldOptional = optional;
        value = Memory.keep(next);
        optional = optionalOf(next);
        oldOptional.close();
        oldValue.close();
    }

    /** Moves the values to a device and, if they are floating-point numbers, to a type; whether they are trained stays. */
    void to(Device device, @Nullable ScalarType type) {
        ScalarType next = type != null && value.is_floating_point() ? type : Ops.type(value);
        if (next == Ops.type(value) && device.equals(value.device())) {
            return;
        }
        boolean trained = value.requires_grad();
        Memory.scoped(() -> {
            Tensor moved = value.detach().to(device, next);
            moved.set_requires_grad(trained);
            set(moved);
        });
    }

    /** In a scope of its own: the caller's may live as long as a whole load, and would keep the memory of a replaced value until then. */
    private static TensorOptional optionalOf(Tensor value) {
        return Memory.scoped(() -> new TensorOptional(value));
    }

    void close() {
        optional.close();
        value.close();
    }
}
