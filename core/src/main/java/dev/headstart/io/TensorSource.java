package dev.headstart.io;

import java.util.Set;
import org.bytedeco.pytorch.Tensor;

/** Named tensors of a checkpoint, whatever its format. Reading is lazy: opening costs a header, {@link #tensor} costs one tensor. */
public interface TensorSource extends AutoCloseable {
    /** Names in file order. */
    Set<String> names();

    /**
     * Type and shape of one tensor.
     *
     * @throws dev.headstart.HeadstartException when there is no such tensor
     */
    TensorInfo info(String name);

    /**
     * The tensor, in the file's own type, on the CPU. The caller owns it. It may be backed by a read-only mapping of the file
     * (copy-on-write: writing to it does not touch the file).
     */
    Tensor tensor(String name);

    /** The file that holds {@code name}, for error messages: {@code model-00002-of-00003.safetensors}. */
    String fileOf(String name);

    @Override
    void close();
}
