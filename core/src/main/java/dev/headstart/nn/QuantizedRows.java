package dev.headstart.nn;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** A table of 8 bits with a scale a row. */
final class QuantizedRows implements RowSource {
    private final Tensor values; // int8 [n, d]
    private final Tensor scales; // fp32 [n, 1]

    QuantizedRows(QuantizedWeight w) {
        values = Memory.keep(w.values());
        scales = Memory.keep(w.scales().to(ScalarType.Float).view(-1, 1));
    }

    @Override
    public Tensor rows(Tensor ids) {
        return torch.embedding(values, ids).to(ScalarType.Float).mul(torch.embedding(scales, ids));
    }

    void close() {
        values.close();
        scales.close();
    }
}
