package dev.headstart.models;

import dev.headstart.HeadstartException;
import org.bytedeco.pytorch.Tensor;

/** Checks of inputs that would otherwise fail deep inside an operator. */
final class Checks {
    private Checks() {}

    /** Fails when an id lies outside [0, n). Not checked on a GPU, where looking would stall it. */
    static Tensor ids(Tensor ids, String name, long n) {
        if (!ids.is_cuda() && ids.numel() > 0) {
            boolean one = ids.numel() == 1;
            long most = one ? ids.item_long() : ids.max().item_long();
            long least = one ? most : ids.min().item_long();
            if (most >= n || least < 0) {
                throw new HeadstartException(name + ": " + (most >= n ? most : least) + " is outside 0.." + (n - 1)
                        + "; do the tokenizer and the model belong together?");
            }
        }
        return ids;
    }

    /** Fails when a text is longer than the position table. */
    static long length(long s, long most) {
        if (s > most) {
            throw new HeadstartException("the input has " + s + " tokens, the model takes at most " + most
                    + "; truncate it, or use a stride");
        }
        return s;
    }

    /** Fails when the hidden size cannot be divided among the heads. */
    static int heads(int hiddenSize, int heads) {
        if (hiddenSize % heads != 0) {
            throw new HeadstartException(
                    "config.json: hidden_size " + hiddenSize + " must be a multiple of num_attention_heads " + heads);
        }
        return heads;
    }

    /** Fails when a span head, which takes num_labels for its size, would not give a start and an end. */
    static int spanLabels(ConfigJson c) {
        if (c.numLabels() != 2) {
            throw new HeadstartException(c.origin() + ": question answering needs 2 labels (start and end), found "
                    + c.numLabels() + "; remove id2label or num_labels");
        }
        return 2;
    }
}
