package dev.headstart.nn;

import java.util.function.Supplier;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** A named tensor of a model: a weight that training may change, or a buffer (running statistics) that is saved but has no gradient. */
public final class Parameter {
    private final String name;
    private final boolean buffer;
    private final boolean head;
    private final boolean fresh;
    private long[] shape;
    private boolean frozen;
    private @Nullable Supplier<Tensor> unread;
    private @Nullable Supplier<Tensor> unreadHalf;
    private @Nullable Tensor half;
    private @Nullable Held held;
    private volatile @Nullable RowSource rows;

    /** The tensor, and the same as an optional argument. */
    private record Held(Tensor value, TensorOptional optional) {
        static Held of(Tensor value) {
            // a scope of its own: the caller's may live as long as a whole load, and would keep the memory of a
            // replaced value until then
            return new Held(Memory.keep(value), Memory.scoped(() -> new TensorOptional(value)));
        }

        void close() {
            optional.close();
            value.close();
        }
    }

    Parameter(String name, Tensor value, boolean buffer, boolean head, boolean fresh) {
        this.name = name;
        this.buffer = buffer;
        this.head = head;
        this.fresh = fresh;
        this.shape = value.shape();
        this.held = Held.of(value);
    }

    /**
     * A weight that is read when it is first asked for; never, where a packed kernel reads the file's own bits.
     *
     * @param unreadHalf reads it in the 16 bits of the file; null where the file has others
     */
    Parameter(String name, long[] shape, boolean head, Supplier<Tensor> unread, @Nullable Supplier<Tensor> unreadHalf) {
        this.name = name;
        this.buffer = false;
        this.head = head;
        this.fresh = false;
        this.shape = shape.clone();
        this.unread = unread;
        this.unreadHalf = unreadHalf;
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
        return held().value;
    }

    /** The size of a dimension as the model uses it, also while a packed kernel holds the values. */
    public long size(int dimension) {
        return shape[dimension];
    }

    long[] shape() {
        return shape.clone();
    }

    private Held held() {
        Held present = held;
        Supplier<Tensor> reader = unread;
        if (present == null) {
            if (reader == null) {
                throw new IllegalStateException(name + " has been freed");
            }
            try (Tensor value = Memory.scoped(reader)) {
                present = Held.of(value);
            }
            held = present;
            unread = null;
            unreadHalf = null;
        }
        return present;
    }

    /** Whether the value is here, or was and is packed now; else {@link #tensor} reads it. */
    public boolean isRead() {
        return held != null;
    }

    /** Reads the value now, if nothing has asked for it or replaced it yet: its file is about to be closed. */
    public void read() {
        held();
    }

    /** The tensor as an optional argument of an operator. */
    public TensorOptional optional() {
        return held().optional;
    }

    /** Whether training leaves it alone. */
    public boolean isFrozen() {
        return frozen;
    }

    /** Takes it out of training, or puts it back (a model in training mode then asks for gradients at its next {@code train()}). */
    public void freeze(boolean on) {
        frozen = on;
        if (on) {
            tensor().set_requires_grad(false);
        }
    }

    /** Whether gradients flow into it. */
    public boolean trainable() {
        return tensor().requires_grad();
    }

    /** Puts another tensor in its place (other type, device, or a trained value) and frees the old one. */
    public void set(Tensor next) {
        Held old = held;
        held = Held.of(next);
        unread = null;
        unreadHalf = null;
        rows = null;
        Memory.close(half);
        half = null;
        shape = next.numel() == 0 ? shape : next.shape(); // a packed kernel leaves nothing here, but the size stays
        if (old != null) {
            old.close();
        }
    }

    /** Leaves the values to what is packed of them; {@link #set} brings them back. @param lookup reads rows for embeddings, null where none needs it */
    void release(@Nullable RowSource lookup) {
        set(Kernels.empty());
        rows = lookup;
    }

    /** Keeps a table that nothing has asked for yet in the file's 16 bits; {@link #restoreHalf} brings fp32 back. */
    void keepHalf() {
        Supplier<Tensor> reader = unreadHalf;
        if (held == null && reader != null) {
            Tensor stored = Memory.scoped(reader);
            release(ids -> torch.embedding(stored, ids).to(ScalarType.Float));
            half = stored;
        }
    }

    /** Undoes {@link #keepHalf}. */
    void restoreHalf() {
        Tensor stored = half;
        if (stored != null) {
            Memory.scoped(() -> set(stored.to(ScalarType.Float)));
        }
    }

    /** The values, also while a table is kept in 16 bits: in the caller's scope then. */
    public Tensor values() {
        Tensor stored = half;
        return stored == null ? tensor() : stored.to(ScalarType.Float);
    }

    /** How many values there are, those that packed kernels hold not counted. */
    public long elements() {
        Tensor stored = half;
        return (stored == null ? tensor() : stored).numel();
    }

    /** How an embedding reads rows while the values are not here. */
    @Nullable
    RowSource rows() {
        return rows;
    }

    /** Moves the values to a device and, if they are floating-point numbers, to a type; whether they are trained stays. */
    void to(Device device, @Nullable ScalarType type) {
        Tensor value = tensor();
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

    /** Gives it memory of its own where it is a part of a mapped file, all of which would else stay as long as any part of it. */
    void unmap() {
        Tensor value = tensor();
        Memory.scoped(() -> {
            if (value.storage().nbytes() > value.nbytes()) {
                Tensor own = value.detach().clone();
                own.set_requires_grad(value.requires_grad());
                set(own);
            }
        });
    }

    void close() {
        Held present = held;
        if (present != null) {
            present.close();
        }
        Memory.close(half);
        half = null;
    }
}
