package dev.headstart.nn;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** Rows of a table by index, as {@code torch.nn.Embedding}. */
public final class Embedding {
    private final Parameter weight;
    private final long paddingIdx;

    Embedding(Parameter weight, long paddingIdx) {
        this.weight = weight;
        this.paddingIdx = paddingIdx;
    }

    /** @param ids int64 [...]; @return [..., d] */
    public Tensor forward(Tensor ids) {
        RowSource packed = weight.rows();
        if (packed != null) {
            return packed.rows(ids);
        }
        return torch.embedding(weight.tensor(), ids, paddingIdx, false, false);
    }

    /** The table, [n, d]. */
    public Parameter weight() {
        return weight;
    }
}
