package dev.headstart.nn;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToIntFunction;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * What folded convolutions do one after the other with an input of one size, recorded once and run in a single call ({@link CodeSequence}). Between the convolutions of a
 * single image setting up calls takes an eighth of the time in fp32 and a third in 8 bits. Belongs to one thread at a time.
 */
public final class ConvProgram implements AutoCloseable {
    private final CodeSequence sequence = new CodeSequence();
    private final List<Tensor> memory = new ArrayList<>();
    private final List<Tensor> free = new ArrayList<>();
    private final Map<ConvNorm, ConvKernel> kernels = new LinkedHashMap<>();
    private final long[] shape;
    private final ScalarType type;
    private Tensor input;
    private Tensor output;
    private int recorded;

    private ConvProgram(Tensor x) {
        shape = x.shape();
        type = Ops.type(x);
        input = Memory.keep(take(type, shape[0], shape[2], shape[3], shape[1]));
        output = input;
    }

    /** @param recorder as for {@link ConvPrograms#run}; @return null where it recorded nothing */
    static @Nullable ConvProgram of(Tensor x, ToIntFunction<ConvProgram> recorder) {
        try (PointerScope scope = new PointerScope()) {
            ConvProgram program = new ConvProgram(x);
            program.recorded = recorder.applyAsInt(program);
            if (program.recorded == 0) {
                program.close();
                return null;
            }
            program.again(); // it is known now how much room they take
            program.recorded = recorder.applyAsInt(program);
            Memory.keep(program.output);
            return program;
        }
    }

    private void again() {
        sequence.clear();
        kernels.clear();
        free.clear();
        memory.stream().skip(1).forEach(free::add); // the first is the input's
        output = input;
    }

    /** The input, [B, C, H, W], channels last. */
    public Tensor input() {
        return input;
    }

    /** Says what the result is. @param y of the last convolution */
    public void output(Tensor y) {
        output = y;
    }

    /** How much the recorder did. */
    int recorded() {
        return recorded;
    }

    /**
     * Adds y = act(norm(conv(x)) + other).
     *
     * @param x {@link #input} or another's result
     * @param other as x; null for none. It may be written over
     * @return [B, out, H', W'], {@code other} perhaps; null where it cannot be recorded
     */
    public @Nullable Tensor convolution(ConvNorm layer, Tensor x, Activation act, @Nullable Tensor other) {
        ConvKernel kernel = layer.kernel();
        if (kernel == null) {
            return null;
        }
        kernels.put(layer, kernel);
        long mark = sequence.mark();
        Tensor y = kernel.record(this, x, act, other);
        sequence.release(mark);
        return y;
    }

    /** Says that nothing that is added from now on reads {@code x}. */
    public void free(Tensor x) {
        long at = x.data_ptr().address();
        memory.stream().filter(m -> m.data_ptr().address() == at).forEach(free::add);
    }

    /** Where steps stand, for {@link #back}. */
    public int steps() {
        return sequence.steps();
    }

    /** Forgets the steps that were added since. */
    public void back(int steps) {
        sequence.back(steps);
    }

    CodeSequence sequence() {
        return sequence;
    }

    /** Memory of a result, [B, C, H, W], channels last. */
    Tensor take(ScalarType of, long b, long h, long w, long c) {
        long bytes = b * h * w * c * (of == ScalarType.Float ? Float.BYTES : of == ScalarType.Byte ? 1 : Short.BYTES);
        Tensor found = null;
        for (Tensor t : free) {
            if (t.numel() >= bytes && (found == null || t.numel() < found.numel())) {
                found = t;
            }
        }
        if (found == null) {
            found = Memory.keep(Ops.empty(ScalarType.Byte, bytes));
            memory.add(found);
        } else {
            free.remove(found);
        }
        return found.narrow(0, 0, bytes).view(of).view(b, h, w, c).permute(0, 3, 1, 2);
    }

    /** Whether it is for such an input, and the layers still have the kernels that were recorded. */
    boolean fits(Tensor x) {
        return Ops.type(x) == type
                && Arrays.equals(x.shape(), shape)
                && kernels.entrySet().stream().allMatch(e -> e.getKey().kernel() == e.getValue());
    }

    /** @return the result, good until it runs again */
    Tensor run(Tensor x) {
        input.copy_(x);
        sequence.run();
        return output;
    }

    @Override
    public void close() {
        if (output != input) {
            output.close();
        }
        input.close();
        memory.forEach(Tensor::close);
        sequence.close();
    }
}
